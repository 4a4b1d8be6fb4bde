"""The Gram loss: how channels occur together, wherever they do.

Gatys et al. 2016, eq. 5, as Li et al. 2017 write it (eq. 6): ||F F^T / M_F - S S^T / M_S||_F^2 / (4 N^2) with N
channels. Differs: each picture is divided by its own number of positions M, so that the sizes may differ and a weight
keeps its meaning when the image grows. It equals the polynomial MMD^2 with degree 2 and c = 0, divided by 4 N^2.

>>> import torch
>>> style, content = torch.rand(1, 8, 12, 10), torch.rand(1, 8, 9, 7)
>>> loss = build()
>>> target = loss.fit(style, content)
>>> loss(style, target).item(), loss(content, target).item() > 0
(0.0, True)
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gatys_lab.losses import _moments


@dataclass(frozen=True)
class Gram:
    """The target is the style's Gram matrix (1, C, C)."""

    needs_content: ClassVar[bool] = False

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> Tensor:
        return _moments.gram(_moments.positions(style.detach()), _moments.normalised(weights, style))

    def __call__(self, features: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        return self.of_means(self.means(features, target, weights), target)

    def means(self, features: Tensor, target: Tensor | None, weights: Tensor | None = None) -> Tensor:
        return _moments.gram(_moments.positions(features), _moments.normalised(weights, features))  # (N, C, C)

    def fit_means(self, means: Tensor) -> Tensor:
        return means

    def of_means(self, means: Tensor, target: Tensor) -> Tensor:
        return (means - target).square().sum((1, 2)).mean() / (4 * means.shape[1] ** 2)


def build() -> Gram:
    return Gram()
