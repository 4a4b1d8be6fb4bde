"""Weight files: every published layout gives the same network, and what does not fit is refused in one line."""

import errno
import hashlib
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from vgg_files import as_normalised, as_torchvision, picture, save, slim, tensors

from gatys_lab import catalog
from gatys_lab.errors import UnknownName
from gatys_lab.networks import _formats, _weights, vgg16, vgg19

LAYERS = ("relu1_1", "conv1_2", "pool1", "relu2_1")
SHARED = Path("/work/shared/weights")
Writer = Callable[[dict[str, Tensor], Path], Path]


WRITERS: dict[str, Writer] = {  # all in Caffe's preprocessing, or told so
    "torchvision": lambda state, folder: save(as_torchvision(state), folder / "a.pth"),
    "torchvision, legacy pickle": lambda state, folder: save(as_torchvision(state), folder / "b.pth", legacy=True),
    "vgg_conv": lambda state, folder: save(state, folder / "c.pth"),
    "vgg_normalised": lambda state, folder: save(as_normalised(state), folder / "d.pth"),
    "safetensors": lambda state, folder: slim(state, folder / "e.safetensors"),
    "safetensors, half precision": lambda state, folder: slim(state, folder / "f.safetensors", half=True),
    "safetensors by another name": lambda state, folder: slim(state, folder / "g.pth"),
}


def caffe_features(state: dict[str, Tensor], image: Tensor, padding: str) -> dict[str, Tensor]:
    """relu1_1 ... relu2_1 spelt out, of BGR in 0 ... 255 minus the published mean."""
    x = image.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    mode = {"zeros": "constant"}.get(padding, padding)
    out = {}
    for conv, relu in (("conv1_1", "relu1_1"), ("conv1_2", "relu1_2"), ("conv2_1", "relu2_1")):
        out[conv] = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), state[f"{conv}.weight"], state[f"{conv}.bias"])
        x = out[relu] = F.relu(out[conv])
        if relu == "relu1_2":
            x = out["pool1"] = F.max_pool2d(x, 2, ceil_mode=padding == "reflect")
    return out


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_same_network(layout: str, tmp_path: Path) -> None:
    state = tensors()
    file = WRITERS[layout](state, tmp_path)
    net = vgg19.build(file, preprocessing="caffe" if "torchvision" in layout else None)
    assert net.padding == ("reflect" if layout == "vgg_normalised" else "zeros")
    assert net.source == f"{file.name} (caffe)"
    assert net.layers[-1] == "relu2_1"
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in net.parameters())
    ours, theirs = net(picture(), LAYERS), caffe_features(state, picture(), net.padding)
    for layer in LAYERS:
        torch.testing.assert_close(ours[layer], theirs[layer], rtol=1e-4, atol=1e-3)  # of some hundreds


def test_building_draws_no_random_numbers_and_the_gradient_reaches_the_image(tmp_path: Path) -> None:
    file = WRITERS["vgg_conv"](tensors(), tmp_path)
    before = torch.get_rng_state()
    net = catalog.load("networks", "vgg19", weights=file, pooling="avg")
    assert torch.equal(before, torch.get_rng_state())
    image = picture().requires_grad_()
    net(image, ("relu2_1",))["relu2_1"].sum().backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["torchvision", "caffe", "caffe-rgb", "none"])
