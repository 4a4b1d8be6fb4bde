"""Where a picture begins: at the photo, noise, grey, a style, a file, or what a feed-forward model paints."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F

from gatys_lab import catalog, color, models
from gatys_lab.config import Config
from gatys_lab.images import picture_of, resize_to
from gatys_lab.models import FeedForward
from gatys_lab.styles import Style
from gatys_lab.types import Image

MARGIN = 8  # px around a tile that is enlarged: more than bicubic interpolation reaches
GREY, FAINT = (0.485, 0.458, 0.408), 0.001 / 256  # of init="grey": the mean of ImageNet, and neural-style-pt's noise


def starter(init: str) -> FeedForward | None:
    """The model that paints the beginning, if `init` names one, or is a file of its weights."""
    by_model = init in catalog.names("models") or Path(init).suffix == ".safetensors"
    return models.load_model(init) if by_model else None


def first(config: Config, photo: Image, styles: Sequence[Style]) -> Image:
    """Where the coarsest size begins (1, 3, H, W), if no model paints it."""
    seeded = torch.Generator().manual_seed(config.seed)
    if config.init == "content":
        return photo
    if config.init == "noise":
        return torch.rand(photo.shape, generator=seeded).to(photo)
    if config.init == "grey":
        noise = torch.randn(photo.shape, generator=seeded).to(photo)
        return photo.new_tensor(GREY).view(1, 3, 1, 1) + FAINT * noise
    if config.init == "style":
        start = color.before(config.colour, styles[0].picture.image.to(photo), photo)
    else:
        start = picture_of(config.init, max_pixels=config.max_pixels).image
    return resize_to(start.to(photo), photo.shape[2:])


@torch.no_grad()
def painted(model: FeedForward, photo: Image, styles: Sequence[Style], paintings: Sequence[Image]) -> Image:
    """What a model makes of the photo (1, 3, H, W); `paintings`: the styles' pictures for one of its size."""
    seen = [model.style_of(look, style.what(look)) for style, look in zip(styles, paintings, strict=True)]
    masks = [mask for style in styles if (mask := style.where(photo)) is not None]
    return model(photo, seen, weights=[style.weight for style in styles], masks=masks or None)


def enlarged_upon(photo: Image, image: Image, small: Image) -> Image:
    """The image (1, 3, h, w), enlarged, with the detail of the photo that the `small` one, of its size, does not show.

    Enlarged alone it is blurred, which costs more evaluations to mend than they are worth.
    """
    size = photo.shape[2:]
    return resize_to(image, size).add_(photo).sub_(resize_to(small, size)).clamp_(0, 1)


def enlarged_around(image: Image, width: int) -> Image:
    """A tile, so many px wide: what lies beyond an edge is what the opposite one begins with."""
    times = width // image.shape[3]
    wider = F.pad(image, (MARGIN,) * 4, mode="circular")
    larger = resize_to(wider, [times * side for side in wider.shape[2:]])
    return larger[..., times * MARGIN : -times * MARGIN, times * MARGIN : -times * MARGIN].contiguous()
