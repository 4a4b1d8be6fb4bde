"""The walk, layer by layer, against torchvision's own networks with random weights, and against plain modules."""

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from vgg_files import as_torchvision, reference, tensors

from gatys_lab.errors import UnknownName
from gatys_lab.networks import vgg16, vgg19
from gatys_lab.networks._vgg import PADDINGS, POOLINGS, VGG, plan

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TINY = (1, 2, 1, 1, 1)  # convolutions a block: every kind of neighbourhood, at little cost
BUILD = {"vgg19": vgg19.build, "vgg16": vgg16.build}


def image(height: int, width: int, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height * width))


def tiny(seed: int = 0, **options: object) -> VGG:
    torch.manual_seed(seed)
    widths = {step: 4 for step in plan(TINY) if step.startswith("conv")}
    return VGG("tiny", widths, depths=TINY, **options).double()  # type: ignore[arg-type]


def modules_of(net: VGG) -> nn.ModuleDict:
    """The same network out of torch's own modules, by layer."""
    pools = {
        "max": nn.MaxPool2d(2, ceil_mode=net.ceil_mode),
        "avg": nn.AvgPool2d(2, ceil_mode=net.ceil_mode),
        "l2": nn.LPPool2d(2, 2, ceil_mode=net.ceil_mode),
    }
    out = nn.ModuleDict()
    for step in net.steps:
        if step.startswith("conv"):
            own = getattr(net, step)
            conv = nn.Conv2d(own.in_channels, own.out_channels, 3, padding=1, padding_mode=net.padding).double()
            conv.load_state_dict(own.state_dict())
            out[step] = conv
        else:
            out[step] = nn.ReLU() if step.startswith("relu") else pools[net.pooling]
    return out


def oracle(net: VGG, x: Tensor) -> dict[str, Tensor]:
    out = {}
    for step, module in modules_of(net).items():
        x = module(x)
        if step.startswith("pool") and net.pooling == "l2":
            x = x / 2  # LPPool2d sums the squares of a window, we average them
        out[step] = x
    return out


@pytest.fixture(scope="module", params=["vgg19", "vgg16"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, object, dict]:
    """A whole random network: its name, its file in half precision, its keys and tensors."""
    name = request.param
    state = as_torchvision(tensors(name, last="conv5_4" if name == "vgg19" else "conv5_3"), name)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save({key: value.half() for key, value in state.items()}, path)
    return name, path, state


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("size", [(32, 33), (47, 61)])
def test_every_layer_is_torchvisions(published: tuple, pooling: str, size: tuple[int, int]) -> None:
    name, path, state = published
    net = BUILD[name](path, pooling=pooling)
    x = image(*size)
    ours = net(x, net.layers)
    assert list(ours) == ["input", *net.steps]
    assert torch.equal(ours["input"], x)
    x = torchvision.transforms.functional.normalize(x, MEAN, STD)
    for i, (layer, module) in enumerate(zip(net.steps, reference(name), strict=True)):
        if isinstance(module, nn.Conv2d):
            x = F.conv2d(x, state[f"features.{i}.weight"], state[f"features.{i}.bias"], padding=module.padding)
        elif isinstance(module, nn.MaxPool2d) and pooling == "avg":
            x = F.avg_pool2d(x, module.kernel_size, module.stride)
        else:
            x = F.relu(x) if isinstance(module, nn.ReLU) else module(x)
        torch.testing.assert_close(ours[layer], x, rtol=1e-4, atol=1e-4)
        assert x.std() > 0.05  # no layer agrees because it is dead


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings_and_paddings_are_torchs(pooling: str, padding: str, ceil_mode: bool) -> None:
    net = tiny(pooling=pooling, padding=padding, ceil_mode=ceil_mode)
    x = image(45, 39).double()
    ours, theirs = net(x, net.steps), oracle(net, x)
    tolerance = 2e-4 if pooling == "l2" else 1e-12  # l2 has EPS inside its root
    for layer in net.steps:
        torch.testing.assert_close(ours[layer], theirs[layer], rtol=0, atol=tolerance)


def test_l2_pooling_is_the_root_of_the_mean_square_and_has_a_gradient_at_zero() -> None:
    net = tiny(pooling="l2")
    x = image(8, 8).double()
    square = net(x, ("relu1_1",))["relu1_1"].square()
    expected = (square[..., ::2, ::2] + square[..., ::2, 1::2] + square[..., 1::2, ::2] + square[..., 1::2, 1::2]) / 4
    torch.testing.assert_close(net(x, ("pool1",))["pool1"].square(), expected, rtol=0, atol=1e-7)
    net.conv1_1.bias.data.fill_(-100.0)  # every ReLU is dead: the root is taken of zero
    x.requires_grad_()
    net(x, ("pool1",))["pool1"].sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(("input", *plan(TINY))), min_size=1))
