"""Masks: soft maps (1, 1, H, W) in [0, 1] of what counts in a picture, read from files or grown from a point."""

from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from gatys_lab.config import DEFAULTS
from gatys_lab.images import read, resize_to
from gatys_lab.types import Image

ASPECT = 0.02  # by how much a mask's proportions may differ from its picture's
TOLERANCE = 0.15  # distance in RGB, of the pixel range, from the colour at the point
SOFTNESS = 1 / 200  # of the longest side: blur before growing, which ignores grain, and of the edge after it


def read_mask(path: str | Path, *, max_pixels: int = DEFAULTS.max_pixels) -> Tensor:
    """A picture as a mask: white counts, black does not, what is transparent does not."""
    picture = read(path, max_pixels=max_pixels)
    grey = picture.image.mean(1, keepdim=True)
    return grey if picture.alpha is None else grey * picture.alpha


def fit_mask(mask: Tensor, picture: Image, name: str) -> Tensor:
    """The mask at the picture's size. Raises ValueError if its proportions are others; `name` is the picture's."""
    (height, width), (h, w) = picture.shape[2:], mask.shape[2:]
    if abs(width * h / (height * w) - 1) > max(ASPECT, 1.5 / min(height, width, h, w)):
        raise ValueError(
            f"a mask of {w} x {h} px for a {name} of {width} x {height} px; wanted the same proportions: crop it"
        )
    return resize_to(mask.to(picture), (height, width))


def grow(image: Image, x: int, y: int, tolerance: float = TOLERANCE) -> Tensor:
    """The region around a pixel, x to the right and y down, that has about its colour, without holes, soft at its edge.

    Region growing as Liu et al. 2021 use it for their figure 10. Raises ValueError for a point outside the image.
    """
    height, width = image.shape[2:]
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(f"the point {x},{y} is outside a picture of {width} x {height} px")
    pixels = image[0].permute(1, 2, 0).double().cpu().numpy()  # (H, W, 3)
    sigma = SOFTNESS * max(height, width)
    smooth = ndimage.gaussian_filter(pixels, (sigma, sigma, 0))
    alike = np.linalg.norm(smooth - smooth[y, x], axis=2) <= tolerance
    labels, _ = ndimage.label(alike)
    region = ndimage.binary_fill_holes(labels == labels[y, x])
    soft = ndimage.gaussian_filter(region.astype(np.float64), sigma)
    return torch.from_numpy(soft)[None, None].to(image).clamp(0, 1)
