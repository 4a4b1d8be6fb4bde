"""Published checkpoints, with random weights, against the plain way of computing what their programs compute."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from vgg_files import as_normalised, tensors

from gatys_lab import catalog

POOLS_BEFORE = {"conv2_1", "conv3_1", "conv4_1", "conv5_1"}
VGG19 = tensors("vgg19", last="conv5_1")
STEPS = [key.removesuffix(".weight") for key in VGG19 if key.endswith(".weight")]


def vgg(image, *layers):
    """VGG-19 as vgg_normalised.pth describes it: BGR, reflection padding, pooling that rounds up."""
    from vgg_files import CAFFE_BIAS, CAFFE_WEIGHT

    x, found = F.conv2d(image, CAFFE_WEIGHT, CAFFE_BIAS), {}
    for step in STEPS:
        if step in POOLS_BEFORE:
            x = F.max_pool2d(x, 2, ceil_mode=True)
        x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), VGG19[f"{step}.weight"], VGG19[f"{step}.bias"]))
        found[step.replace("conv", "relu")] = x
    return [found[layer] for layer in layers]


def moments(x):
    """(N, C, h, w) with the published code's unbiased variance."""
    n, c = x.shape[:2]
    flat = x.reshape(n, c, -1)
    return flat.mean(2).view(n, c, 1, 1), (flat.var(2, unbiased=True) + 1e-5).sqrt().view(n, c, 1, 1)


def normal(x):
    mean, std = moments(x)
    return (x - mean) / std


def chain(widths, ups, first=1):
    """A Sequential of padding, convolution, ReLU, ..., with an up-sampling after the convolutions named."""
    layers = []
    for i, (a, b) in enumerate(pairwise(widths), start=first):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(a, b, 3), nn.ReLU()]
        layers += [nn.Upsample(scale_factor=2, mode="nearest")] if i in ups else []
    return layers


def calm(module):
    """Weights that keep the size of features, and a last convolution that paints within [0, 1]."""
    torch.manual_seed(3)
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    for conv in convolutions:
        nn.init.kaiming_normal_(conv.weight)
    return module.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg_normalised.pth"
    torch.save(as_normalised(VGG19), path)
    return path


@pytest.fixture(scope="module")
def adain_decoder():
    widths = (512, 256, 256, 256, 256, 128, 128, 64, 64, 3)
    decoder = nn.Sequential(*chain(widths, ups={1, 5, 7})[:-1])  # the last convolution has no activation
    calm(decoder)
    painted = decoder(vgg(torch.rand(1, 3, 64, 64), "relu4_1")[0])
    decoder[28].weight.mul_(0.15 / painted.std())
    decoder[28].bias.fill_(0.5)
    return decoder


def test_the_oracle_has_the_published_keys(adain_decoder):
    assert [k for k in adain_decoder.state_dict() if k.endswith("weight")] == [
        f"{i}.weight" for i in (1, 5, 8, 11, 14, 18, 21, 25, 28)
    ]
    assert sum(p.numel() for p in adain_decoder.parameters()) == 3_505_219


@pytest.mark.parametrize("name", ["decoder.pth", "decoder_iter_160000.pth.tar"])
@pytest.mark.parametrize("size", [(64, 96), (57, 83)])
def test_adain_is_the_published_one(encoder, adain_decoder, tmp_path, name, size):
    torch.save(adain_decoder.state_dict(), tmp_path / name)
    model = catalog.load("models", "adain", weights=tmp_path / name, encoder=encoder)
    content, style = torch.rand(1, 3, *size), torch.rand(1, 3, 72, 50)
    c, s = vgg(content, "relu4_1")[0], vgg(style, "relu4_1")[0]
    mean, std = moments(s)
    t = normal(c) * std + mean
    for alpha in (1.0, 0.6):
        wanted = adain_decoder(alpha * t + (1 - alpha) * c)[..., : size[0], : size[1]].clamp(0, 1)
        torch.testing.assert_close(model(content, model.style_of(style), alpha), wanted, atol=1e-4, rtol=0)


class Attention(nn.Module):
    def __init__(self, values, keys):
        super().__init__()
        self.f, self.g, self.h = nn.Conv2d(keys, keys, 1), nn.Conv2d(keys, keys, 1), nn.Conv2d(values, values, 1)

    def forward(self, content, style, content_key, style_key):
        q, k, v = self.f(content_key).flatten(2), self.g(style_key).flatten(2), self.h(style).flatten(2)
        a = torch.softmax(torch.einsum("ndp,ndq->npq", q, k), 2)
        mean = torch.einsum("npq,ncq->ncp", a, v)
        std = (torch.einsum("npq,ncq->ncp", a, v * v) - mean**2).relu().sqrt()
        return std.view_as(content) * normal(content) + mean.view_as(content)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn_adain_4_1, self.attn_adain_5_1 = Attention(512, 960), Attention(512, 1472)
        self.merge_conv = nn.Conv2d(512, 512, 3)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder_layer_1 = nn.Sequential(*chain((512, 256), ups={1}))
        widths = (512, 256, 256, 256, 128, 128, 64, 64, 3)
        self.decoder_layer_2 = nn.Sequential(*chain(widths, ups={4, 6})[:-1])


