"""The cross table: a picture scored by every style loss, whichever it was painted with, then by the metrics.

A score is normalised layer by layer: 0 is the style itself (of style swap, its target), 1 the untouched photo.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatys_lab import catalog, metrics
from gatys_lab.config import COMPARED, STYLE_LAYERS
from gatys_lab.specs import LossSpec
from gatys_lab.types import Features, Image, Network, StyleLoss

METRICS = {  # name -> what it says, and whether more is better
    "features": ("content lost, by features", False),
    "perceptual": ("perceptual distance to the photo", False),
    "ssim": ("structure kept", True),
    "edges": ("edges kept", True),
    "histogram": ("colours that the style lacks", False),
    "wasserstein": ("distance of colours to the style's", False),
}


@dataclass(frozen=True)
class Scale:
    """A style loss at one layer, from 0 at the style to 1 at the photo."""

    layer: str
    share: float
    loss: StyleLoss[Any]
    target: Any
    zero: Tensor  # () the loss of the style itself, or of the target
    one: Tensor  # () the loss of the photo

    def __call__(self, features: Features) -> Tensor:
        """() nan where the photo is no further from the style than the style itself."""
        span = self.one - self.zero
        left = (self.loss(features[self.layer], self.target) - self.zero) / span
        return torch.where(span > 0, left, torch.full_like(left, torch.nan))


@dataclass(frozen=True)
class Scores:
    """`style` by loss, `metrics` by the names of `METRICS`; nan where there is nothing to measure.

    `style_left` is the mean over the losses that look at the style alone: not style swap, whose target is another for
    every photo, and from which a picture in the right manner may be further than the photo.
    """

    style: Mapping[str, float]
    style_left: float
    metrics: Mapping[str, float]


def judges(mixtures: Sequence[Sequence[LossSpec]]) -> dict[str, StyleLoss[Any]]:
    """`COMPARED` and what else takes part, each as it is by default; the user's own files with their options."""
    specs = [spec for mixture in mixtures for spec in mixture]
    own = {str(spec): spec for spec in specs if spec.name.endswith(".py")}
    names = {*COMPARED, *(spec.name for spec in specs if not spec.name.endswith(".py"))}
    known = {name: catalog.load("losses", name) for name in sorted(names)}
    return known | {name: catalog.load("losses", spec.name, **spec.options) for name, spec in own.items()}


class Judge:
    """Scores pictures (1, 3, H, W) painted of one photo (1, 3, H, W) in the manner of one painting (1, 3, h, w)."""

    def __init__(
        self,
        network: Network,
        photo: Image,
        painting: Image,
        losses: Mapping[str, StyleLoss[Any]],
        style_layers: Mapping[str, float] | None = None,
        content_layers: Sequence[str] = ("relu4_2",),
    ) -> None:
        self.network, self.photo, self.painting = network, photo, painting
        self.alone = [name for name, loss in losses.items() if not getattr(loss, "carries_content", False)]
        layers = {name: style_layers or getattr(loss, "usual_layers", STYLE_LAYERS) for name, loss in losses.items()}
        style = tuple(dict.fromkeys(layer for each in layers.values() for layer in each))
        self.content_layers, self.style_layers = tuple(content_layers), style
        self.layers = tuple(dict.fromkeys([*style, *content_layers]))
        self.kept, look = self._features(photo), self._features(painting)
        with torch.no_grad():
            self.scales = {
                name: [_scale(loss, layer, share, self.kept, look) for layer, share in layers[name].items()]
                for name, loss in losses.items()
            }

    def __call__(self, picture: Image) -> Scores:
        features = self._features(picture)
        style = self.style(features)
        left = sum(style[name] for name in self.alone) / len(self.alone)
        return Scores(style, left, self._metrics(picture, features))

    def style(self, features: Features) -> dict[str, float]:
        """Each loss's score, the mean over its layers."""
        with torch.no_grad():
            return {
                name: float(sum(s.share * s(features) for s in scales) / sum(s.share for s in scales))
                for name, scales in self.scales.items()
            }

    def _features(self, picture: Image) -> dict[str, Tensor]:
        with torch.no_grad():
            return self.network(picture, self.layers)

    def _metrics(self, picture: Image, features: Features) -> dict[str, float]:
        def only(layers: Sequence[str]) -> tuple[Features, Features]:
            return tuple({k: each[k].float() for k in layers} for each in (features, self.kept))  # type: ignore[return-value]

        values = {
            "features": metrics.feature_distance(*only(self.content_layers)),
            "perceptual": metrics.perceptual(*only(self.style_layers)),
            "ssim": metrics.ssim(picture, self.photo),
            "edges": metrics.edges(picture, self.photo),
            "histogram": metrics.colour_histogram(picture, self.painting),
            "wasserstein": metrics.sliced_wasserstein(picture.cpu().double(), self.painting.cpu().double()),
        }
        return {name: float(values[name]) for name in METRICS}


def _scale(loss: StyleLoss[Any], layer: str, share: float, photo: Features, style: Features) -> Scale:
    """A target that carries the content is its own zero; else the style is, fitted to itself: sizes must agree."""
    target = loss.fit(style[layer], photo[layer])
    one = loss(photo[layer], target)
    if getattr(loss, "carries_content", False):
        return Scale(layer, share, loss, target, torch.zeros_like(one), one)
    return Scale(layer, share, loss, target, loss(style[layer], loss.fit(style[layer], style[layer])), one)
