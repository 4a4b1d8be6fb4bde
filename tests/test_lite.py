import hashlib

import pytest
import torch
from safetensors.torch import save_file

from gatys_lab.losses import gram, mmd_gaussian
from gatys_lab.networks import lite

STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def test_it_is_small_and_the_one_that_the_card_describes():
    data = lite.EMBEDDED.read_bytes()
    assert len(data) <= 4_000_000
    card = lite.EMBEDDED.with_suffix(".md").read_text()
    assert hashlib.sha256(data).hexdigest() in card


def test_it_has_the_layers_of_vgg19_at_its_strides():
    net = lite.build()
    features = net(torch.rand(1, 3, 64, 96), (*STYLE, "relu4_2", "conv4_2", "pool3", "input"))
    strides = {name: 64 // f.shape[2] for name, f in features.items()}
    assert strides == {"relu1_1": 1, "relu2_1": 2, "relu3_1": 4, "relu4_1": 8, "relu5_1": 16,
                       "relu4_2": 8, "conv4_2": 8, "pool3": 8, "input": 1}  # fmt: skip
    assert all(f.shape[3] == 96 // strides[name] for name, f in features.items())


@pytest.mark.parametrize("build", [gram.build, lambda: mmd_gaussian.build(estimator="exact")])
def test_losses_on_heads_are_losses_on_lifted_features(build):
    """With orthonormal lifts inner products agree; the Gram loss's 1/N^2 counts channels, hence the factor."""
    net, loss = lite.build(), build()
    images = torch.rand(1, 3, 48, 48), torch.rand(1, 3, 40, 64)
    for layer in (*STYLE, "relu4_2"):
        lift = torch.linalg.qr(net.lifts[layer].double()).Q  # rounding undone
        a, b = (net(image, (layer,))[layer].double() for image in images)
        la, lb = (torch.einsum("cr,nrhw->nchw", lift, f) for f in (a, b))
        on_heads, on_lifted = loss(a, loss.fit(b, a)), loss(la, loss.fit(lb, la))
        factor = (lift.shape[0] / lift.shape[1]) ** 2 if isinstance(loss, gram.Gram) else 1
        torch.testing.assert_close(on_heads, on_lifted * factor, rtol=1e-5, atol=1e-9)


def test_the_stored_lifts_are_orthonormal():
    lifts = lite.build().lifts
    assert set(lifts) == {*STYLE, "relu4_2"}
    for lift in lifts.values():
        assert (lift.T @ lift - torch.eye(lift.shape[1])).abs().max() < 5e-3


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    save_file({"conv1_1.weight": torch.zeros(3, 3)}, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match=r"no lite network: conv1_1.weight is \(3, 3\), wanted \(20, 3, 3, 3\)"):
        lite.build(tmp_path / "bad.safetensors")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="cannot read"):
        lite.build(tmp_path / "text")


def test_it_costs_a_fraction_of_vgg19():
    """Multiplications a pixel, heads of the style layers included; the time is in docs/performance.md."""

    def cost(shapes):
        return sum(shape.numel() / 4 ** (int(name[4]) - 1) for name, shape in shapes)

    def parameters(net, kinds):
        return [(n, p) for n, p in net.state_dict().items() if n.endswith("weight") and n.startswith(kinds)]

    from gatys_lab.networks._vgg import VGG

    widths = {step: (64, 128, 256, 512, 512)[int(step[4]) - 1] for step in lite.WIDTHS}
    whole = cost(parameters(VGG("vgg19", widths), ("conv",)))
    heads = [(n, p) for n, p in parameters(lite.create(), ("head",)) if n[4:7] in {k[4:] for k in STYLE}]
    assert cost(parameters(lite.create(), ("conv",))) + cost(heads) < whole / 8
