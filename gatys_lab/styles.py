"""The styles of a job: pictures with a weight and a scale each.

>>> from gatys_lab import stylize
>>> styles = [Style("painting.jpg", 0.7), Style("other.jpg", 0.3, scale=0.5)]
>>> stylize("photo.jpg", styles).image.save("out.png")  # doctest: +SKIP
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from gatys_lab.images import picture_of, resize
from gatys_lab.specs import LossSpec
from gatys_lab.types import Image, StyleLoss

Source = Any  # a path, a PIL image, an array or a tensor: what images.as_image takes
Losses = str | StyleLoss | LossSpec | Sequence[LossSpec] | Mapping[str | StyleLoss, float]


@dataclass(frozen=True)
class Style:
    """One style of several. `weight` is divided by the sum of all; None is what the configuration says."""

    picture: Source
    weight: float = 1.0
    scale: float | None = None  # its longest side over the result's
    loss: Losses | None = None  # what it is measured by

    def read(self, max_pixels: int) -> "Style":
        """The same with its picture in memory."""
        return replace(self, picture=picture_of(self.picture, max_pixels=max_pixels))

    def at(self, result_px: int, scale: float, device: torch.device) -> Image:
        """The picture for a result of this longest side; `scale` where the style has none of its own."""
        return resize(self.picture.image.to(device), self.size_px(result_px, scale))

    def size_px(self, result_px: int, scale: float) -> int:
        return max(1, round(result_px * (scale if self.scale is None else self.scale)))


def gather(painting: Any, max_pixels: int) -> tuple[Style, ...]:
    """One picture, one Style, or a sequence of either, read, with weights that sum to 1.

    Styles of weight 0 are left out. Raises ValueError if none is left, or a weight or scale is out of range.
    """
    given = list(painting) if isinstance(painting, Sequence) and not isinstance(painting, str) else [painting]
    styles = [item if isinstance(item, Style) else Style(item) for item in given]
    weights = divided([style.weight for style in styles])
    for style in styles:
        if style.scale is not None and not 0 < style.scale < float("inf"):
            raise ValueError(f"a style's scale is {style.scale:g}; wanted a number above 0")
    counted = zip(styles, weights, strict=True)
    return tuple(replace(style, weight=weight).read(max_pixels) for style, weight in counted if weight > 0)


def divided(weights: Sequence[float]) -> list[float]:
    """The weights of styles, divided by their sum. Raises ValueError if that cannot be done."""
    if not weights:
        raise ValueError("no style; wanted at least one")
    if not all(0 <= weight < float("inf") for weight in weights) or not 0 < sum(weights) < float("inf"):
        raise ValueError(f"the styles' weights are {weights}; wanted numbers of at least 0, one of them above 0")
    return [float(weight) / float(sum(weights)) for weight in weights]
