"""What every style loss keeps, whichever file of losses/ it comes from: a new file is tested on arrival."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gatys_lab import catalog

SIGNED = ("mmd-gaussian linear", "mmd-gaussian unbiased")  # estimates that may fall below zero: see test_losses.py
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in catalog.names("losses")} | {
    "mmd-poly degree 1": ("mmd-poly", {"degree": 1}),
    "mmd-poly degree 3": ("mmd-poly", {"degree": 3, "c": 1.0}),
    "mmd-gaussian linear": ("mmd-gaussian", {"estimator": "linear"}),
    "mmd-gaussian exact": ("mmd-gaussian", {"estimator": "exact"}),
    "mmd-gaussian unbiased": ("mmd-gaussian", {"estimator": "exact", "unbiased": True}),
    "style-swap patch 1": ("style-swap", {"patch": 1}),
    "mrf patch 1": ("mrf", {"patch": 1}),
}
ROUNDING = {"gaussian-wasserstein": 1e-9}  # it takes roots of eigenvalues
FLAT = {"black": 0.0, "white": 1.0, "constant": 7.3}

every_loss = pytest.mark.parametrize("label", VARIANTS)


def build(label: str) -> Any:
    name, options = VARIANTS[label]
    return catalog.load("losses", name, **options)


def pair(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A style (1, 6, 5, 7) and a content (1, 6, 6, 4), as after a ReLU, with a dead channel."""
    style, content = torch.randn(1, 6, 5, 7, dtype=dtype).relu(), torch.randn(1, 6, 6, 4, dtype=dtype).relu()
    style[:, 2] = content[:, 2] = 0
    return style, content


