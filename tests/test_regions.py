"""Masks in the engine: what a region is at a layer, and what a job makes of it with every style loss."""

import loss_cases
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from gatys_lab import catalog, stylize
from gatys_lab.images import read, resize
from gatys_lab.job import prepare
from gatys_lab.losses import gram
from gatys_lab.masks import SEEN, at_layer, claims
from gatys_lab.objective import Region, balanced, content, style
from gatys_lab.styles import Style

QUICK = {"size_px": 64, "evaluations": 4, "single_scale": True}
every_loss = pytest.mark.parametrize("name", catalog.names("losses"))


def left(height, width, columns):
    """A mask that is white in the first columns."""
    mask = torch.zeros(1, 1, height, width)
    mask[..., :columns] = 1
    return mask


# At a layer


def slow_at_layer(mask, amount, h, w, receptive_px):
    """`at_layer`, a cell at a time."""
    stride, found = mask.shape[0] // h, np.empty((h, w))
    reach = round((SEEN * receptive_px / stride - 1) / 2)
    for y in range(h):
        for x in range(w):
            below = np.s_[y * stride : (y + 1) * stride, x * stride : (x + 1) * stride]
            rows, columns = (slice(max(0, i - reach) * stride, (i + reach + 1) * stride) for i in (y, x))
            seen = mask[rows, columns]
            found[y, x] = amount[below].mean() * seen.mean() ** 2 / max((seen**2).mean(), 1e-6)
    return found