def test_preprocessing_is_a_1x1_convolution_on_rgb(kind: str, tmp_path: Path) -> None:
    net = vgg19.build(WRITERS["vgg_normalised"](tensors(), tmp_path), preprocessing=kind)
    image, by_channel = picture(), partial(torch.tensor, dtype=torch.float32)
    expected = {
        "torchvision": torchvision.transforms.functional.normalize(image, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "caffe": image.flip(1) * 255 - by_channel([103.939, 116.779, 123.68]).view(3, 1, 1),
        "caffe-rgb": (image - by_channel([0.48235, 0.45882, 0.40784]).view(3, 1, 1)) * 255,
        "none": image,
    }
    assert net.preprocess is not None
    torch.testing.assert_close(net.preprocess(image), expected[kind], rtol=1e-5, atol=1e-4)
    assert net.source.endswith(f"({kind})")


def test_torchvisions_and_caffes_files_are_told_apart_by_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = WRITERS["torchvision"](tensors(last="conv1_1"), tmp_path)
    assert vgg19.build(file).source == "a.pth (torchvision)"
    assert "assuming torchvision" in caplog.text
    caplog.clear()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(_formats.KNOWN_FILES, digest[:8], "caffe")
    assert vgg19.build(file).source == "a.pth (caffe)"
    assert vgg19.build(file, preprocessing="none").source == "a.pth (none)"
    assert not caplog.records


def test_the_known_files_are_those_of_torchvision() -> None:
    published = {"vgg19": torchvision.models.VGG19_Weights, "vgg16": torchvision.models.VGG16_Weights}
    for name, weights in published.items():
        assert _weights.URLS[name] == weights.IMAGENET1K_V1.url
        assert _formats.KNOWN_FILES[weights.IMAGENET1K_V1.url[-12:-4]] == "torchvision"
    features_only = torchvision.models.VGG16_Weights.IMAGENET1K_FEATURES
    assert _formats.KNOWN_FILES[features_only.url[-12:-4]] == "caffe-rgb"
    torch.testing.assert_close(features_only.transforms().mean, list(_formats.PREPROCESSINGS["caffe-rgb"][1]))


def test_padding_and_pooling_may_be_chosen_against_the_file(tmp_path: Path) -> None:
    net = vgg19.build(WRITERS["vgg_normalised"](tensors(), tmp_path), pooling="avg", padding="circular")
    assert (net.padding, net.pooling, net.ceil_mode) == ("circular", "avg", True)


def test_weights_end_where_the_file_ends(tmp_path: Path) -> None:
    net = vgg19.build(WRITERS["safetensors"](tensors(), tmp_path))
    with pytest.raises(ValueError, match="no layer 'relu5_4'; these weights end at relu2_1"):
        net(picture(), ("relu5_4",))


def refused(file: Path, *words: str, build: Callable = vgg19.build, error: type = ValueError) -> None:
    """One line that names the file and says these words."""
    with pytest.raises(error) as caught:
        build(file)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(file), *words):
        assert word in message


def test_one_network_is_not_the_other(tmp_path: Path) -> None:
    deep19, deep16 = tensors("vgg19", "conv3_4"), tensors("vgg16", "conv4_1")
    files = {
        "vgg19": [save(as_torchvision(deep19), tmp_path / "a.pth"), slim(deep19, tmp_path / "a.safetensors")],
        "vgg16": [save(as_torchvision(deep16, "vgg16"), tmp_path / "b.pth"), slim(deep16, tmp_path / "b.safetensors")],
    }
    for file in files["vgg19"]:
        assert vgg19.build(file).layers[-1] == "pool3"
        refused(file, "holds vgg19, wanted vgg16", build=vgg16.build)
    for file in files["vgg16"]:
        assert vgg16.build(file).layers[-1] == "relu4_1"
        refused(file, "holds vgg16, wanted vgg19")
    shallow = slim(tensors("vgg16", "conv1_2"), tmp_path / "c.safetensors")  # here they are the same network
    assert vgg19.build(shallow).layers == vgg16.build(shallow).layers


def test_what_does_not_fit_is_refused_with_what_was_found_and_wanted(tmp_path: Path) -> None:
    def write(state: object) -> Path:
        return save(state, tmp_path / "odd.pth")

    state = tensors()
    narrow = {key: value[:16] if key == "conv1_1.bias" else value for key, value in state.items()}
    refused(write(narrow), "conv1_1.bias is (16,), wanted (64,)")
    refused(write({k: v for k, v in state.items() if k != "conv1_2.bias"}), "conv1_2.bias is not there, wanted (64,)")
    refused(write({k: v for k, v in state.items() if "conv1_2" not in k}), "has no conv1_2 (conv1_2.weight)")
    refused(write({**state, "conv7_1.weight": torch.zeros(1)}), "has no conv2_2 (conv2_2.weight)")
    batch_norm = {"features.0.weight": state["conv1_1.weight"], "features.1.weight": torch.ones(64)}
    refused(write(batch_norm), "has no conv1_2 (features.2.weight)", "no batch normalisation")
    decoder = {"1.weight": torch.zeros(256, 512, 3, 3), "5.weight": torch.zeros(256, 256, 3, 3)}
    refused(write(decoder), "has no conv1_1 (2.weight)")
    headless = {k: v for k, v in as_normalised(state).items() if not k.startswith("0.")}
    refused(write(headless), "0.weight is not there, wanted (3, 3, 1, 1)")
    refused(write({"theta": torch.zeros(1)}), "holds theta ...", "wanted the weights of a VGG")
    refused(write({}), "holds no tensors")
    refused(write([torch.zeros(1)]), "holds a list", "wanted a state_dict")


