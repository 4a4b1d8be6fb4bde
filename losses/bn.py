"""The BN loss: the mean and the standard deviation of every channel.

Li et al. 2017, eq. 11: (1/N) sum_i (mu_F - mu_S)^2 + (sigma_F - sigma_S)^2 over N channels. Differs: sigma = sqrt(var +
1e-5) with the biased variance, so that a dead channel has a finite gradient (the published code divides by zero there).

>>> import torch
>>> style, content = torch.rand(1, 8, 12, 10), torch.rand(1, 8, 9, 7)
>>> loss = build()
>>> target = loss.fit(style, content)
>>> round(loss(style + 0.5, target).item(), 4)  # the means are .5 off, the deviations agree
0.25
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gatys_lab.losses import _moments

EPS = 1e-5  # added to the variance of flat channels; AdaIN's value


@dataclass(frozen=True)
class BNStatistics:
    """The target is the style's means and deviations, side by side (1, 2 C)."""

    needs_content: ClassVar[bool] = False

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> Tensor:
        return _statistics(style.detach(), weights)

    def __call__(self, features: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        return _distance(_statistics(features, weights), target)

    def means(self, features: Tensor, target: Tensor | None, weights: Tensor | None = None) -> Tensor:
        """Both moments about the style's mean, where few digits are lost (N, 2, C); without a target, about 0."""
        x, p = _moments.positions(features), _moments.normalised(weights, features)
        off = x if target is None else x - target.chunk(2, dim=1)[0][:, None]
        return torch.stack([_moments.mean(off, p), _moments.mean(off.square(), p)], dim=1)

    def fit_means(self, means: Tensor) -> Tensor:
        mu, square = means.unbind(1)
        return torch.cat([mu, _deviation(mu, square)], dim=1)

    def of_means(self, means: Tensor, target: Tensor) -> Tensor:
        off, square = means.unbind(1)
        return _distance(torch.cat([target.chunk(2, dim=1)[0] + off, _deviation(off, square)], dim=1), target)


def build() -> BNStatistics:
    return BNStatistics()


def _distance(statistics: Tensor, target: Tensor) -> Tensor:
    """() of (N, 2 C)."""
    return (statistics - target).square().sum(1).mean() / (target.shape[1] // 2)


def _deviation(mean: Tensor, square: Tensor) -> Tensor:
    """(N, C) of the first two moments about any point."""
    return ((square - mean.square()).clamp(min=0) + EPS).sqrt()


def _statistics(features: Tensor, weights: Tensor | None) -> Tensor:
    mu, var = _moments.mean_and_variance(_moments.positions(features), _moments.normalised(weights, features))
    return torch.cat([mu, (var + EPS).sqrt()], dim=1)  # (N, 2 C)