@pytest.mark.parametrize(("stride", "receptive_px"), [(1, 1), (1, 3), (2, 10), (4, 24), (8, 68)])
def test_cells_count_less_where_they_see_across_a_border(stride, receptive_px):
    mask, amount = (left(48, 64, 30) + 0.3 * torch.rand(1, 1, 48, 64)).clamp(max=1), torch.rand(1, 1, 48, 64)
    cells = at_layer(mask, amount, torch.empty(1, 5, 48 // stride, 64 // stride), receptive_px)
    slow = slow_at_layer(*(m[0, 0].double().numpy() for m in (mask, amount)), *cells.shape[2:], receptive_px)
    torch.testing.assert_close(cells[0, 0].double(), torch.from_numpy(slow), atol=1e-5, rtol=0)


def test_a_constant_mask_is_itself_at_every_layer():
    for value in (1.0, 0.25):
        mask = torch.full((1, 1, 37, 50), value)
        for receptive_px in (1, 24, 156):
            cells = at_layer(mask, mask, torch.empty(1, 5, 9, 12), receptive_px)
            torch.testing.assert_close(cells, torch.full_like(cells, value))


def test_a_network_says_how_far_its_cells_see(network):
    network.pooling = "avg"  # through which every pixel is felt
    for layer in ("input", "relu1_1", "relu1_2", "pool1", "relu2_1", "relu3_1"):
        image = torch.rand(1, 3, 48, 48, dtype=torch.float64, requires_grad=True)
        cells = network(image, (layer,))[layer]
        (gradient,) = torch.autograd.grad(cells[0, :, cells.shape[2] // 2, cells.shape[3] // 2].sum(), image)
        seen = (gradient[0].abs().sum(0) > 0).any(0).nonzero()
        assert int(seen.max() - seen.min()) + 1 == network.receptive_px(layer), layer


def test_where_styles_overlap_their_weights_divide_the_place():
    masks = [left(2, 8, 6), 1 - left(2, 8, 4)]
    first, second = (claim[0, 0, 0] for claim in claims([0.25, 0.75], masks))
    torch.testing.assert_close(first, torch.tensor([1.0, 1, 1, 1, 0.25, 0.25, 0, 0]))
    torch.testing.assert_close(second, torch.tensor([0.0, 0, 0, 0, 0.75, 0.75, 1, 1]))


# In the losses

ALONE = {label: case for label, case in loss_cases.SMOOTH.items() if label not in ("linear time", "swap", "mrf")} | {
    "swap": ("style-swap", {"patch": 1}),
    "mrf": ("mrf", {"patch": 1}),
}


@pytest.mark.parametrize("label", ALONE)
def test_a_mask_of_black_and_white_is_the_white_positions_alone(label):
    name, options = ALONE[label]
    options = options | ({"bandwidth": 1.3} if name == "mmd-gaussian" else {})
    f, look = loss_cases.features(3, 6, 7, seed=0), loss_cases.features(3, 5, 8, seed=1)
    where, what = torch.rand(1, 1, 6, 7) > 0.6, torch.rand(1, 1, 5, 8) > 0.5
    chosen = [t[mask.expand_as(t)].view(1, 3, 1, -1) for t, mask in ((f, where), (look, what))]
    masked = loss_cases.value(name, f, look, (where.double(), what.double()), **options)
    assert masked == pytest.approx(loss_cases.value(name, *chosen, **options), rel=1e-9)


@every_loss
def test_a_term_in_a_region_is_its_loss_there_times_the_regions_share(network, name):
    photo, look, x = (torch.rand(1, 3, h, 32, dtype=torch.float64) for h in (24, 28, 24))
    f, s, c = (network(image, ("relu2_1",))["relu2_1"] for image in (x, look, photo))
    where, what = left(*c.shape[2:], 10) * 0.6, left(*s.shape[2:], 9)
    region = Region({"relu2_1": where}, {"relu2_1": what})
    found = style(name, "relu2_1").fit({"relu2_1": c}, {"relu2_1": s}, regions=[region])({"relu2_1": f}).total
    loss = catalog.load("losses", name)
    wanted = loss(f, loss.fit(s, c, what.double()), where.double()) * float(where.mean())
    torch.testing.assert_close(found, wanted)


@every_loss
def test_in_half_the_picture_a_style_is_as_strong_as_in_all_of_it(network, name):
    photo, look = (torch.rand(1, 3, 24, 32, dtype=torch.float64) for _ in range(2))
    wanted = content("relu2_1") + 4 * style(name, "relu2_1")
    c, s = (network(image, ("relu2_1",)) for image in (photo, look))
    fitted = balanced(wanted.fit(c, s, regions=[Region({"relu2_1": left(12, 16, 8)})]), network, photo)
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0)).to(photo)
    point = (photo + 0.1 * noise).clamp(0, 1).requires_grad_()
    only = fitted.weights[1] * fitted.losses[1](network(point, ("relu2_1",))["relu2_1"])
    assert float(torch.autograd.grad(only, point)[0].norm()) == pytest.approx(4 * 0.5**0.5)


def test_a_region_too_small_for_a_layer_is_left_to_the_others(network):
    photo = torch.rand(1, 3, 24, 32, dtype=torch.float64)
    features = network(photo, ("relu1_1", "relu2_1"))
    region = Region({"relu1_1": left(24, 32, 3), "relu2_1": torch.zeros(1, 1, 12, 16)})
    fitted = style("gram", ("relu1_1", "relu2_1")).fit(features, features, regions=[region])
    assert [term.layer for term in fitted.terms] == ["relu1_1"]


class Plain:
    """A user's own loss, which knows nothing of masks."""

    def fit(self, style, content):
        return style.mean((2, 3))

    def __call__(self, features, target):
        return (features.mean((2, 3)) - target).square().sum()


def test_a_loss_without_weights_works_without_masks(photo, painting):
    assert stylize(photo, painting, style_loss={Plain(): 1.0}, **QUICK).reason == "budget"
    half = left(36, 45, 20)
    with pytest.raises(ValueError, match="Plain takes no masks; give its fit"):
        stylize(photo, Style(painting, content_mask=half), style_loss={Plain(): 1.0}, **QUICK)


# In a job


def painted(photo, styles, name, **options):
    options = QUICK | {"style_layers": {"relu2_1": 1.0, "relu3_1": 1.0}} | options
    return stylize(photo, styles, style_loss=name, **options).pixels


@every_loss
def test_all_white_is_no_mask(photo, painting, name):
    white = Pillow.new("L", (90, 72), 255), Pillow.new("L", (30, 30), 255)
    masked = painted(photo, Style(painting, content_mask=white[0], style_mask=white[1]), name)
    assert torch.equal(masked, painted(photo, painting, name))


@every_loss
def test_what_no_mask_claims_stays_the_photo(photo, painting, name):
    out = painted(photo, Style(painting, content_mask=left(72, 90, 45)), name, init="noise", evaluations=12)
    own = resize(read(photo).image, 64)
    torch.testing.assert_close(out[..., 33:], own[..., 33:], atol=0, rtol=0)
    assert (out - own)[..., :31].abs().mean() > 0.02


@every_loss
def test_styles_beside_each_other_do_not_look_like_each_other(photo, painting, name):
    dark, bright = (resize(read(painting).image, 64) * 0.3 + shift for shift in (0.0, 0.7))
    masks = left(72, 90, 45), 1 - left(72, 90, 45)
    results = []
    for looks in ((dark, bright), (bright, dark)):
        styles = [Style(look, content_mask=mask) for look, mask in zip(looks, masks, strict=True)]
        results.append(painted(photo, styles, name, evaluations=25, balance=50.0, style_layers={"relu1_1": 1.0}))
    change = (results[1] - results[0]).mean((0, 1, 2))  # a column
    assert change[:30].mean() > 0.008 and change[34:].mean() < -0.008


@every_loss
def test_what_a_style_mask_hides_is_not_painted(photo, painting, name):
    look = resize(read(painting).image, 80)
    changed = look.clone()
    changed[..., 60:] = 1 - changed[..., 60:]
    mask = left(80, 80, 40)  # a cell of relu3_1 sees 12 px beyond
    results = [
        painted(photo, Style(p, style_mask=mask), name, style_scale=1.25, evaluations=6) for p in (look, changed)
    ]
    torch.testing.assert_close(*results, atol=1e-3, rtol=0)
    assert not torch.allclose(results[1], painted(photo, changed, name, style_scale=1.25, evaluations=6), atol=1e-2)


def test_no_halo_on_either_side_of_a_border(photo, painting):
    half = left(72, 90, 45)
    out = stylize(photo, Style(painting, content_mask=half), size_px=90, evaluations=25, balance=20.0).pixels
    change = (out - resize(read(photo).image, 90)).square().mean((0, 1, 2)).sqrt()  # a column
    assert (change[46:] == 0).all()
    assert change[38:44].mean() > 0.5 * change[10:30].mean()


def test_a_soft_mask_is_soft(photo, painting):
    ramp = torch.linspace(1, 0, 90).expand(1, 1, 72, 90)
    out = stylize(photo, Style(painting, content_mask=ramp), evaluations=15, balance=20.0).pixels
    change = (out - read(photo).image).square().mean((0, 1, 2)).sqrt()
    first, middle, last = (float(part.mean()) for part in change.split(30))
    assert first > middle > last > 0


def test_masks_are_resized_and_those_that_cannot_be_meant_are_refused(photo, painting):
    small = Style(painting, content_mask=left(36, 45, 20), style_mask=left(20, 20, 9))
    assert stylize(photo, small, **QUICK).image.size == (64, 51)
    cases = {
        "a mask of 10 x 20 px for a photo of 90 x 72 px": {"content_mask": torch.ones(1, 1, 20, 10)},
        "a mask of 10 x 20 px for a painting of 80 x 80 px": {"style_mask": torch.ones(1, 1, 20, 10)},
        "the mask of a photo is black everywhere": {"content_mask": torch.zeros(1, 1, 72, 90)},
        "the mask of a painting is black everywhere": {"style_mask": np.zeros((80, 80), np.uint8)},
    }
    for words, masks in cases.items():
        with pytest.raises(ValueError, match=words):
            prepare(photo, Style(painting, **masks), **QUICK)
    with pytest.raises(ValueError, match="1 content masks for 2 styles; give one each, or none"):
        prepare(photo, [Style(painting, content_mask=left(72, 90, 9)), painting], **QUICK)


def test_a_model_begins_with_masks_too(photo, painting):
    images = []
    stylize(
        photo,
        Style(painting, content_mask=left(72, 90, 45)),
        init="adain",
        callbacks=[lambda step: images.append(step.image.clone())],
        **QUICK,
    )
    own = resize(read(photo).image, 64)
    torch.testing.assert_close(images[0][..., 33:], own[..., 33:], atol=0, rtol=0)
    assert (images[0] - own)[..., :31].abs().mean() > 0.02


def test_gradients_in_a_region_with_raw_weights_are_those_of_the_whole_picture(network):
    """The same features everywhere: then a region's statistics are the picture's, and so is the pull on its cells."""
    tile = torch.rand(1, 4, 6, 6, dtype=torch.float64)
    f, s = tile.repeat(1, 1, 1, 2).requires_grad_(), torch.rand(1, 4, 6, 6, dtype=torch.float64)
    gradients = []
    for regions in ([], [Region({"relu1_1": left(6, 12, 6)})]):
        fitted = style(gram.build(), "relu1_1").fit({"relu1_1": f}, {"relu1_1": s}, regions=regions)
        gradients += torch.autograd.grad(fitted({"relu1_1": f}).total, f)
    whole, half = gradients
    torch.testing.assert_close(half[..., :6], whole[..., :6])
    assert (half[..., 6:] == 0).all()
