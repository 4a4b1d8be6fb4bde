"""`adain`: adaptive instance normalisation (Huang & Belongie 2017). Encoder, AdaIN at relu4_1, decoder.

AdaIN gives the content's features, channel by channel, the style's mean and deviation (eq. 8); the decoder turns them
into a picture. Differs from the published code: biased deviations (`unbiased=True` is the published one, and is set
when a published decoder is loaded). With `norm="colour"`, as the package's own, the picture takes the mean and the
covariance of the style's colours; with `norm="style"` the decoder's features take its moments as well, wherever one of
the encoder's scales is undone. `transform="concat"` and the other norms are the paper's ablations, to be trained.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.errors import UnknownName
from gatys_lab.masks import resize_mask
from gatys_lab.models import _files
from gatys_lab.models._base import FeedForward, Shares, Style, fingerprint
from gatys_lab.models._mirror import CONVOLUTIONS, NORMS, WIDTHS, Mirror
from gatys_lab.models._moments import colours, matched, mean_std, recoloured
from gatys_lab.networks._vgg import VGG
from gatys_lab.types import Image

LAYER = "relu4_1"
LEVELS = {"colour": ("input",), "style": ("input", "relu2_1", "relu3_1")}  # where the decoder adapts, too, by norm
PUBLISHED = dict(zip(CONVOLUTIONS, ("1", "5", "8", "11", "14", "18", "21", "25", "28"), strict=True))  # naoto0804's


class AdaIN(FeedForward):
    """A style is {"mean": (N, C, 1, 1), "std": (N, C, 1, 1)}, and with `levels` the same of each of them, "relu2_1
    mean" ... "input std", which is a root of the covariance (N, 3, 3). Of `concat`, {"features": (N, C, h, w)}."""

    name: ClassVar[str] = "adain"

    def __init__(
        self,
        encoder: VGG,
        decoder: Mirror,
        *,
        transform: str = "adain",
        levels: tuple[str, ...] = (),
        unbiased: bool = False,
    ) -> None:
        super().__init__(encoder)
        self.levels, self.layers = levels, (*levels, LAYER)
        self.decoder, self.unbiased, self.concatenates = decoder, unbiased, transform == "concat"

    def style_fingerprint(self) -> str:
        return fingerprint(self.encoder, self.concatenates, self.unbiased, *self.levels)

    def summarise(self, features: Mapping[str, Tensor], mask: Tensor | None) -> Style:
        f = features[LAYER]
        if self.concatenates and mask is not None:
            raise ValueError("the ablation concat takes no style masks: crop the picture")
        if self.concatenates:
            return {"features": f}
        mean, std = mean_std(f, None if mask is None else resize_mask(mask, f), unbiased=self.unbiased)
        style = {"mean": mean, "std": std}
        for layer in self.levels:
            f = features[layer]
            of = colours if layer == "input" else mean_std
            style[f"{layer} mean"], style[f"{layer} std"] = of(f, None if mask is None else resize_mask(mask, f))
        return style

    def decode(
        self, content: Mapping[str, Tensor], styles: Sequence[Style], shares: Shares, alpha: float | Tensor
    ) -> Image:
        transform = self._concatenated if self.concatenates else self.target
        deep = transform(content[LAYER], styles, shares, alpha)
        if not self.levels:
            return self.decoder(deep)
        return self.decoder(deep, adapt=self.adaptation(content, styles, shares, alpha))

    def adaptation(
        self, content: Mapping[str, Tensor], styles: Sequence[Style], shares: Shares, alpha: float | Tensor
    ) -> Callable[[str, Tensor], Tensor]:
        """How the decoder's features take the moments of the styles, and where these have no say the photograph's."""
        everywhere = shares.masks is None and not isinstance(alpha, Tensor) and alpha == 1
        own = None if everywhere else self.summarise(content, shares.rest(content["input"]))

        def adapt(layer: str, x: Tensor) -> Tensor:
            if layer not in self.levels:
                return x
            mixed = (_moved(layer, x, style, shares.region(i, x)) for i, style in enumerate(styles))
            if own is None:
                return shares.mix(x, mixed)
            plain = _moved(layer, x, own, shares.rest(x))
            return torch.lerp(plain, shares.mix(plain, mixed).to(plain.dtype), alpha)

        return adapt

    def target(self, content: Tensor, styles: Sequence[Style], shares: Shares, alpha: float | Tensor = 1.0) -> Tensor:
        """What the decoder is given (eq. 14 and 15): content and a mixture of AdaIN with each style, (N, C, h, w)."""
        f = content.float()
        moments = [(s["mean"], s["std"], shares.region(i, f)) for i, s in enumerate(styles)]
        mixed = shares.mix(f, (matched(f, *of, unbiased=self.unbiased) for of in moments))
        return torch.lerp(f, mixed, alpha)

    def _concatenated(
        self, content: Tensor, styles: Sequence[Style], shares: Shares, alpha: float | Tensor = 1.0
    ) -> Tensor:
        """Enc-Concat-Dec, the paper's ablation: the style's features beside the content's, (N, 2 C, h, w)."""
        f = content.float()
        size = (f.shape[2], f.shape[3])
        looks = (F.interpolate(s["features"].float(), size, mode="bilinear", align_corners=False) for s in styles)
        return torch.cat([f, torch.lerp(f, shares.mix(f, looks), alpha)], 1)


def _moved(layer: str, x: Tensor, style: Style, mask: Tensor | None) -> Tensor:
    """What stands in a layer's place, with the style's moments there."""
    move = recoloured if layer == "input" else matched
    return move(x, style[f"{layer} mean"], style[f"{layer} std"], mask)


def create(encoder: VGG, transform: str = "adain", norm: str = "none") -> AdaIN:
    """The untrained model. `norm` is the decoder's: none (the paper's choice), batch, instance, colour or style."""
    if transform not in ("adain", "concat"):
        raise UnknownName(f"no transform '{transform}'; there are adain, concat")
    if norm not in (*NORMS, *LEVELS):
        raise UnknownName(f"no norm '{norm}' for a decoder; there are {', '.join((*NORMS, *LEVELS))}")
    levels = LEVELS.get(norm, ())
    if transform == "concat" and levels:
        raise ValueError(f"concat has no moments for norm {norm}; wanted one without the other")
    channels = _files.channels(encoder, LAYER) * (2 if transform == "concat" else 1)
    mirrored = {layer: _files.channels(encoder, layer) for layer in levels if layer != "input"}
    decoder = Mirror(LAYER, channels, WIDTHS[encoder.name], norm="none" if levels else norm, mirrored=mirrored)
    return AdaIN(encoder, decoder, transform=transform, levels=levels)


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