def published_adaattn(parts, content, style):
    attention3, transformer, decoder = parts
    layers = [f"relu{i}_1" for i in range(1, 6)]
    c, s = vgg(content, *layers), vgg(style, *layers)

    def key(features, last):
        size = features[last].shape[2:]
        return torch.cat([normal(F.interpolate(f, size, mode="nearest")) for f in features[: last + 1]], 1)

    blocks = (attention3, transformer.attn_adain_4_1, transformer.attn_adain_5_1)
    at3, at4, at5 = (block(c[i], s[i], key(c, i), key(s, i)) for i, block in enumerate(blocks, start=2))
    deep = at4 + F.interpolate(at5, scale_factor=2, mode="nearest")
    merged = F.conv2d(F.pad(deep, (1, 1, 1, 1), mode="reflect"), *transformer.merge_conv.parameters())
    return decoder.decoder_layer_2(torch.cat([decoder.decoder_layer_1(merged), at3], 1))


@pytest.fixture(scope="module")
def adaattn_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adaattn")
    parts = tuple(calm(part) for part in (Attention(256, 448), Transformer(), Decoder()))
    for part in parts[:2]:
        for name, parameter in part.named_parameters():
            if name.split(".")[-2] in ("f", "g"):
                parameter.mul_(0.2)  # attention that is neither uniform nor one position's alone
    painted = published_adaattn(parts, torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
    last = parts[2].decoder_layer_2[24]
    last.weight.mul_(0.15 / painted.std())
    last.bias.fill_(0.5)
    for part, name in zip(parts, ("adaattn_3", "transformer", "decoder"), strict=True):
        torch.save(part.state_dict(), folder / f"latest_net_{name}.pth")
    return folder, parts


def test_adaattn_is_the_published_one(encoder, adaattn_files):
    folder, parts = adaattn_files
    model = catalog.load("models", "adaattn", weights=folder, encoder=encoder)
    content, style = torch.rand(1, 3, 64, 96), torch.rand(1, 3, 96, 64)
    wanted = published_adaattn(parts, content, style).clamp(0, 1)
    torch.testing.assert_close(model(content, model.style_of(style)), wanted, atol=1e-4, rtol=0)
    assert model(content[..., :51, :77], model.style_of(style[..., :45, :63])).shape == (1, 3, 51, 77)


def test_what_does_not_fit_is_said(encoder, adain_decoder, adaattn_files, tmp_path):
    state = adain_decoder.state_dict()
    for change, message in (
        ({**state, "5.weight": torch.zeros(2, 2)}, r"5.weight is \(2, 2\), wanted \(256, 256, 3, 3\)"),
        ({k: v for k, v in state.items() if k != "28.bias"}, "28.bias is not there"),
        ({**state, "31.weight": torch.zeros(1)}, "holds 31.weight, which is not part"),
    ):
        torch.save(change, tmp_path / "decoder.pth")
        with pytest.raises(ValueError, match=message):
            catalog.load("models", "adain", weights=tmp_path / "decoder.pth", encoder=encoder)
    torch.save(state, tmp_path / "latest_net_adaattn_3.pth")
    with pytest.raises(ValueError, match=r"f.weight is not there, wanted \(448, 448, 1, 1\)"):
        catalog.load("models", "adaattn", weights=tmp_path, encoder=encoder)
    (tmp_path / "latest_net_adaattn_3.pth").unlink()
    with pytest.raises(FileNotFoundError, match=r"latest_net_adaattn_3\.pth"):
        catalog.load("models", "adaattn", weights=tmp_path, encoder=encoder)


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_would_run_code_is_refused(encoder, tmp_path, capsys):
    torch.save({"1.weight": Evil()}, tmp_path / "decoder.pth")
    with pytest.raises(ValueError, match="refused"):
        catalog.load("models", "adain", weights=tmp_path / "decoder.pth", encoder=encoder)
    assert "run" not in capsys.readouterr().out


def test_published_weights_want_the_encoder_that_they_were_trained_with(adain_decoder, adaattn_files, tmp_path):
    torch.save(adain_decoder.state_dict(), tmp_path / "decoder.pth")
    for name, weights in (("adain", tmp_path / "decoder.pth"), ("adaattn", adaattn_files[0])):
        for encoder in (None, "lite"):
            with pytest.raises(ValueError, match=r"wanted vgg_normalised\.pth"):
                catalog.load("models", name, weights=weights, encoder=encoder)
    with pytest.raises(ValueError, match="name their folder"):
        catalog.load("models", "adaattn", weights=adaattn_files[0] / "latest_net_decoder.pth")
