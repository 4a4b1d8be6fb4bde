"""Contracts of the feed-forward models: every name in models/, at every kind of size."""

import pytest
import torch

from gatys_lab import catalog
from gatys_lab.errors import UnknownName
from gatys_lab.models import _files, _mirror, adaattn, adain, inverse
from gatys_lab.models._base import fingerprint, shares_of
from gatys_lab.models._moments import colours, mean_std
from gatys_lab.networks import lite

CREATE = {"adain": adain.create, "adaattn": adaattn.create, "inverse": inverse.create}


def a_model(name, **options):
    """Random weights whose pictures fill [0, 1] without leaving it much."""
    torch.manual_seed(0)
    model = CREATE[name](lite.build(), **options).eval().requires_grad_(False)
    for module in model.decoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    picture, last = torch.rand(1, 3, 48, 48), model.decoder.conv1_1
    painted = model.decode(model.features(picture), [model.style_of(picture)], shares_of([{}], None, None), 1.0)
    last.weight.mul_(0.15 / painted.std())
    last.bias.copy_(0.5 + (last.bias - painted.mean()) * 0.15 / painted.std())
    return model


@pytest.fixture(params=catalog.names("models"))
def model(request):
    return a_model(request.param)


NORMS = [("adain", {"norm": "colour"}), ("adain", {"norm": "style"})]


@pytest.fixture(params=[*((name, {}) for name in catalog.names("models")), *NORMS], ids=str)
def painter(request):
    name, options = request.param
    return a_model(name, **options)


def test_every_file_is_a_model_with_the_name_that_the_user_types(model):
    assert set(catalog.names("models")) == set(CREATE)
    assert model.name in CREATE


@pytest.mark.parametrize("size", [(48, 64), (49, 65), (37, 50), (33, 95)])
def test_the_result_is_as_large_as_the_content_whatever_the_style(painter, size):
    style = painter.style_of(torch.rand(1, 3, 41, 70))
    result = painter(torch.rand(2, 3, *size), style)
    assert result.shape == (2, 3, *size) and result.isfinite().all() and result.min() >= 0 and result.max() <= 1


def test_a_batch_is_its_pictures_one_by_one(painter):
    content, style = torch.rand(3, 3, 48, 40), torch.rand(3, 3, 40, 48)
    together = painter(content, painter.style_of(style))
    for i in range(3):
        alone = painter(content[i : i + 1], painter.style_of(style[i : i + 1]))
        torch.testing.assert_close(together[i : i + 1], alone, atol=5e-4, rtol=1e-3)  # softmax of large logits


def test_alpha_goes_from_the_photo_to_the_style(painter):
    content, style = torch.rand(1, 3, 48, 48), painter.style_of(torch.rand(1, 3, 48, 48) ** 3)
    other = painter.style_of(torch.rand(1, 3, 48, 48))
    none, half, full = (painter(content, style, alpha=a) for a in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, painter(content, other, alpha=0.0))  # no style has a say in it
    assert not torch.equal(none, half) and not torch.equal(half, full)
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="alpha is"):
            painter(content, style, alpha=alpha)


def test_styles_are_mixed_by_weight_and_one_weight_is_that_style(painter):
    content = torch.rand(1, 3, 48, 48)
    a, b = (painter.style_of(torch.rand(1, 3, 48, 48) ** p) for p in (1, 4))
    torch.testing.assert_close(painter(content, [a, b], weights=[2, 0]), painter(content, a), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        painter(content, [a, b], weights=[1, 3]), painter(content, [a, b], weights=[0.25, 0.75]), atol=1e-5, rtol=1e-4
    )
    for weights in ([1], [0, 0], [-1, 2], [float("inf"), 1]):
        with pytest.raises(ValueError, match="weights"):
            painter(content, [a, b], weights=weights)
    with pytest.raises(ValueError, match="no style"):
        painter(content, [])


