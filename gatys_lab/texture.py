"""Texture synthesis: a style alone, at any size, as a tile if wanted. Content reconstruction: a photo's layer alone.

Gatys et al. 2015, "Texture Synthesis Using Convolutional Neural Networks", and fig. 1 of Gatys et al. 2016. Both are
jobs of the engine with one of its two sides left out, begun from noise. A tile is seen through a network whose every
border wraps around, and is enlarged from size to size the same way: rolled by any number of cells it has the same loss.

>>> texture("bark.jpg", 512, 512, tileable=True).image.save("tile.png")      # doctest: +SKIP
>>> reconstruct("photo.jpg", {"relu3_1": 1.0}).image.save("remembered.png")  # doctest: +SKIP
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gatys_lab.config import DEFAULTS
from gatys_lab.engine import Callback
from gatys_lab.errors import UnknownName
from gatys_lab.images import longest, picture_of
from gatys_lab.job import Job, Result, prepare
from gatys_lab.recipe import losses_of
from gatys_lab.styles import Source, gather
from gatys_lab.types import Image

OF_A_PHOTO = ("balance", "strength", "content_weight", "style_weight", "content_layers", "colour", "init", "size_px")
OF_A_STYLE = (
    *("balance", "strength", "content_weight", "style_weight", "style_layers", "style_loss", "style_scale"),
    *("content_layers", "colour", "init", "single_scale", "smallest_px"),
)


def texture(style: Any, height_px: int, width_px: int, *, callbacks: Sequence[Callback] = (), **options: Any) -> Result:
    """`prepare_texture` and run."""
    return prepare_texture(style, height_px, width_px, **options).run(callbacks)


def prepare_texture(
    style: Any, height_px: int, width_px: int, *, tileable: bool = False, style_px: int | None = None, **options: Any
) -> Job:
    """A picture of this size that has the style of `style` (as `stylize` takes it) and shows nothing.

    `style_px`: the longest side that the style is looked at with; None is its own, but no more than the result's. So a
    larger texture is more of it, not the same enlarged. `tileable`: put beside itself it has no seam; sides must be
    multiples of the deepest layer's stride. `options` are those of Config that mean something without a photo.
    """
    _refuse(options, OF_A_PHOTO, "a texture shows no photo")
    if min(height_px, width_px) < 1:
        raise ValueError(f"a texture of {width_px} x {height_px} px; wanted at least 1 px a side")
    size_px = max(height_px, width_px)
    styles = gather(style, options.get("max_pixels", DEFAULTS.max_pixels))
    image = styles[0].picture.image
    if style_px is None:
        style_px = min(longest(image), size_px)
    options = {"style_scale": style_px / size_px} | options
    around = wrapped(image, height_px, width_px)  # what the result is like: losses are balanced there
    job = prepare(around, styles, tileable=tileable, strength=1.0, init="noise", size_px=size_px, **options)
    for one in job.styles:
        for name, (loss, _) in losses_of(one, job.config).items():
            if getattr(loss, "carries_content", False):
                raise ValueError(
                    f"the target of {name} holds a photo, and a texture has none; choose another style loss"
                )
            if tileable and getattr(loss, "patch", 1) > 1:
                raise ValueError(
                    f"the patches of {name} end at the edges, where a tile would have a seam; choose another style loss"
                )
    return job


def reconstruct(
    photo: Source, layers: Mapping[str, float], *, callbacks: Sequence[Callback] = (), **options: Any
) -> Result:
    """`prepare_reconstruction` and run."""
    return prepare_reconstruction(photo, layers, **options).run(callbacks)


def prepare_reconstruction(photo: Source, layers: Mapping[str, float], **options: Any) -> Job:
    """A picture, begun from noise, that has the photo's features at these layers: what they know of it.

    `options` are those of Config that mean something without a style; `tv` is 0 where nothing is said.
    """
    _refuse(options, OF_A_STYLE, "a reconstruction has no style")
    picture = picture_of(photo, max_pixels=options.get("max_pixels", DEFAULTS.max_pixels))
    options = {"tv": 0.0} | options
    return prepare(picture, picture, strength=0.0, init="noise", content_layers=dict(layers), **options)


def wrapped(image: Image, height_px: int, width_px: int) -> Image:
    """As much of an image (1, 3, H, W), repeated, as fills this size."""
    rows, columns = (torch.arange(size) for size in (height_px, width_px))
    return image[..., rows % image.shape[2], :][..., columns % image.shape[3]]


def _refuse(options: Mapping[str, Any], without: Sequence[str], reason: str) -> None:
    for option in options:
        if option in without:
            raise UnknownName(f"no option '{option}' here: {reason}; leave it out")
