import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from gatys_lab.masks import fit_mask, grow, read_mask


def scene():
    """A red disc with a hole and, apart from it, another red patch, on grainy blue."""
    y, x = np.mgrid[0:120, 0:160]
    disc = np.hypot(x - 60, y - 60) < 30
    hole = np.hypot(x - 60, y - 60) < 5
    patch = (x > 130) & (y > 90)
    pixels = np.where(((disc & ~hole) | patch)[..., None], [0.8, 0.1, 0.1], [0.1, 0.2, 0.8])
    pixels = pixels + np.random.default_rng(0).normal(0, 0.03, pixels.shape)
    return torch.from_numpy(pixels.clip(0, 1).transpose(2, 0, 1))[None].float(), disc, patch


def test_a_region_grows_over_its_colour_closes_holes_and_stops_at_edges():
    image, disc, patch = scene()
    mask = grow(image, 45, 60)[0, 0].numpy()
    assert mask.shape == (120, 160) and mask.min() >= 0 and mask.max() <= 1
    assert mask[disc].mean() > 0.9 and mask[60, 60] > 0.95
    assert mask[~disc].mean() < 0.01 and mask[patch].max() == 0
    assert 0 < ((mask > 0.05) & (mask < 0.95)).mean() < 0.1  # soft, but only at the edge


def test_a_point_outside_is_refused():
    with pytest.raises(ValueError, match="the point 160,3 is outside a picture of 160 x 120 px"):
        grow(scene()[0], 160, 3)


def test_masks_are_resized_but_not_bent():
    mask, picture = torch.ones(1, 1, 10, 20), torch.rand(1, 3, 41, 80)
    assert fit_mask(mask, picture, "photo").shape == (1, 1, 41, 80)
    with pytest.raises(ValueError, match="20 x 10 px for a photo of 80 x 80 px"):
        fit_mask(mask, torch.rand(1, 3, 80, 80), "photo")


def test_white_and_opaque_is_what_counts(tmp_path):
    pixels = np.full((4, 6, 4), 255, np.uint8)
    pixels[:, :2, :3], pixels[:2, :, 3] = 0, 0
    Pillow.fromarray(pixels).save(tmp_path / "mask.png")
    wanted = torch.ones(4, 6)
    wanted[:, :2], wanted[:2] = 0, 0
    assert torch.equal(read_mask(tmp_path / "mask.png")[0, 0], wanted)
