"""The histogram loss: every channel's own distribution, whatever the others do.

Risser et al. 2017, "Stable and controllable neural texture synthesis and style transfer using histogram losses": each
channel is remapped so that its histogram becomes the style's, and the squared distance to the remapped channel is
minimised, the remapping taken as constant. The paper adds it to the Gram loss (`--style-loss gram --style-loss
histogram`). Differs: histograms have no bins, but as many steps as there are positions; what no remapping can reach is
counted, so that the value is the squared 2-Wasserstein distance of each channel, with the same gradient; it is a mean,
not a sum.

>>> import torch
>>> style, content = torch.rand(1, 8, 12, 10), torch.rand(1, 8, 9, 7)
>>> loss = build()
>>> target = loss.fit(style, content)
>>> round(loss(style + 0.5, target).item(), 4), loss(content, target).item() > 0
(0.25, True)
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gatys_lab.losses import _moments, _transport


@dataclass(frozen=True)
class Histogram:
    """The target is the style's channels, each sorted."""

    needs_content: ClassVar[bool] = False

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> _transport.Quantiles:
        y = _moments.positions(style.detach())
        return _transport.quantiles(y[0].mT, _moments.normalised(weights, style))

    def __call__(self, features: Tensor, target: _transport.Quantiles, weights: Tensor | None = None) -> Tensor:
        x, p = _moments.positions(features), _moments.normalised(weights, features)
        return _transport.squared_wasserstein(x.mT, p, target).mean()


def build() -> Histogram:
    return Histogram()