def test_masks_say_which_style_is_painted_where(model):
    content = torch.rand(1, 3, 128, 256)
    a, b = (model.style_of(torch.rand(1, 3, 64, 64) ** p) for p in (1, 4))
    left = torch.zeros(1, 1, 128, 256)
    left[..., :128] = 1
    full, nowhere, close = torch.ones_like(left), torch.zeros_like(left), {"atol": 1e-4, "rtol": 1e-3}
    torch.testing.assert_close(model(content, [a, b], masks=[full, nowhere]), model(content, a), **close)
    torch.testing.assert_close(model(content, [a], masks=[nowhere]), model(content, a, alpha=0.0), **close)
    both = model(content, [a, b], masks=[left, 1 - left])
    changed = model(content, [a, a], masks=[left, 1 - left])
    assert (both - changed)[..., :48].abs().max() < 1e-3 < (both - changed)[..., -48:].abs().max()
    alone = model(content, [a], masks=[left]) - model(content, a, alpha=0.0)
    assert alone[..., -48:].abs().max() < 1e-3 < alone[..., :48].abs().max()


@pytest.mark.parametrize("size", [(1, 3, 7, 5), (2, 4, 2, 9), (1, 6, 1, 1)])
def test_convolving_before_doubling_is_convolving_what_was_doubled(size):
    def both(convolve):
        torch.manual_seed(0)
        x, weight, bias = torch.rand(size), torch.randn(8, size[1], 3, 3), torch.randn(8)
        given = [t.requires_grad_() for t in (x, weight, bias)]
        found = convolve(*given)
        return [found, *torch.autograd.grad((found * torch.rand(found.shape)).sum(), given)]

    plain = both(lambda x, weight, bias: _mirror._reflected(_mirror._double(x), weight, bias))
    for found, wanted in zip(both(_mirror._doubled), plain, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_masks_part_the_moments_that_a_decoder_takes():
    """In each region the picture has the colours of its own style, and where there is none those of the photo."""
    model = a_model("adain", norm="style")
    content, left = torch.rand(1, 3, 128, 256), torch.zeros(1, 1, 128, 256)
    left[..., :128] = 1
    dark, bright = (model.style_of(p * torch.rand(1, 3, 64, 64) + q) for p, q in ((0.2, 0.2), (0.2, 0.65)))
    full, nowhere, close = torch.ones_like(left), torch.zeros_like(left), {"atol": 1e-3, "rtol": 1e-3}
    torch.testing.assert_close(model(content, [dark, bright], masks=[full, nowhere]), model(content, dark), **close)
    torch.testing.assert_close(model(content, [dark], masks=[nowhere]), model(content, dark, alpha=0.0), **close)
    both, alone = model(content, [dark, bright], masks=[left, 1 - left]), model(content, [dark], masks=[left])
    for picture, wanted in ((both, 0.75), (alone, 0.5)):
        assert picture[..., :128].mean() == pytest.approx(0.3, abs=0.02)
        assert picture[..., 128:].mean() == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("count", [1, 2])
def test_norm_style_gives_what_the_decoder_has_undone_the_styles_moments(count):
    model, seen = a_model("adain", norm="style"), {}
    features, style = model.features(torch.rand(count, 3, 64, 80)), model.style_of(torch.rand(count, 3, 48, 56) ** 2)
    everywhere = shares_of([style], None, None)
    adapt = model.adaptation(features, [style], everywhere, 1.0)
    deep = model.target(features[adain.LAYER], [style], everywhere)

    def watched(layer, x):
        seen[layer] = x, adapt(layer, x)
        return seen[layer][1]

    assert model.decoder(deep, adapt=watched) is seen["input"][1] and set(seen) == set(adain.LEVELS["style"])
    for layer, (before, after) in seen.items():
        alive = before.var((2, 3)) > 0.01  # a ReLU may have left next to nothing of a channel
        mean, std = (colours if layer == "input" else mean_std)(after)
        torch.testing.assert_close(mean, style[f"{layer} mean"], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(std[alive], style[f"{layer} std"][alive], atol=1e-2, rtol=1e-2)
        assert alive.float().mean() > 0.4
    with pytest.raises(UnknownName, match=r"no norm 'layer' .*; there are none, batch, instance, colour, style"):
        adain.create(lite.build(), norm="layer")
    with pytest.raises(ValueError, match="concat has no moments"):
        adain.create(lite.build(), transform="concat", norm="style")


def test_a_style_mask_hides_the_rest_of_the_painting(painter):
    painting, mask = torch.rand(1, 3, 64, 128), torch.zeros(1, 1, 64, 128)
    mask[..., :48] = 1
    changed = painting.clone()
    changed[..., 128 - 16 :] = 0  # so far away that no cell under the mask sees it, but in relu5_1
    content = torch.rand(1, 3, 48, 48)
    a, b = (painter(content, painter.style_of(p, mask)) for p in (painting, changed))
    whole = painter(content, painter.style_of(changed)) - painter(content, painter.style_of(painting))
    assert (a - b).abs().max() < 0.2 * whole.abs().max()


def test_half_precision_is_close(painter):
    content, painting = torch.rand(1, 3, 48, 48), torch.rand(1, 3, 48, 48)
    exact = painter(content, painter.style_of(painting))
    painter.bfloat16()
    style = painter.style_of(painting)
    halves = {name: tensor.bfloat16() for name, tensor in style.items()}
    for rounded in (painter(content, style), painter(content, halves)):
        assert rounded.dtype == torch.float32
        assert (rounded - exact).abs().mean() < 0.2 * (exact - painting.mean()).abs().mean()


def test_pictures_too_small_are_refused_in_one_line(model):
    with pytest.raises(ValueError, match=r"a picture of 40 x 1 px; .* needs"):
        model.style_of(torch.rand(1, 3, 1, 40))


def test_the_encoder_of_the_caller_is_left_as_it_was():
    network = lite.build()
    CREATE["adain"](network).bfloat16()
    assert not network.ceil_mode and network.conv1_1.weight.dtype == torch.float32


@pytest.mark.parametrize("mask", [torch.zeros(1, 1, 48, 48), torch.ones(2, 1, 48, 48)])
def test_a_style_mask_is_one_region_that_is_not_empty(model, mask):
    with pytest.raises(ValueError, match="wanted one"):
        model.style_of(torch.rand(2, 3, 48, 48), mask)


def test_weights_come_back_from_their_file(model, tmp_path):
    path = tmp_path / "m.safetensors"
    _files.save(model, path, {})
    again = catalog.load("models", model.name, weights=path)
    content, painting = torch.rand(1, 3, 48, 48), torch.rand(1, 3, 48, 48)
    a, b = (m(content, m.style_of(painting)) for m in (model, again))
    assert (a - b).abs().max() < 0.02  # half precision
    assert not again.training and again.encoder.name == "lite"
    assert not any(weight.requires_grad for weight in again.parameters())  # else using it would build a graph


def test_a_style_file_serves_its_own_model_and_no_other(model, tmp_path):
    style = model.style_of(torch.rand(1, 3, 48, 48))
    _files.save_style(style, model, tmp_path / "s.safetensors")
    again = _files.load_style(tmp_path / "s.safetensors", model)
    assert all(torch.equal(style[k], again[k]) for k in style) and set(again) == set(style)
    for other in CREATE:
        if other != model.name:
            with pytest.raises(ValueError, match=f"style of {model.name} .*, not of {other}"):
                _files.load_style(tmp_path / "s.safetensors", a_model(other))
    same = a_model(model.name).bfloat16()
    assert set(_files.load_style(tmp_path / "s.safetensors", same)) == set(style)
    changed = a_model(model.name)
    changed.encoder.conv1_1.weight.data[0] += 0.1
    with pytest.raises(ValueError, match=f"not of {model.name} with weights"):
        _files.load_style(tmp_path / "s.safetensors", changed)
    with pytest.raises(ValueError, match=f"holds a style of {model.name}, wanted weights of"):
        catalog.load("models", model.name, weights=tmp_path / "s.safetensors")


def test_weights_of_another_encoder_or_model_are_refused(model, tmp_path):
    path = tmp_path / "m.safetensors"
    _files.save(model, path, {})
    changed = lite.build()
    changed.conv1_1.weight.data[0] += 0.1
    with pytest.raises(ValueError, match="was made for the encoder lite"):
        catalog.load("models", model.name, weights=path, encoder=changed)
    other = next(name for name in CREATE if name != model.name)
    with pytest.raises(ValueError, match=f"holds {model.name}, wanted weights of {other}"):
        catalog.load("models", other, weights=path)
    (tmp_path / "text.safetensors").write_text("hello, this is no file of weights")
    with pytest.raises(ValueError, match="cannot read"):
        catalog.load("models", model.name, weights=tmp_path / "text.safetensors")


def test_a_fingerprint_is_of_values_alone():
    a, b = lite.build(), lite.build()
    assert fingerprint(a) == fingerprint(b) and len(fingerprint(a)) == 12
    b.conv5_1.bias.data[3] += 0.1
    assert fingerprint(a) != fingerprint(b)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adain", {"transform": "concat"}),
        ("adain", {"norm": "batch"}),
        ("adain", {"norm": "instance"}),
        *NORMS,
        ("adaattn", {"form": "cosine"}),
        ("adaattn", {"form": "sanet"}),
        ("adaattn", {"shallow": False}),
        ("inverse", {"patch": 1}),
        ("inverse", {"norm": "batch"}),
    ],
)
def test_ablations_are_models_too_and_their_files_say_what_they_are(name, options, tmp_path):
    model, (content, painting) = a_model(name, **options), torch.rand(2, 1, 3, 48, 48)
    model.train()(content, model.style_of(painting))  # so that batch normalisation has seen something
    _files.save(model.eval(), tmp_path / "m.safetensors", options)
    again = catalog.load("models", name, weights=tmp_path / "m.safetensors")
    a, b = (m(content, m.style_of(painting)) for m in (model, again))
    assert a.shape == content.shape and (a - b).abs().max() < 0.02
    plain = a_model(name)
    assert not torch.allclose(plain(content, plain.style_of(painting)), a)


