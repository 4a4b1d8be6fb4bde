"""`inverse`: the inverse network (Chen & Schmidt 2016, eq. 3): features at relu3_1 back to pixels.

With the swapped features of `losses/style_swap` it is their feed-forward style transfer: every patch of the content's
features becomes the style's most similar one, and the network paints the result. Differs: no normalisation unless asked
for (`norm="batch"` is the published code's), reflection padding.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from gatys_lab.losses import style_swap
from gatys_lab.models import _files
from gatys_lab.models._base import FeedForward, Shares, Style, chosen_cells
from gatys_lab.models._mirror import WIDTHS, Mirror
from gatys_lab.networks._vgg import VGG
from gatys_lab.types import Image

LAYER = "relu3_1"
DEEPEST = 4  # the convolutions of a block 3
DECODER = WIDTHS | {"lite": (32, 64, 256)}  # AdaIN's narrower ones give photographs back .08 off in the mean


class Inverse(FeedForward):
    """A style is {"features": (N, C, h, w)}, and "mask" (1, 1, h, w) of its cells where one was given."""

    name: ClassVar[str] = "inverse"
    layers: tuple[str, ...] = (LAYER,)

    def __init__(self, encoder: VGG, decoder: Mirror, swap: style_swap.StyleSwap) -> None:
        super().__init__(encoder)
        self.decoder, self.swap = decoder, swap

    def summarise(self, features: Mapping[str, Tensor], mask: Tensor | None) -> Style:
        f = features[LAYER]
        return {"features": f} if mask is None else {"features": f, "mask": chosen_cells(mask, f)[None, None].float()}

    def target(self, content: Tensor, styles: Sequence[Style], shares: Shares, alpha: float = 1.0) -> Tensor:
        """The features that the decoder is given, (N, C, h, w): swapped, and mixed where there are several styles."""
        f = content.float()
        return torch.lerp(f, shares.mix(f, (self.swapped(f, style) for style in styles)), alpha)

    def swapped(self, content: Tensor, style: Style) -> Tensor:
        """Every patch of the content's features (N, C, h, w) replaced by the style's most similar, in 32 bits."""
        features = style["features"].float().expand(len(content), -1, -1, -1)
        with torch.autocast(content.device.type, enabled=False):
            pairs = zip(features.split(1), content.float().split(1), strict=True)
            return torch.cat([self.swap.fit(s, c, style.get("mask")) for s, c in pairs])

    def decode(self, content: Mapping[str, Tensor], styles: Sequence[Style], shares: Shares, alpha: float) -> Image:
        return self.decoder(self.target(content[LAYER], styles, shares, alpha))


def create(encoder: VGG, patch: int = 3, stride: int = 1, norm: str = "none", depth: int = 1) -> Inverse:
    """The untrained model. `norm` none, batch or instance is the decoder's, and `depth`, 1 to 4, how many convolutions
    it has at the features' own scale: 1 is published."""
    if not 1 <= depth <= DEEPEST:
        raise ValueError(f"a decoder of depth {depth}; wanted 1 to {DEEPEST}")
    channels = _files.channels(encoder, LAYER)
    decoder = Mirror(f"relu3_{depth}", channels, DECODER[encoder.name], norm=norm)
    return Inverse(encoder, decoder, style_swap.build(patch, stride))


def build(
    weights: str | Path | None = None,
    encoder: str | Path | VGG | None = None,
    patch: int | None = None,
    stride: int | None = None,
    candidates: int | None = None,
) -> Inverse:
    """The trained model, from the package itself or a file that `gatys-lab train inverse` wrote.

    `patch` and `stride` of the swap, in cells; None is what it was trained with. `candidates`: search so many style
    patches instead of all (losses/style_swap.py). `encoder`: see models/adain.py.
    """
    path = _files.weights(Inverse.name, weights)
    model = _files.load(path, Inverse.name, _files.encoder(encoder), create)
    swap = model.swap
    patch, stride = (old if new is None else new for old, new in ((swap.patch, patch), (swap.stride, stride)))
    model.swap = style_swap.build(patch, stride, candidates)
    return model