def test_a_layer_does_not_depend_on_which_others_are_asked_for(wanted: set[str]) -> None:
    net = tiny()
    x = image(40, 36).double()
    original = x.clone()
    expected = {"input": original, **oracle(net, x)}
    ours = net(x, tuple(wanted))
    assert set(ours) == wanted
    for layer, features in ours.items():
        torch.testing.assert_close(features, expected[layer], rtol=0, atol=1e-12)
    assert torch.equal(x, original)


@pytest.mark.parametrize("layers", [("relu5_1",), ("conv2_2", "relu2_2", "pool2"), ("input", "conv1_1", "relu5_1")])
def test_the_gradient_of_the_image_is_that_of_torchs_own_modules(layers: tuple[str, ...]) -> None:
    net = tiny(padding="reflect")
    x = image(36, 40).double()

    def gradient(features: dict[str, Tensor], at: Tensor) -> Tensor:
        return torch.autograd.grad(sum(features[layer].square().sum() for layer in layers), at)[0]

    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected = gradient({"input": theirs, **oracle(net, theirs)}, theirs)
    torch.testing.assert_close(gradient(net(ours, layers), ours), expected)
    assert expected.abs().max() > 0


def test_the_walk_stops_at_the_deepest_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    net = tiny()
    calls = {"conv2d": 0, "max_pool2d": 0}
    for name in calls:

        def counting(*args: object, name: str = name, real: object = getattr(F, name), **kwargs: object) -> Tensor:
            calls[name] += 1
            return real(*args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(F, name, counting)
    expected = {(): (0, 0), ("input",): (0, 0), ("conv1_1",): (1, 0), ("pool1",): (1, 1)}
    expected |= {("relu3_1", "relu2_1"): (4, 2), ("input", "relu5_1"): (6, 4), ("pool5",): (6, 5)}
    for layers, count in expected.items():
        calls.update(conv2d=0, max_pool2d=0)
        assert set(net(image(32, 32).double(), layers)) == set(layers)
        assert tuple(calls.values()) == count, layers


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_minimum_px_is_the_minimum(pooling: str, padding: str, ceil_mode: bool) -> None:
    net = tiny(pooling=pooling, padding=padding, ceil_mode=ceil_mode)
    for layer in net.steps:
        least = net.minimum_px((layer, "conv1_1"))
        for size in ((least, least + 3), (least + 3, least), (least, least)):
            assert net(image(*size, batch=1).double(), (layer,))[layer].numel() > 0, (layer, size)
        with pytest.raises(RuntimeError):
            net(torch.zeros(1, 3, least - 1, least + 3, dtype=torch.float64), (layer,))


def test_minimum_px_of_the_image_itself_is_one() -> None:
    assert tiny(padding="reflect").minimum_px(("input",)) == tiny().minimum_px(()) == 1


def test_heads_are_read_after_the_relu_and_not_passed_through() -> None:
    widths = {"conv1_1": 4, "conv1_2": 5}
    net = VGG("headed", widths, heads={"relu1_1": 7}).double()
    x = image(9, 8).double()
    relu = F.relu(F.conv2d(x, net.conv1_1.weight, net.conv1_1.bias, padding=1))
    expected = F.conv2d(relu, net.head1_1.weight, net.head1_1.bias)
    ours = net(x, ("relu1_1", "conv1_2"))
    torch.testing.assert_close(ours["relu1_1"], expected)
    torch.testing.assert_close(ours["conv1_2"], F.conv2d(relu, net.conv1_2.weight, net.conv1_2.bias, padding=1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_features_have_the_precision_of_the_parameters_and_lie_channels_last(dtype: torch.dtype) -> None:
    features = tiny().to(dtype)(image(32, 32), ("relu3_1",))["relu3_1"]
    assert features.dtype == dtype
    assert features.is_contiguous(memory_format=torch.channels_last)


def test_unknown_names_are_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match=r"no layer 'conv9'; tiny has input, conv1_1 \.\.\. pool5"):
        tiny()(image(32, 32).double(), ("conv9",))
    with pytest.raises(UnknownName, match="no pooling 'min'; there are max, avg, l2"):
        tiny(pooling="min")
    with pytest.raises(UnknownName, match="no padding 'same'; there are zeros, reflect, circular"):
        tiny(padding="same")


def test_a_layer_that_the_weights_do_not_reach_is_told_from_an_unknown_one() -> None:
    net = VGG("vgg19", {"conv1_1": 4, "conv1_2": 4})
    assert net.layers == ("input", "conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1")
    for ask in (net.check, net.minimum_px):
        with pytest.raises(ValueError, match="no layer 'relu5_4'; these weights end at pool1"):
            ask(("relu1_1", "relu5_4"))