def test_a_style_of_an_ablation_is_not_the_models(tmp_path):
    concat = a_model("adain", transform="concat")
    _files.save_style(concat.style_of(torch.rand(1, 3, 48, 48)), concat, tmp_path / "s.safetensors")
    with pytest.raises(ValueError, match="is a style of adain"):
        _files.load_style(tmp_path / "s.safetensors", a_model("adain"))
    with pytest.raises(ValueError, match="takes no style masks"):
        concat.style_of(torch.rand(1, 3, 48, 48), torch.ones(1, 1, 48, 48))


def test_a_lite_of_ones_own_may_be_the_encoder(tmp_path):
    assert _files.encoder(lite.EMBEDDED).name == "lite"
    with pytest.raises(ValueError, match="no encoder 'vgg16'; there are vgg19, lite"):
        _files.encoder("vgg16")


def test_a_network_that_pads_with_zeros_needs_room_for_the_decoder_too():
    model = inverse.create(lite.build(padding="zeros"))
    with pytest.raises(ValueError, match="needs 5 px a side"):
        model.style_of(torch.rand(1, 3, 4, 40))
    assert model(torch.rand(1, 3, 9, 9), model.style_of(torch.rand(1, 3, 9, 9))).shape == (1, 3, 9, 9)


@pytest.mark.parametrize("form", adaattn.FORMS)
def test_attention_can_be_looked_at_and_is_what_the_mean_is_made_with(form):
    model, content = a_model("adaattn", form=form), torch.rand(1, 3, 48, 64)
    style, features = model.style_of(torch.rand(1, 3, 64, 48)), model.features(content)
    weights = model.attended(features, "relu4_1", style, torch.eye(8 * 6)[None], [0, 7, 41])
    assert weights.shape == (1, 8 * 6, 3) and weights.min() >= 0
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 3))
    query = model.attention["relu4_1"].f(model.known(features, "relu4_1")).flatten(2)
    mean, _ = model.attention["relu4_1"].attend(query, style["key relu4_1"], style["value relu4_1"])
    torch.testing.assert_close(style["value relu4_1"] @ weights, mean[..., [0, 7, 41]], atol=1e-4, rtol=1e-4)
    every = model.attended(features, "relu4_1", style, style["value relu4_1"])
    torch.testing.assert_close(every, mean, atol=1e-4, rtol=1e-4)
