import dataclasses

import pytest
import torch

from gatys_lab import catalog, variation
from gatys_lab.losses import gram
from gatys_lab.networks import lite
from gatys_lab.objective import balanced, content, smoothness, style

LAYERS = ("relu1_1", "relu3_1")


@pytest.fixture
def pictures():
    return torch.rand(1, 3, 20, 24, dtype=torch.float64), torch.rand(1, 3, 28, 20, dtype=torch.float64)


def fit(objective, network, photo, painting):
    return objective.fit(network(photo, objective.layers), network(painting, objective.layers))


def test_sums_and_products_are_those_of_the_parts(network, pictures):
    x = torch.rand(1, 3, 20, 24, dtype=torch.float64)
    pieces = {"content": content("relu2_1"), "gram": style("gram", LAYERS), "tv": smoothness()}
    features = network(x, ("relu2_1", *LAYERS, "input"))
    alone = {name: fit(piece, network, *pictures)(features).total for name, piece in pieces.items()}
    whole = fit(pieces["content"] + 3 * pieces["gram"] * 2 + 0.5 * pieces["tv"], network, *pictures)(features)
    torch.testing.assert_close(whole.total, alone["content"] + 6 * alone["gram"] + 0.5 * alone["tv"])
    torch.testing.assert_close(sum(whole.parts.values()), whole.total)
    assert set(whole.parts) == {"content relu2_1", "gram relu1_1", "gram relu3_1", "tv"}


def test_each_loss_is_what_its_formula_says(network, pictures):
    photo, painting = pictures
    x = torch.rand_like(photo)
    f, c, s = (network(image, ("relu2_1",))["relu2_1"] for image in (x, photo, painting))
    loss = fit(content("relu2_1"), network, *pictures)({"relu2_1": f})
    torch.testing.assert_close(loss.total, ((f - c) ** 2).mean())
    loss = fit(style("gram", "relu2_1"), network, *pictures)({"relu2_1": f})
    own = gram.build()
    torch.testing.assert_close(loss.total, own(f, own.fit(s, c)))
    l2, l1 = (fit(smoothness(kind), network, *pictures)({"input": x}).total for kind in ("l2", "l1"))
    dx, dy = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    torch.testing.assert_close(l2, (dx**2).mean() + (dy**2).mean())
    both = torch.stack([dx[..., :-1, :], dy[..., :-1]]).norm(dim=0)
    torch.testing.assert_close(l1, both.mean(), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="l2, l1"):
        smoothness("l3")


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("kind", ["l2", "l1"])
def test_total_variation_is_the_same_in_bands(kind, around, monkeypatch):
    x = torch.rand(1, 3, 13, 9, dtype=torch.float64, requires_grad=True)

    def value(x):
        return variation.total_variation(x, kind, around=around)

    whole, (slope,) = value(x), torch.autograd.grad(value(x), x)
    assert torch.autograd.gradcheck(value, x)
    for rows in (1, 3, 5, 12):
        monkeypatch.setattr(variation, "BAND", 3 * (9 + around) * rows)
        torch.testing.assert_close(value(x), whole)
        torch.testing.assert_close(torch.autograd.grad(value(x), x)[0], slope)


def test_targets_are_detached(network, pictures):
    photo, painting = (p.requires_grad_() for p in pictures)
    loss = fit(content("relu2_1") + style("bn", LAYERS), network, photo, painting)
    assert not loss(network(photo.detach(), loss.layers)).total.requires_grad


def gradient_norm(fitted, network, point, groups):
    point = point.detach().requires_grad_()
    features = network(point, fitted.layers)
    total = sum(
        weight * loss(features[term.layer])
        for term, loss, weight in zip(fitted.terms, fitted.losses, fitted.weights, strict=True)
        if term.name in groups
    )
    return float(torch.autograd.grad(total, point)[0].norm())


@pytest.mark.parametrize("name", ["gram", "mmd-linear", "mmd-poly", "mmd-gaussian", "bn"])
def test_balance_means_the_same_for_every_loss(network, pictures, name):
    photo, _ = pictures
    wanted = content("relu2_1") + 5 * style(name, {"relu1_1": 1, "relu3_1": 3})
    fitted = balanced(fit(wanted, network, *pictures), network, photo, seed=4)
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(4)).to(photo)
    point = (photo + 0.1 * noise).clamp(0, 1)
    assert gradient_norm(fitted, network, point, {"content relu2_1"}) == pytest.approx(1)
    assert gradient_norm(fitted, network, point, {f"{name} relu1_1"}) == pytest.approx(5 / 4)
    assert gradient_norm(fitted, network, point, {f"{name} relu3_1"}) == pytest.approx(5 * 3 / 4)


def test_balance_does_not_depend_on_a_losses_own_scale(network, pictures):
    class Louder(gram.Gram):
        def __call__(self, features, target, weights=None):
            return 1000 * super().__call__(features, target, weights)

    photo, _ = pictures
    x = torch.rand_like(photo)
    totals = []
    for loss in (gram.build(), Louder()):
        fitted = balanced(fit(content("relu2_1") + 5 * style(loss, LAYERS), network, *pictures), network, photo)
        totals.append(fitted(network(x, fitted.layers)).total)
    torch.testing.assert_close(*totals)


def test_what_cannot_be_balanced_is_said(network, pictures):
    class Flat(gram.Gram):
        def __call__(self, features, target, weights=None):
            return 0 * super().__call__(features, target, weights)

    fitted = fit(content("relu2_1") + style(Flat(), LAYERS), network, *pictures)
    with pytest.raises(ValueError, match=r"cannot balance 'Flat relu1_1'.*raw weights"):
        balanced(fitted, network, pictures[0])


def moved(value, device):
    """Tensors on another device, however deep they lie."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if dataclasses.is_dataclass(value):
        parts = {f.name: moved(getattr(value, f.name), device) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    if isinstance(value, tuple):
        parts = [moved(part, device) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return {k: moved(v, device) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", catalog.names("losses"))
def test_an_evaluation_stays_on_its_device_and_waits_for_nothing(name, precision):
    """The meta device has no data: reading a number from it raises, and so does a tensor of another device."""
    net = lite.build().to(precision)
    objective = content("relu4_2") + style(name, ("relu1_1", "relu3_1")) + 1e-3 * smoothness()
    with torch.no_grad():
        fitted = fit(objective, net, torch.rand(1, 3, 48, 48), torch.rand(1, 3, 48, 48))
    image = torch.rand(1, 3, 48, 48, device="meta").requires_grad_()
    loss = moved(fitted, "meta")(net.to("meta")(image, objective.layers))
    (gradient,) = torch.autograd.grad(loss.total, image)
    assert gradient.is_meta and gradient.shape == image.shape and gradient.dtype == torch.float32
    assert all(part.is_meta for part in loss.parts.values())