def value_and_gradient(
    loss: Any, features: Tensor, target: Any, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    features = features.detach().clone().requires_grad_()
    value = loss(features, target, weights)
    return value.detach(), torch.autograd.grad(value, features)[0]


@every_loss
def test_zero_at_the_style_itself_and_positive_elsewhere(label: str) -> None:
    style, content = pair()
    loss = build(label)
    target = loss.fit(style, content)
    goal = target if label.startswith("style-swap") else style  # its target carries the content
    if label not in (*SIGNED, "mrf patch 1"):  # a correlation does not see the length of a patch with one live channel
        assert float(loss(goal, target)) == pytest.approx(0, abs=ROUNDING.get(label, 1e-12))
        assert loss(goal, target) >= 0
        assert loss(content, target) > 1e-6
    assert loss(content, target).shape == ()


@every_loss
def test_it_says_whether_it_is_fitted_to_the_content(label: str) -> None:
    (style, content), loss = pair(), build(label)
    try:
        value = float(loss(content, loss.fit(style, style.new_empty(0))))  # what it is given if it needs none
    except (ValueError, IndexError, RuntimeError):
        value = float("nan")
    ignored = value == float(loss(content, loss.fit(style, content)))
    assert ignored == (not getattr(loss, "needs_content", True))


@every_loss
@pytest.mark.parametrize("style_level", [*FLAT, "random"])
@pytest.mark.parametrize("level", [*FLAT, "random"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_at_flat_pictures(label: str, style_level: str, level: str, dtype: torch.dtype) -> None:
    style, content = pair(dtype)
    style = style if style_level == "random" else torch.full_like(style, FLAT[style_level])
    features = content if level == "random" else torch.full_like(content, FLAT[level])
    loss = build(label)
    for fitted_to in (content, features):
        value, gradient = value_and_gradient(loss, features, loss.fit(style, fitted_to))
        assert value.isfinite()
        assert gradient.isfinite().all()


@every_loss
def test_the_same_value_for_the_same_features_tiled(label: str) -> None:
    if label in (*SIGNED, "style-swap", "mrf"):  # estimates; patches across a seam are new ones ("patch 1" has none)
        pytest.skip("not a function of the positions as a set")
    style, content = pair()
    loss = build(label)
    tiled = loss(content.repeat(1, 1, 2, 2), loss.fit(style.repeat(1, 1, 2, 2), content.repeat(1, 1, 2, 2)))
    assert float(tiled) == pytest.approx(float(loss(content, loss.fit(style, content))), rel=1e-5)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_are_summed_in_single(label: str, dtype: torch.dtype) -> None:
    style, content = pair(dtype)
    loss = build(label)
    value, gradient = value_and_gradient(loss, content, loss.fit(style, content))
    expected, _ = value_and_gradient(loss, content.float(), loss.fit(style.float(), content.float()))
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert value == expected


@every_loss
def test_the_largest_half_precision_features_do_not_overflow(label: str) -> None:
    style, content = (t / t.max() * 60_000 for t in pair(torch.float16))
    loss = build(label)
    assert loss(content, loss.fit(style, content)).isfinite()


@every_loss
def test_double_precision_stays(label: str) -> None:
    style, content = pair()
    loss = build(label)
    assert loss(content, loss.fit(style, content)).dtype == torch.float64


@every_loss
def test_memory_format_does_not_matter(label: str) -> None:
    style, content = pair()
    loss = build(label)
    strided = [t.to(memory_format=torch.channels_last) for t in (style, content)]
    torch.testing.assert_close(loss(strided[1], loss.fit(*strided)), loss(content, loss.fit(style, content)))


@every_loss
def test_a_target_is_fitted_once_and_detached(label: str) -> None:
    style, content = (t.requires_grad_() for t in pair())
    loss = build(label)
    first, second = loss.fit(style, content), loss.fit(style, content)
    value = loss(content.detach(), first)
    assert not value.requires_grad
    assert value == loss(content.detach(), first) == loss(content.detach(), second)


@every_loss
def test_a_mask_of_ones_is_no_mask(label: str) -> None:
    style, content = pair()
    loss = build(label)
    ones = [torch.ones_like(t[:, :1]) for t in (style, content)]
    plain, plain_gradient = value_and_gradient(loss, content, loss.fit(style, content))
    masked, masked_gradient = value_and_gradient(loss, content, loss.fit(style, content, ones[0]), ones[1])
    torch.testing.assert_close(masked, plain)
    torch.testing.assert_close(masked_gradient, plain_gradient)


@every_loss
def test_what_a_mask_hides_has_no_influence(label: str) -> None:
    style, content = pair()
    masks = [0.5 + torch.rand_like(t[:, :1]) / 2 for t in (style, content)]
    masks[0][..., 4:] = masks[1][..., 3:, :] = 0
    loss = build(label)
    value, gradient = value_and_gradient(loss, content, loss.fit(style, content, masks[0]), masks[1])
    assert (gradient[..., 3:, :] == 0).all()
    assert (gradient[..., :3, :] != 0).any()
    hidden = [t + 10 * torch.rand_like(t) * (mask == 0) for t, mask in zip((style, content), masks, strict=True)]
    torch.testing.assert_close(loss(hidden[1], loss.fit(hidden[0], content, masks[0]), masks[1]), value)


@every_loss
def test_an_empty_mask_asks_for_nothing(label: str) -> None:
    style, content = pair()
    loss = build(label)
    value, gradient = value_and_gradient(loss, content, loss.fit(style, content), torch.zeros_like(content[:, :1]))
    assert value.isfinite()
    assert (gradient == 0).all()


@every_loss
def test_an_empty_mask_of_the_style_gives_no_nan(label: str) -> None:
    style, content = pair()
    loss = build(label)
    if label.startswith(("style-swap", "mrf")):
        with pytest.raises(ValueError, match="mask leaves no patch"):
            loss.fit(style, content, torch.zeros_like(style[:, :1]))
        return
    value, gradient = value_and_gradient(loss, content, loss.fit(style, content, torch.zeros_like(style[:, :1])))
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_loss
def test_a_mask_on_one_cell(label: str) -> None:
    if label in ("style-swap", "mrf"):
        pytest.skip("one cell is no patch")
    style, content = pair()
    masks = [torch.zeros_like(t[:, :1]) for t in (style, content)]
    masks[0][..., 1, 2] = masks[1][..., 0, 0] = 0.3
    loss = build(label)
    value, gradient = value_and_gradient(loss, content, loss.fit(style, content, masks[0]), masks[1])
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_loss
def test_a_mask_of_another_size_is_refused(label: str) -> None:
    style, content = pair()
    loss = build(label)
    with pytest.raises(ValueError, match="a mask of 2 x 2 cells for features of 5 x 7"):
        loss.fit(style, content, torch.ones(1, 1, 2, 2))
    with pytest.raises(ValueError, match="a mask of 2 x 2 cells for features of 6 x 4"):
        loss(content, loss.fit(style, content), torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize("name", catalog.names("losses"))
def test_an_unknown_option_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no option 'colour'"):
        catalog.load("losses", name, colour=1)
