"""The MRF loss against a loop over all patches, its identities, its masks and its memory."""

import oracles
import pytest
import torch
from loss_cases import Largest, features, value

from gatys_lab import catalog
from gatys_lab.losses import _patches
from gatys_lab.losses.mrf import MRF


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_against_the_loop(patch: int, stride: int, masked: bool) -> None:
    f, style = features(4, 7, 6, seed=2) - 0.3, features(4, 6, 8, seed=3) - 0.3
    weights, mask = torch.ones(1, 1, 7, 6, dtype=torch.float64), torch.ones(1, 1, 6, 8, dtype=torch.float64)
    if masked:
        weights = torch.rand(1, 1, 7, 6, dtype=torch.float64)
        weights[..., 4, 2] = mask[..., 0, :] = mask[..., 4:, 5] = 0
    parts = (t.numpy()[0] for t in (f, style))
    expected = oracles.mrf(*parts, patch, stride, weights.numpy()[0, 0], mask.numpy()[0, 0])
    masks = (weights, mask) if masked else (None, None)
    assert value("mrf", f, style, masks, patch=patch, stride=stride) == pytest.approx(expected, rel=1e-10)


def test_a_part_of_the_style_has_only_its_patches() -> None:
    style = features(4, 12, 11, seed=0)
    assert value("mrf", style[..., 2:9, 3:], style) == pytest.approx(0, abs=1e-12)
    assert value("mrf", style.flip(3), style) > 1e-3


def test_matches_are_sought_at_every_evaluation() -> None:
    """Half-way from one patch of the style to another the picture belongs to the other: style swap's target stays."""
    style, content = features(4, 9, 9, seed=0), features(4, 8, 8, seed=1)
    loss, moved = MRF(), style[..., 1:, :8]
    target = loss.fit(style, content)
    assert float(loss(moved, target)) == pytest.approx(0, abs=1e-12)
    assert float(loss(content, target)) > 1e-3


def test_descending_it_finds_patches_of_the_style() -> None:
    style = features(3, 10, 10, seed=0)
    x = features(3, 8, 8, seed=1).requires_grad_()
    loss = MRF(patch=2)
    target = loss.fit(style, x)
    values = []
    for _ in range(20):
        now = loss(x, target)
        (slope,) = torch.autograd.grad(now, x)
        values.append(now.item())
        x = (x - 3 * 64 * 0.5 * slope).detach().requires_grad_()  # half the way to the mean of the patches
    assert values[-1] < 0.5 * values[0]


def test_weights_are_those_of_the_lightest_cell() -> None:
    f, style = features(3, 8, 9, seed=0), features(3, 7, 7, seed=1)
    mask = torch.ones(1, 1, 8, 9, dtype=torch.float64)
    mask[..., 5:] = 0
    assert value("mrf", f, style, (mask, None)) == pytest.approx(value("mrf", f[..., :5], style), rel=1e-12)


def test_a_few_candidates_are_nearly_as_good() -> None:
    style, f = features(4, 16, 18, seed=2), features(4, 12, 13, seed=3)
    values = [value("mrf", f, style, candidates=n) for n in (1, 20, 224)]
    assert values[0] > values[1] > values[2] == pytest.approx(value("mrf", f, style), rel=1e-12)


@pytest.mark.parametrize("in_16_bits", [False, True])
def test_it_never_holds_all_pairs(monkeypatch, in_16_bits: bool) -> None:
    monkeypatch.setattr(_patches, "TILE_BYTES", 1 << 20)
    monkeypatch.setattr(_patches, "TILE", 64)
    monkeypatch.setattr(_patches, "quick", lambda device: in_16_bits)
    f, style = torch.rand(1, 3, 40, 50).requires_grad_(), torch.rand(1, 3, 60, 40)
    loss = MRF()
    with Largest() as largest:
        loss(f, loss.fit(style, f)).backward()
    assert largest.bytes <= 1 << 20 < 40 * 50 * 60 * 40 * 4 / 15


def test_errors() -> None:
    small, large = torch.rand(1, 3, 2, 5), torch.rand(1, 3, 5, 5)
    loss = MRF()
    with pytest.raises(ValueError, match="the style's features have 2 x 5 cells, too few for patches of 3 x 3"):
        loss.fit(small, large)
    with pytest.raises(ValueError, match="the picture's features have 2 x 5 cells"):
        loss(small, loss.fit(large, large))
    with pytest.raises(ValueError, match="stride=4 leaves gaps between patches of 3; wanted at most 3"):
        catalog.load("losses", "mrf", stride=4)
    with pytest.raises(ValueError, match="candidates=0; wanted a whole number of at least 1"):
        catalog.load("losses", "mrf", candidates=0)
