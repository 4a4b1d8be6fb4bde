"""The linear MMD: the mean of every channel, and nothing else.

Li et al. 2017, section 4.1, k(x, y) = x.y: MMD^2 = ||mu_F - mu_S||^2. Differs: computed through the means, which is
the same number in linear time. It is not divided by the number of channels: the paper leaves its normalisation Z_k
open, and the balance is measured anyway.

>>> import torch
>>> style, content = torch.rand(1, 8, 12, 10), torch.rand(1, 8, 9, 7)
>>> loss = build()
>>> target = loss.fit(style, content)
>>> round(loss(style + 0.5, target).item(), 4)  # 8 channels, each .5 off
2.0
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gatys_lab.losses import _moments


@dataclass(frozen=True)
class LinearMMD:
    """The target is the style's mean (1, C)."""

    needs_content: ClassVar[bool] = False

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> Tensor:
        return _moments.mean(_moments.positions(style.detach()), _moments.normalised(weights, style))

    def __call__(self, features: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        return self.of_means(self.means(features, target, weights), target)

    def means(self, features: Tensor, target: Tensor | None, weights: Tensor | None = None) -> Tensor:
        return _moments.mean(_moments.positions(features), _moments.normalised(weights, features))  # (N, C)

    def fit_means(self, means: Tensor) -> Tensor:
        return means

    def of_means(self, means: Tensor, target: Tensor) -> Tensor:
        return (means - target).square().sum(1).mean()


def build() -> LinearMMD:
    return LinearMMD()
