"""The sliced Wasserstein distance: whole distributions of features, as they look from many directions.

Heitz et al. 2021, "A sliced Wasserstein loss for neural texture synthesis": features are projected on random
directions, as many as there are channels; along each, the sorted projections are compared with the style's. Differs:
the directions are drawn once, as L-BFGS needs, where the paper draws them at every evaluation, and stand at right
angles, N by N: a shift by v is seen as |v|^2 / N exactly. Pictures of other sizes are compared by quantiles, where the
paper repeats positions; equal features go the same way. Measured on lite (astronaut + noise against strokes.png, 160
px): the cosine to the gradient of 16 N other directions, at the features / at the pixels, and the time of one
evaluation of the loss alone, value and gradient (one CPU thread):

                 relu1_1, N = 20     relu2_1, N = 48     relu3_1, N = 80     relu4_1, N = 160
    D = N / 2    .73 / .89  28 ms    .64 / .94  20 ms    .70 / .89   9 ms    .68 / .92   3 ms
    D = N        .91 / .98  59 ms    .92 / .99  34 ms    .90 / .98  13 ms    .92 / .99  10 ms
    D = 2 N      .95 / .99 109 ms    .96 / 1.0  61 ms    .95 / .99  20 ms    .96 / 1.0  13 ms

>>> import torch
>>> style, content = torch.rand(1, 8, 12, 10), torch.rand(1, 8, 9, 7)
>>> loss = build()
>>> target = loss.fit(style, content)
>>> round(loss(style + 0.5, target).item(), 4), loss(content, target).item() > 0
(0.25, True)
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gatys_lab.losses import _moments, _options, _transport


@dataclass(frozen=True)
class Slices:
    """The directions, and the style as seen from each."""

    axes: Tensor  # (D, C)
    style: _transport.Quantiles


@dataclass(frozen=True)
class SlicedWasserstein:
    """`directions` None: as many as there are channels."""

    needs_content: ClassVar[bool] = False

    directions: int | None = None
    seed: int = 0

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> Slices:
        y, q = _moments.positions(style.detach()), _moments.normalised(weights, style)
        axes = self._axes(y.shape[2]).to(y)
        return Slices(axes, _transport.quantiles((axes @ y.mT)[0], q))

    def __call__(self, features: Tensor, target: Slices, weights: Tensor | None = None) -> Tensor:
        x, p = _moments.positions(features), _moments.normalised(weights, features)
        return _transport.squared_wasserstein(target.axes @ x.mT, p, target.style).mean()

    def _axes(self, channels: int) -> Tensor:
        """(D, C) of length 1, in 64 bits; of each C that follow one another, no two share anything."""
        count, generator = self.directions or channels, torch.Generator().manual_seed(self.seed)
        draw = torch.randn(-(-count // channels), channels, channels, generator=generator, dtype=torch.float64)
        return torch.linalg.qr(draw).Q.mT.flatten(0, 1)[:count]


def build(directions: int | None = None, seed: int = 0) -> SlicedWasserstein:
    """More `directions` see more, and take as much longer. Raises ValueError for an option out of range."""
    directions = None if directions is None else _options.whole("directions", directions, 1)
    return SlicedWasserstein(directions, _options.whole("seed", seed, 0))
