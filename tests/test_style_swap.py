"""Style swap against a loop over all patches, its identity (style == content), its borders and its memory."""

import numpy as np
import oracles
import pytest
import torch
from loss_cases import Largest, features

from gatys_lab.losses import _patches, style_swap


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tile_bytes", [1, 5_000, 1 << 20])  # one patch, a row or two, the whole content at a time
def test_style_swap_against_the_loop(monkeypatch, patch: int, stride: int, masked: bool, tile_bytes: int) -> None:
    monkeypatch.setattr(_patches, "TILE_BYTES", tile_bytes)
    content, style = features(4, 7, 6, seed=2) - 0.3, features(4, 6, 8, seed=3) - 0.3  # as heads have them: signed
    mask = torch.ones(1, 1, 6, 8, dtype=torch.float64)
    mask[..., :2, 1:] = 0
    target = style_swap.build(patch, stride).fit(style, content, mask if masked else None)
    parts = [t.numpy()[0] for t in (content, style)]
    expected = oracles.style_swap(*parts, patch, stride, mask.numpy()[0, 0] if masked else None)
    np.testing.assert_allclose(target.numpy()[0], expected, rtol=1e-12)
    loss = float(style_swap.build(patch, stride)(content, target))
    assert loss == pytest.approx(((content.numpy()[0] - expected) ** 2).mean())


