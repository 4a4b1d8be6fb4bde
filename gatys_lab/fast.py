"""The fast path: a feed-forward model over pictures of any kind, its styles encoded once and used for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gatys_lab import catalog, color, devices
from gatys_lab.config import DEFAULTS
from gatys_lab.images import Picture, read, resize, resize_to
from gatys_lab.masks import fit_mask, grow, read_mask
from gatys_lab.models import FeedForward, Style, load_style
from gatys_lab.styles import each_or_none
from gatys_lab.types import Image

TOGETHER_PX = {"cpu": 150_000, "cuda": 4_000_000}  # of one pass: more do not fit a core's cache (measured for the CPU)
MOST_TOGETHER = 16


@dataclass(frozen=True)
class StyleSource:
    """A painting, or a style file's content; its weight; where it is painted; which part of it counts."""

    painting: Picture | None = None
    style: Style | None = None
    weight: float = 1.0
    content_mask: Tensor | None = None  # (1, 1, H, W)
    style_mask: Tensor | None = None


def ready(name: str, device: torch.device, precision: str, /, **options: Any) -> tuple[FeedForward, str]:
    """A model by name, with the options of its `build`, on a device; and the precision that it is in (of auto)."""
    model = catalog.load("models", name, **options).to(device)
    resolved = devices.precision(precision, model.encoder, model.layers)
    return model.to(devices.PRECISIONS[resolved]).to(memory_format=torch.channels_last), resolved


@dataclass(frozen=True)
class Painter:
    """`Painter(model, sources)(picture)`: the same manner for any number of pictures."""

    model: FeedForward
    sources: Sequence[StyleSource]
    strength: float = 1.0  # the models' alpha
    colour: str | None = None
    size_px: int | None = None  # of the longest side; None: the picture's own
    style_px: int | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        color.check_colour(self.colour)
        if self.colour in color.BEFORE and any(source.painting is None for source in self.sources):
            raise ValueError(
                f"colour {self.colour} changes the painting, but a style file holds none: name the painting"
            )
        each_or_none([source.content_mask for source in self.sources])

    def __call__(self, picture: Picture) -> Picture:
        """The stylised picture, as large as `size_px` says, with the transparency that it came with.

        Pictures of one size may be painted in one pass (N, 3, H, W): see `together`.
        """
        photo = picture.image.to(self.device)
        if self.size_px is not None:
            photo = resize(photo, self.size_px)
        styles = [self._style(source, photo) for source in self.sources] if self._depends else self._styles
        masks = [fit_mask(s.content_mask, photo, "photo") for s in self.sources if s.content_mask is not None]
        weights = [source.weight for source in self.sources]
        with torch.no_grad():
            result = self.model(photo, styles, self.strength, weights=weights, masks=masks or None)
        result = color.after(self.colour, result, photo)
        alpha = None if picture.alpha is None else resize_to(picture.alpha.to(result), result.shape[2:])
        return Picture(result, alpha)

    def together(self, image: Image) -> int:
        """How many pictures like this one are best painted in one pass."""
        if self._depends:
            return 1
        height, width = image.shape[2:]
        return max(1, min(MOST_TOGETHER, TOGETHER_PX.get(self.device.type, 0) // (height * width)))

    @property
    def _depends(self) -> bool:
        """Whether the style is another for every photo."""
        return self.colour in color.BEFORE

    @cached_property
    def _styles(self) -> list[Style]:
        return [self._style(source, None) for source in self.sources]

    def _style(self, source: StyleSource, photo: Image | None) -> Style:
        if source.style is not None:
            return source.style
        assert source.painting is not None
        painting = source.painting.image.to(self.device)
        if self.style_px is not None:
            painting = resize(painting, self.style_px)
        if photo is not None:
            painting = color.before(self.colour, painting, photo)
        mask = None if source.style_mask is None else fit_mask(source.style_mask, painting, "painting")
        return self.model.style_of(painting, mask)


def source(
    path: str | Path,
    model: FeedForward,
    *,
    weight: float = 1.0,
    content_mask: str | Path | None = None,
    style_mask: str | Path | None = None,
    max_pixels: int = DEFAULTS.max_pixels,
) -> StyleSource:
    """A style from a picture, or from a style file of this model (.safetensors). Masks are pictures: white counts."""
    masks = [None if mask is None else read_mask(mask, max_pixels=max_pixels) for mask in (content_mask, style_mask)]
    if Path(path).suffix == ".safetensors":
        if style_mask is not None:
            raise ValueError(f"'{path}' is a style already; a style mask belongs to its picture: `style save --mask`")
        return StyleSource(style=load_style(path, model), weight=weight, content_mask=masks[0])
    return StyleSource(read(path, max_pixels=max_pixels), weight=weight, content_mask=masks[0], style_mask=masks[1])


def regions(
    painting: Picture, photo: Picture, points: Sequence[tuple[tuple[int, int], tuple[int, int]]]
) -> list[StyleSource]:
    """One painting, attended to region by region: what is grown around a point (x, y) of the photo is painted like what
    is grown around its point of the painting; the rest of the photo like all of it. Pixels are the pictures' own."""
    sources, rest = [], torch.ones_like(photo.image[:, :1])
    for (x, y), (u, v) in points:
        here = grow(photo.image, x, y)
        sources.append(StyleSource(painting, content_mask=here, style_mask=grow(painting.image, u, v)))
        rest = torch.minimum(rest, 1 - here)
    return [*sources, StyleSource(painting, content_mask=rest)]
