"""Masks: soft maps (1, 1, H, W) in [0, 1] of what counts in a picture, read from files or grown from a point.

At a layer of a network a mask says how much each cell counts (`at_layer`). A cell at a region's border sees both sides
of it: its statistics are those of neither, and painting by it leaks across. So cells count less the more of what they
see lies outside; those that see only the region count as the mask says. Gatys et al. 2017, "Controlling Perceptual
Factors in Neural Style Transfer", leave such cells out altogether: thin regions then have no deep layers, and a band
along every border has no style. Here they fade, and shallow layers, which see little, reach up to the border.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.config import DEFAULTS
from gatys_lab.images import picture_of, resize_to
from gatys_lab.types import Features, Image, Network, Through

ASPECT = 0.02  # by how much a mask's proportions may differ from its picture's
TOLERANCE = 0.15  # distance in RGB, of the pixel range, from the colour at the point
TINY = 1e-6  # of the masks' sum where none claims a place
SEEN = 0.5  # of a receptive field's side: nine tenths of a cell's gradient are in it, from relu3_1 on (lite, a photo)
SOFTNESS = 1 / 200  # of the longest side: blur before growing, which ignores grain, and of the edge after it


@dataclass(frozen=True)
class Kept(Through):
    """A network that sees the photo where no mask reaches, so that nothing is painted there, by whatever cell.

    What it sees is what is delivered: `compose`.
    """

    network: Network
    photo: Image
    covered: Tensor  # (1, 1, H, W)

    def __call__(self, image: Image, layers: tuple[str, ...]) -> dict[str, Tensor]:
        return self.network(self.compose(image), layers)

    def compose(self, image: Image) -> Image:
        return torch.lerp(self.photo, image, self.covered)


def read_mask(source: Any, *, max_pixels: int = DEFAULTS.max_pixels) -> Tensor:
    """A picture as a mask: white counts, black does not, what is transparent does not."""
    picture = picture_of(source, max_pixels=max_pixels)
    grey = picture.image.mean(1, keepdim=True)
    return grey if picture.alpha is None else grey * picture.alpha


def check_mask(mask: Tensor, picture: Image, name: str) -> None:
    """Raises ValueError for a mask that is empty, or of other proportions than the picture, whose name is `name`."""
    if not mask.max() > 0:
        raise ValueError(f"the mask of a {name} is black everywhere; wanted white where it counts, or no mask")
    _check_proportions(mask, picture, name)


def fit_mask(mask: Tensor, picture: Image, name: str) -> Tensor:
    """The mask at the picture's size. Raises ValueError if its proportions are others; `name` is the picture's."""
    _check_proportions(mask, picture, name)
    return resize_to(mask.to(picture), picture.shape[2:])


def resize_mask(mask: Tensor, features: Tensor) -> Tensor:
    """A soft mask (N, 1, H, W) at the features' cells (N, 1, h, w), each the mean of the pixels below it."""
    if mask.ndim != 4 or mask.shape[1] != 1:
        raise ValueError(f"a mask of shape {tuple(mask.shape)}; wanted (1, 1, H, W)")
    height, width = features.shape[2:]
    return F.adaptive_avg_pool2d(mask.to(features.device, torch.float32), (height, width))


def claims(weights: Sequence[float], masks: Sequence[Tensor]) -> list[Tensor]:
    """How much of each style goes where, like the masks; where they overlap, by weight. What is left is nobody's."""
    claimed = [weight * mask for weight, mask in zip(weights, masks, strict=True)]
    covered = torch.stack(list(masks)).sum(0).clamp(max=1) / torch.stack(claimed).sum(0).clamp_min(TINY)
    return [claim * covered for claim in claimed]


def at_layer(mask: Tensor, amount: Tensor, features: Tensor, receptive_px: int) -> Tensor:
    """How much each cell (1, 1, h, w) of a layer counts that sees `receptive_px` pixels a side.

    The mean below it of `amount` (1, 1, H, W), times blur(mask)^2 / blur(mask^2) over what it sees: 1 where the mask is
    constant, of a mask of black and white the share that is white.
    """
    stride = mask.shape[2] / features.shape[2]
    reach = round((SEEN * receptive_px / stride - 1) / 2)  # cells to each side
    mean, square = (_blur(resize_mask(values, features), max(0, reach)) for values in (mask, mask.square()))
    return resize_mask(amount, features) * (mean.square() / square.clamp_min(TINY)).clamp(max=1)


def at_layers(mask: Tensor, amount: Tensor, features: Features, network: Network) -> Features:
    """`at_layer` for all layers of these features."""
    return {name: at_layer(mask, amount, f, network.receptive_px(name)) for name, f in features.items()}


def _blur(cells: Tensor, reach: int) -> Tensor:
    """The mean over the square of cells around each, as far as they go."""
    for size in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
        cells = F.avg_pool2d(cells, size, 1, (size[0] // 2, size[1] // 2), count_include_pad=False)
    return cells


def _check_proportions(mask: Tensor, picture: Image, name: str) -> None:
    (height, width), (h, w) = picture.shape[2:], mask.shape[2:]
    if abs(width * h / (height * w) - 1) > max(ASPECT, 1.5 / min(height, width, h, w)):
        raise ValueError(
            f"a mask of {w} x {h} px for a {name} of {width} x {height} px; wanted the same proportions: crop it"
        )


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
