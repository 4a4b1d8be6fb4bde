"""Style swap against a loop over all patches, its identity (style == content), its borders and its memory."""

import numpy as np
import oracles
import pytest
import torch
from loss_cases import Largest, features

from gatys_lab.losses import style_swap


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tile_bytes", [1, 5_000, 1 << 20])  # one patch, a row or two, the whole content at a time
def test_style_swap_against_the_loop(monkeypatch, patch: int, stride: int, masked: bool, tile_bytes: int) -> None:
    monkeypatch.setattr(style_swap, "TILE_BYTES", tile_bytes)
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


def test_style_swap_never_holds_all_pairs(monkeypatch) -> None:
    monkeypatch.setattr(style_swap, "TILE_BYTES", 1 << 20)
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


def test_swap_refuses_a_mask_without_a_patch() -> None:
    picture, mask = torch.rand(1, 3, 6, 6), torch.zeros(1, 1, 6, 6)
    mask[..., 2:4, :] = 1  # two rows: no patch of 3 x 3 lies in them
    with pytest.raises(ValueError, match="mask leaves no patch of 3 x 3 in 6 x 6 cells"):
        style_swap.build().fit(picture, picture, mask)
