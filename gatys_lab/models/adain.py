"""`adain`: adaptive instance normalisation (Huang & Belongie 2017). Encoder, AdaIN at relu4_1, decoder.

AdaIN gives the content's features, channel by channel, the style's mean and deviation (eq. 8); the decoder turns them
into a picture. Differs from the published code: biased deviations (`unbiased=True` is the published one, and is set
when a published decoder is loaded). `transform="concat"` and `norm` are the paper's ablations, to be trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.errors import UnknownName
from gatys_lab.masks import resize_mask
from gatys_lab.models import _files
from gatys_lab.models._base import FeedForward, Shares, Style, fingerprint
from gatys_lab.models._mirror import CONVOLUTIONS, WIDTHS, Mirror
from gatys_lab.models._moments import mean_std, normalise
from gatys_lab.networks._vgg import VGG
from gatys_lab.types import Image

LAYER = "relu4_1"
PUBLISHED = dict(zip(CONVOLUTIONS, ("1", "5", "8", "11", "14", "18", "21", "25", "28"), strict=True))  # naoto0804's


class AdaIN(FeedForward):
    """A style is {"mean": (N, C, 1, 1), "std": (N, C, 1, 1)}; of `concat`, {"features": (N, C, h, w)}."""

    name: ClassVar[str] = "adain"
    layers: ClassVar[tuple[str, ...]] = (LAYER,)

    def __init__(self, encoder: VGG, decoder: Mirror, *, transform: str = "adain", unbiased: bool = False) -> None:
        super().__init__(encoder)
        self.decoder, self.unbiased, self.concatenates = decoder, unbiased, transform == "concat"

    def style_fingerprint(self) -> str:
        return fingerprint(self.encoder, self.concatenates, self.unbiased)

    def summarise(self, features: Mapping[str, Tensor], mask: Tensor | None) -> Style:
        f = features[LAYER]
        if self.concatenates and mask is not None:
            raise ValueError("the ablation concat takes no style masks: crop the picture")
        if self.concatenates:
            return {"features": f}
        mean, std = mean_std(f, None if mask is None else resize_mask(mask, f), unbiased=self.unbiased)
        return {"mean": mean, "std": std}

    def decode(self, content: Mapping[str, Tensor], styles: Sequence[Style], shares: Shares, alpha: float) -> Image:
        transform = self._concatenated if self.concatenates else self.target
        return self.decoder(transform(content[LAYER], styles, shares, alpha))

    def target(self, content: Tensor, styles: Sequence[Style], shares: Shares, alpha: float = 1.0) -> Tensor:
        """What the decoder is given (eq. 14 and 15): content and a mixture of AdaIN with each style, (N, C, h, w)."""
        f = content.float()
        own = [normalise(f, shares.region(i, f), unbiased=self.unbiased) for i in range(len(styles))]
        mixed = shares.mix(f, (x * s["std"] + s["mean"] for x, s in zip(own, styles, strict=True)))
        return torch.lerp(f, mixed, alpha)

    def _concatenated(self, content: Tensor, styles: Sequence[Style], shares: Shares, alpha: float = 1.0) -> Tensor:
        """Enc-Concat-Dec, the paper's ablation: the style's features beside the content's, (N, 2 C, h, w)."""
        f = content.float()
        size = (f.shape[2], f.shape[3])
        looks = (F.interpolate(s["features"].float(), size, mode="bilinear", align_corners=False) for s in styles)
        return torch.cat([f, torch.lerp(f, shares.mix(f, looks), alpha)], 1)


def create(encoder: VGG, transform: str = "adain", norm: str = "none") -> AdaIN:
    """The untrained model. `norm` none, batch or instance is the decoder's; none is the paper's choice."""
    if transform not in ("adain", "concat"):
        raise UnknownName(f"no transform '{transform}'; there are adain, concat")
    channels = _files.channels(encoder, LAYER) * (2 if transform == "concat" else 1)
    return AdaIN(encoder, Mirror(LAYER, channels, WIDTHS[encoder.name], norm=norm), transform=transform)


def build(weights: str | Path | None = None, encoder: str | Path | VGG | None = None) -> AdaIN:
    """The trained model, from the package itself, a file that `gatys-lab train adain` wrote, or a published decoder.

    `encoder`: a network, its name, or a file of its weights; None is the one that the file was made with. A published
    decoder (decoder.pth, decoder_iter_N.pth.tar) needs vgg_normalised.pth.

    >>> model = build("decoder.pth", "vgg_normalised.pth")  # doctest: +SKIP
    >>> style = model.style_of(painting)                    # doctest: +SKIP
    >>> picture = model(photo, style, alpha=0.8)            # doctest: +SKIP
    """
    path = _files.weights(AdaIN.name, weights)
    network = _files.encoder(encoder)
    if path.suffix == ".safetensors":
        return _files.load(path, AdaIN.name, network, create)
    model = create(_files.published(path, network))
    model.unbiased = True
    _files.rename(path, _files.state_of(path), PUBLISHED, model.decoder)
    return model.eval().requires_grad_(False)
