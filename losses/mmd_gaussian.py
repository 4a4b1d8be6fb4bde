"""The Gaussian MMD: the whole distribution of features, k(x, y) = exp(-|x - y|^2 / 2 s^2).

Li et al. 2017, section 4.1; their rule for the bandwidth: s^2 is the mean squared distance of the pairs, fixed when the
style is fitted, with no gradient through it. Differs: "the pairs" are all pairs, whose mean distance has a closed form;
and where the paper samples pairs (estimator="linear": all positions in fixed random quadruples), the default is random
Fourier features over all positions. Measured on VGG-19 (photo + noise against a painting, 64 x 64 cells, relu4_1 32 x
32, 64 bits, mean of 3 seeds): the cosine to the exact gradient, at the features / at the pixels, and the time of one
evaluation of the loss alone, value and gradient (one CPU thread, 32 bits; exact: .6, 1.0, 1.7, .1 s):

                          relu1_1, N = 64      relu2_1, N = 128     relu3_1, N = 256      relu4_1, N = 512
    linear                .28 / .43   1.2 ms   .13 / .15   1.8 ms   .21 / .40   4.3 ms    .32 / .81   1.8 ms
    fourier, D = N / 2    .67 / .96   2.0 ms   .62 / .87   4.6 ms   .67 / .93  13.7 ms    .67 / .98  11.3 ms
    fourier, D = N        .91 / .99   3.4 ms   .90 / .97   8.4 ms   .95 / .99  25.7 ms    .95 / .999 21.2 ms
    fourier, D = 2 N      .95 / .997  5.9 ms   .95 / .99  15.9 ms   .97 / .997 48.6 ms    .98 / .999 42.3 ms

Optimised for 80 evaluations from two photos at 96 px on these four layers, fourier with D = N leaves .8 % of the exact
loss; linear 40 and 53 %, while its own value falls far below zero: a position learns its partners, not the style.

>>> import torch
>>> style, content = torch.rand(1, 8, 12, 10), torch.rand(1, 8, 9, 7)
>>> for loss in (build(), build(features=256), build(estimator="exact", bandwidth=2.0)):
...     target = loss.fit(style, content)
...     print(abs(loss(style, target).item()) < 1e-6, loss(content, target).item() > 0)
True True
True True
True True
"""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from gatys_lab.losses import _moments, _options
from gatys_lab.losses._estimators import Estimator, Exact, Fourier, LinearTime, Waves

ESTIMATORS = ("fourier", "linear", "exact")
EPS = 1e-5  # the least s^2, for pictures that are one flat colour; bn's value


@dataclass(frozen=True)
class GaussianMMD:
    """`bandwidth` is s, in the features' own unit; None: the published rule."""

    estimator: Estimator
    bandwidth: float | None = None

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> Any:
        x, y = _moments.positions(content.detach()), _moments.positions(style.detach())
        q = _moments.normalised(weights, style)
        s2 = x.new_tensor(self.bandwidth**2) if self.bandwidth is not None else mean_squared_distance(x, y, q)
        return self.estimator.fit(y, q, x.shape[1], s2)

    def __call__(self, features: Tensor, target: Any, weights: Tensor | None = None) -> Tensor:
        x, p = _moments.positions(features), _moments.normalised(weights, features)
        return self.estimator(x, p, target).mean()


@dataclass(frozen=True)
class FourierMMD(GaussianMMD):
    """By random Fourier features, the one estimate that is a function of means."""

    estimator: Fourier = field(default_factory=Fourier)

    def means(self, features: Tensor, target: Waves, weights: Tensor | None = None) -> Tensor:
        return self.estimator.means(_moments.positions(features), _moments.normalised(weights, features), target)

    def of_means(self, means: Tensor, target: Waves) -> Tensor:
        return self.estimator.of_means(means, target).mean()


def build(
    estimator: str = "fourier",
    bandwidth: float | None = None,
    features: int | None = None,
    unbiased: bool = False,
    seed: int = 0,
) -> GaussianMMD:
    """`features` belongs to "fourier", `unbiased` to "exact". Raises ValueError for an option out of range or place."""
    name, seed = _options.choice("estimator", estimator, ESTIMATORS), _options.whole("seed", seed, 0)
    if features is not None:
        features = _options.whole("features", features, 1)
        _needs("features", "fourier", name)
    if _options.choice("unbiased", unbiased, (False, True)):
        _needs("unbiased", "exact", name)
    if bandwidth is not None:
        bandwidth = _options.number("bandwidth", bandwidth, above=0)
    if name == "fourier":
        return FourierMMD(Fourier(features, seed), bandwidth)
    return GaussianMMD(LinearTime(seed) if name == "linear" else Exact(unbiased), bandwidth)


def mean_squared_distance(x: Tensor, y: Tensor, q: Tensor | None) -> Tensor:
    """The rule's s^2 (), over all pairs, (x, x), (y, y) and twice (x, y), as a quadruple has them: in linear time."""
    (mu_x, var_x), (mu_y, var_y) = _moments.mean_and_variance(x, None), _moments.mean_and_variance(y, q)
    return ((mu_x - mu_y).square() / 2 + var_x + var_y).sum(1).mean().clamp(min=EPS)


def _needs(option: str, wanted: str, name: str) -> None:
    if name != wanted:
        raise ValueError(f"{option} means nothing to estimator={name}; leave it out or choose estimator={wanted}")