def test_unknown_options_are_refused_before_anything_is_read() -> None:
    for option in ("pooling", "padding", "preprocessing"):
        with pytest.raises(UnknownName, match=f"no {option} 'odd'; there are"):
            vgg19.build("nowhere.pth", **{option: "odd"})


def test_no_file_and_torch7(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere.pth", error=FileNotFoundError)
    (tmp_path / "vgg_normalised.t7").write_bytes(b"\4\0\0\0")
    refused(tmp_path / "vgg_normalised.t7", "torch7")


class Code:
    """Unpickled without care, this makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_runs_code_is_refused(legacy: bool, tmp_path: Path) -> None:
    target = tmp_path / "made-by-the-pickle"
    state = {**tensors(last="conv1_1"), "x": Code(target)}
    refused(save(state, tmp_path / "evil.pth", legacy=legacy), "could run code")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(state["x"], protocol=2))
    refused(tmp_path / "plain.pth", "could run code")
    assert not target.exists()


@pytest.mark.parametrize("layout", ["torchvision", "torchvision, legacy pickle", "safetensors"])
def test_a_file_cut_short_is_refused_wherever_it_is_cut(layout: str, tmp_path: Path) -> None:
    whole = WRITERS[layout](tensors(last="conv1_1"), tmp_path).read_bytes()
    file = tmp_path / "cut.pth"
    for length in {*range(0, 40, 3), *range(40, len(whole), len(whole) // 40), len(whole) - 1}:
        file.write_bytes(whole[:length])
        refused(file)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", b"\x08" + bytes(7) + b"{", b"<html>"]))
def test_rubbish_is_refused(tmp_path_factory: pytest.TempPathFactory, rubbish: bytes, start: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "rubbish.pth"
    file.write_bytes(start + rubbish)
    refused(file)


@pytest.mark.parametrize("layout", WRITERS)
def test_what_is_written_slim_is_what_was_read(layout: str, tmp_path: Path) -> None:
    read = _formats.read(WRITERS[layout](tensors(), tmp_path), "none" if layout == "vgg_conv" else None)
    _formats.write(read, tmp_path / "slim.safetensors")
    again = _formats.read(tmp_path / "slim.safetensors")
    assert again.tensors.keys() == read.tensors.keys()
    assert all(torch.equal(again.tensors[key], value) for key, value in read.tensors.items())
    fields = ("architectures", "preprocessing", "padding", "ceil_mode", "source", "deepest")
    assert [getattr(again, f) for f in fields] == [getattr(read, f) for f in fields]


def test_a_slim_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = _formats.read(WRITERS["vgg_conv"](tensors(last="conv1_1"), tmp_path))
    (tmp_path / "slim.safetensors").write_text("old")
    before = sorted(tmp_path.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _formats.write(read, tmp_path / "slim.safetensors")
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "slim.safetensors").read_text() == "old"


def test_a_slim_file_remembers_which_network_it_is(tmp_path: Path) -> None:
    read = _formats.read(save(as_torchvision(tensors("vgg16", "conv4_1"), "vgg16"), tmp_path / "a.pth"))
    _formats.write(read, tmp_path / "b.safetensors")
    assert _formats.read(tmp_path / "b.safetensors").architectures == ("vgg16",)
    refused(tmp_path / "b.safetensors", "holds vgg16, wanted vgg19")


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the genuine VGG-19 is not at {SHARED}")
def test_the_genuine_vgg19_divided_by_its_mean_activations_is_the_normalised_one() -> None:
    from safetensors import safe_open

    whole = vgg19.build(SHARED / "vgg19_to_relu5_1.safetensors", padding="reflect")
    normalised = vgg19.build(SHARED / "vgg19_normalised_to_relu3_1.safetensors", padding="reflect")
    assert (whole.layers[-1], normalised.layers[-1]) == ("relu5_1", "relu3_1")
    with safe_open(SHARED / "vgg19_to_relu5_1.safetensors", "pt") as file:
        for layer in ("relu1_1", "relu2_1", "relu3_1"):
            mean = file.get_tensor(f"{layer.replace('relu', 'conv')}.mean_activation").view(1, -1, 1, 1)
            ours = whole(picture(), (layer,))[layer] / torch.where(mean > 1e-6, mean, 1.0)
            torch.testing.assert_close(ours, normalised(picture(), (layer,))[layer], rtol=1e-3, atol=1e-3)