@pytest.mark.parametrize("patch", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_swap_of_a_picture_with_itself_is_the_identity(patch: int, stride: int) -> None:
    same = features(5, 9, 8, seed=4)
    if stride <= patch:
        torch.testing.assert_close(style_swap.build(patch, stride).fit(same, same), same)


def test_matches_say_which_patches_the_swap_is_made_of() -> None:
    content, style = features(4, 7, 6, seed=2), features(4, 6, 8, seed=3)
    loss = style_swap.build(patch=1)
    best = loss.matches(style, content)
    assert best.shape == (7, 6)
    torch.testing.assert_close(style.flatten(2)[..., best], loss.fit(style, content), rtol=0, atol=0)
    wide = style_swap.build().matches(style, style)  # of 3 x 3: first cells, and each patch is most like itself
    assert wide.tolist() == [[y * 8 + x for x in range(6)] for y in range(4)]


def test_swap_works_on_the_picture_itself() -> None:
    photo, painting = torch.rand(1, 3, 17, 12), torch.rand(1, 3, 11, 19)
    target = style_swap.build().fit(painting, photo)
    assert target.shape == photo.shape
    assert painting.min() <= target.min() <= target.max() <= painting.max()  # averages of the painting's pixels


def test_swap_survives_dead_patches() -> None:
    style, content = torch.zeros(1, 3, 6, 6), torch.zeros(1, 3, 6, 6)
    style[..., 3:, 3:] = 1
    content[..., :4, :4] = 0.5
    target = style_swap.build().fit(style, content)
    assert torch.isfinite(target).all()
    assert target[0, 0, 1, 1] == 1  # covered by the live content's patches only


@pytest.mark.parametrize("in_16_bits", [False, True])
def test_style_swap_never_holds_all_pairs(monkeypatch, in_16_bits: bool) -> None:
    monkeypatch.setattr(_patches, "TILE_BYTES", 1 << 20)
    monkeypatch.setattr(_patches, "TILE", 64)
    monkeypatch.setattr(_patches, "quick", lambda device: in_16_bits)
    content, style = torch.rand(1, 3, 40, 50), torch.rand(1, 3, 60, 40)
    with Largest() as largest:
        style_swap.build().fit(style, content)
    all_pairs = 40 * 50 * 60 * 40 * 4
    assert largest.bytes <= 1 << 20 < all_pairs / 15


def test_swap_refuses_what_is_smaller_than_a_patch() -> None:
    small, large = torch.rand(1, 3, 2, 5), torch.rand(1, 3, 5, 5)
    with pytest.raises(ValueError, match="the style's features have 2 x 5 cells, too few for patches of 3 x 3"):
        style_swap.build().fit(small, large)
    with pytest.raises(ValueError, match="the content's features have 2 x 5 cells"):
        style_swap.build().fit(large, small)


def test_a_swap_takes_what_is_at_least_half_in_the_region() -> None:
    style, content, mask = torch.rand(1, 3, 6, 6), torch.rand(1, 3, 5, 5), torch.full((1, 1, 6, 6), 0.8)
    style[..., 3:, :] += 50
    mask[..., 3:, :] = 0.3  # a faint region is none, a faint mask is one
    assert style_swap.build(patch=1).fit(style, content, mask).max() < 50
    torch.testing.assert_close(*(style_swap.build().fit(style, content, faint * mask) for faint in (1.0, 0.1)))


def test_swap_refuses_a_mask_without_a_patch() -> None:
    picture, mask = torch.rand(1, 3, 6, 6), torch.zeros(1, 1, 6, 6)
    mask[..., 2:4, :] = 1  # two rows: no patch of 3 x 3 lies in them
    with pytest.raises(ValueError, match="mask leaves no patch of 3 x 3 in 6 x 6 cells"):
        style_swap.build().fit(picture, picture, mask)


def test_a_few_candidates_are_patches_of_the_style_and_nearly_as_good(caplog) -> None:
    caplog.set_level("INFO")
    style, content = features(4, 30, 28, seed=2), features(4, 20, 23, seed=3)
    whole = style_swap.build()
    losses = {n: float(whole(content, style_swap.build(candidates=n).fit(style, content))) for n in (1, 30, 300)}
    best = float(whole(content, whole.fit(style, content)))
    assert best <= losses[300] < losses[30] < losses[1]
    assert "of 728 style patches" in caplog.text
    target = style_swap.build(patch=1, candidates=30).fit(style, content)
    assert len(target[0].flatten(1).T.unique(dim=0)) <= 30


def test_as_many_candidates_as_patches_are_all_of_them() -> None:
    style, content = features(4, 8, 9, seed=2), features(4, 7, 6, seed=3)
    torch.testing.assert_close(
        style_swap.build(candidates=42).fit(style, content), style_swap.build().fit(style, content), rtol=0, atol=0
    )


def test_a_style_of_few_kinds_of_patches_needs_few_candidates() -> None:
    """Three vectors, one a column: with as many candidates as there are kinds nothing is lost."""
    kinds = torch.eye(3, 4).double()
    style = kinds[torch.arange(12) % 3].T[None, :, None].expand(1, 4, 10, 12).contiguous()
    content = features(4, 9, 7, seed=5)
    few, whole = (style_swap.build(patch=1, candidates=n).fit(style, content) for n in (3, None))
    torch.testing.assert_close(few, whole)


def test_candidates_respect_the_mask() -> None:
    style, content = features(3, 16, 16, seed=2), features(3, 9, 9, seed=3)
    style[..., 8:] += 100
    mask = torch.ones(1, 1, 16, 16)
    mask[..., 8:] = 0
    assert style_swap.build(candidates=10).fit(style, content, mask).max() < 50


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("masked", [False, True])
def test_what_is_sought_in_16_bits_is_decided_in_32(monkeypatch, patch: int, stride: int, masked: bool) -> None:
    monkeypatch.setattr(_patches, "TILE", 37)  # several tiles, and several parts of the style
    content, style = (torch.relu(features(16, *size, seed=i).float()) for i, size in ((2, (17, 22)), (3, (30, 31))))
    chosen = torch.rand(30 - patch + 1, 31 - patch + 1, generator=torch.Generator().manual_seed(0)) < 0.7
    chosen = chosen if masked else torch.ones_like(chosen)
    swap = _patches.Patches(patch, stride)
    c, s = (_patches.one_by_one(f)[0] for f in (content, style))
    found, wanted = swap._matches_in_16_bits(c, s, chosen), swap._matches(c, s, chosen)
    assert found.shape == wanted.shape and (found == wanted).float().mean() > 0.98
    assert chosen[found // 31, found % 31].all()
    scores = [swap.rebuild(c, s, best).cells.sub(c.flatten(0, 1)).square().mean() for best in (found, wanted)]
    torch.testing.assert_close(*scores, rtol=1e-2, atol=0)
