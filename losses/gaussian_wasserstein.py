"""The Wasserstein distance of Gaussians: means and covariances, as far apart as it costs to move one to the other.

|mu_F - mu_S|^2 + tr(A + B - 2 (B^1/2 A B^1/2)^1/2) with covariances A and B; the second term is the Bures distance.
Dowson & Landau 1982 have the formula; Mroueh 2020, "Wasserstein style transfer", and Lu et al. 2019, "A closed-form
solution to universal style transfer", move features by its map; Vacher et al. 2020, "Texture interpolation for probing
visual perception", and Katherine Crowson's style-transfer-pytorch minimise it. Differs: EPS is added to every variance,
in 64 bits, so that the gradient stays finite where a channel is dead or positions are fewer than channels.

Beside Gram, which compares second moments, it is of second degree in the features and not of fourth.

>>> import torch
>>> style, content = torch.rand(1, 8, 12, 10), torch.rand(1, 8, 9, 7)
>>> loss = build()
>>> target = loss.fit(style, content)
>>> round(loss(style + 0.5, target).item(), 4), loss(content, target).item() > 0  # 8 channels, each .5 off
(2.0, True)
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gatys_lab.losses import _moments

EPS = 1e-5  # added to the variance of flat channels; bn's value


@dataclass(frozen=True)
class Gaussian:
    """A mean, and the square root and trace of a covariance."""

    mean: Tensor  # (1, C)
    root: Tensor  # (1, C, C), 64 bits
    trace: Tensor  # (1,), 64 bits


@dataclass(frozen=True)
class GaussianWasserstein:
    needs_content: ClassVar[bool] = False

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> Gaussian:
        return _gaussian(*_statistics(style.detach(), weights))

    def __call__(self, features: Tensor, target: Gaussian, weights: Tensor | None = None) -> Tensor:
        return _distance(*_statistics(features, weights), target)

    def means(self, features: Tensor, target: Gaussian | None, weights: Tensor | None = None) -> Tensor:
        """Both moments about the style's mean, where few digits are lost: (N, C, 1 + C); without a target, about 0."""
        x, p = _moments.positions(features), _moments.normalised(weights, features)
        off = x if target is None else x - target.mean[:, None]
        return torch.cat([_moments.mean(off, p)[..., None], _moments.gram(off, p)], dim=2)

    def fit_means(self, means: Tensor) -> Gaussian:
        return _gaussian(means[..., 0], _covariance(means))

    def of_means(self, means: Tensor, target: Gaussian) -> Tensor:
        return _distance(target.mean + means[..., 0], _covariance(means), target)


def build() -> GaussianWasserstein:
    return GaussianWasserstein()


def _gaussian(mu: Tensor, covariance: Tensor) -> Gaussian:
    values, axes = torch.linalg.eigh(covariance)
    return Gaussian(mu, (axes * values.clamp(min=0).sqrt()[:, None]) @ axes.mT, _trace(covariance))


def _covariance(means: Tensor) -> Tensor:
    """Of both moments about any point (N, C, 1 + C)."""
    off, second = means[..., :1], means[..., 1:]
    return _precise(second - off @ off.mT)


def _statistics(features: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """The mean (N, C), and the covariance (N, C, C) in 64 bits, with EPS on its diagonal."""
    x, p = _moments.positions(features), _moments.normalised(weights, features)
    mu = _moments.mean(x, p)
    return mu, _precise(_moments.gram(x - mu[:, None], p))


def _precise(covariance: Tensor) -> Tensor:
    """(N, C, C) in 64 bits, with EPS on its diagonal."""
    if covariance.device.type == "mps":
        covariance = covariance.cpu()  # mps has no 64 bits
    return covariance.double() + EPS * torch.eye(covariance.shape[1], dtype=torch.float64, device=covariance.device)


def _distance(mu: Tensor, covariance: Tensor, target: Gaussian) -> Tensor:
    """() of a mean (N, C) and a covariance as `_precise` gives it."""
    squares = torch.linalg.eigvalsh(target.root @ covariance @ target.root)  # (N, C), of EPS^2 or more
    overlap = squares.clamp(min=EPS**2 / 4).sqrt().sum(1)  # less is rounding, and has no gradient
    bures = (_trace(covariance) + target.trace - 2 * overlap).clamp(min=0)  # (N,)
    return ((mu - target.mean).square().sum(1) + bures.to(mu)).mean()


def _trace(matrices: Tensor) -> Tensor:
    """(N,) of (N, C, C)."""
    return matrices.diagonal(dim1=-2, dim2=-1).sum(1)
