"""The styles of a job: pictures, each with a weight, a scale and masks of its own.

>>> from gatys_lab import stylize
>>> styles = [Style("painting.jpg", 0.7), Style("other.jpg", 0.3, scale=0.5)]
>>> stylize("photo.jpg", styles).image.save("out.png")  # doctest: +SKIP
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gatys_lab.images import picture_of, resize
from gatys_lab.masks import at_layers, check_mask, claims, fit_mask, read_mask
from gatys_lab.objective import Region
from gatys_lab.specs import LossSpec
from gatys_lab.types import Features, Image, Network, StyleLoss

BEYOND_PX = 2**40  # longer than any side: Job.check refuses it
Source = Any  # a path, a PIL image, an array or a tensor: what images.as_image takes
Losses = str | StyleLoss | LossSpec | Sequence[LossSpec] | Mapping[str | StyleLoss, float]


@dataclass(frozen=True)
class Style:
    """One style of several. `weight` is divided by the sum of all; None is what the configuration says."""

    picture: Source
    weight: float = 1.0
    scale: float | None = None  # its longest side over the result's
    loss: Losses | None = None  # what it is measured by
    content_mask: Source | None = None  # white: where it is painted
    style_mask: Source | None = None  # white: what counts of its picture

    def read(self, max_pixels: int) -> "Style":
        """The same with pictures and masks in memory, the masks as (1, 1, H, W); one that is all white is no mask."""
        picture = picture_of(self.picture, max_pixels=max_pixels)
        where, what = (
            None if mask is None else read_mask(mask, max_pixels=max_pixels)
            for mask in (self.content_mask, self.style_mask)
        )
        if what is not None:
            check_mask(what, picture.image, "painting")
            what = None if what.min() == 1 else what
        return replace(self, picture=picture, content_mask=where, style_mask=what)

    def at(self, result_px: int, scale: float, device: torch.device) -> Image:
        """The picture for a result of this longest side; `scale` where the style has none of its own."""
        return resize(self.picture.image.to(device), self.size_px(result_px, scale))

    def size_px(self, result_px: int, scale: float) -> int:
        return max(1, round(min(result_px * (scale if self.scale is None else self.scale), BEYOND_PX)))

    def where(self, photo: Image) -> Tensor | None:
        """The content mask at the photo's size."""
        return None if self.content_mask is None else fit_mask(self.content_mask, photo, "photo")

    def what(self, painting: Image) -> Tensor | None:
        """The style mask at the painting's size."""
        return None if self.style_mask is None else fit_mask(self.style_mask, painting, "painting")


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
    each_or_none([style.content_mask for style in styles])
    counted = zip(styles, weights, strict=True)
    return tuple(replace(style, weight=weight).read(max_pixels) for style, weight in counted if weight > 0)


def each_or_none(masks: Sequence[Any]) -> None:
    """Raises ValueError if some styles say where they are painted, and others do not."""
    given = sum(mask is not None for mask in masks)
    if given not in (0, len(masks)):
        raise ValueError(f"{given} content masks for {len(masks)} styles; give one each, or none")


def placed(styles: Sequence[Style], photo: Image) -> tuple[Style, ...]:
    """The styles with their content masks checked; without them if all are all white."""
    masks = [style.content_mask for style in styles]
    for mask in masks:
        if mask is not None:
            check_mask(mask, photo, "photo")
    if all(mask is None or mask.min() == 1 for mask in masks):
        return tuple(replace(style, content_mask=None) for style in styles)
    return tuple(styles)


def amounts(styles: Sequence[Style], photo: Image) -> list[Tensor] | None:
    """How much of each style goes where (1, 1, H, W), summing to at most 1; None: everywhere as its weight says."""
    masks = [mask for style in styles if (mask := style.where(photo)) is not None]
    return claims([style.weight for style in styles], masks) if masks else None


def regions(
    styles: Sequence[Style],
    photo: Image,
    content: Features,
    paintings: Sequence[Image],
    looks: Sequence[Features],
    network: Network,
) -> list[Region]:
    """Where each style is painted and what counts of it, at the layers of the photo's and the paintings' features."""
    shares: Sequence[Tensor | None] = amounts(styles, photo) or [None] * len(styles)
    found = []
    for style, share, painting, look in zip(styles, shares, paintings, looks, strict=True):
        where, what = style.where(photo), style.what(painting)
        found.append(
            Region(
                None if where is None or share is None else at_layers(where, share, content, network),
                None if what is None else at_layers(what, what, look, network),
            )
        )
    return found


def divided(weights: Sequence[float]) -> list[float]:
    """The weights of styles, divided by their sum. Raises ValueError if that cannot be done."""
    if not weights:
        raise ValueError("no style; wanted at least one")
    if not all(0 <= weight < float("inf") for weight in weights) or not 0 < sum(weights) < float("inf"):
        raise ValueError(f"the styles' weights are {weights}; wanted numbers of at least 0, one of them above 0")
    return [float(weight) / float(sum(weights)) for weight in weights]
