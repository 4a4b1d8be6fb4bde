"""Three ways to estimate the MMD^2 of a Gaussian kernel exp(-|x - y|^2 / 2 s^2) between positions x and the style's y.

Whatever is random is drawn once, when the style is fitted, from a seed and on the CPU in 64 bits: the same for every
evaluation, device and precision. p and q are the weights of x and y (see _moments.py), `count` the number of positions
that x will have, `s2` the squared bandwidth ().
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from gatys_lab.losses import _kernels

LEAST = 32  # frequencies: at 16 channels, 16 of them have a cosine of .87 to the exact gradient, 32 of .94
CACHE_BYTES = 1 << 19  # of phases at a time: they, their cosines and sines fit into a second-level cache
ALONE = 1e-3  # below this share of pairs of different positions (a mask on one position), unbiased means are 0, not 0/0


class Estimator(Protocol):
    def fit(self, y: Tensor, q: Tensor | None, count: int, s2: Tensor) -> Any: ...

    def __call__(self, x: Tensor, p: Tensor | None, target: Any) -> Tensor: ...  # (N, P, C) -> (N,)


@dataclass(frozen=True)
class Waves:
    frequencies: Tensor  # (C, D)
    mean: Tensor  # (1, 2 D)


@dataclass(frozen=True)
class Fourier:
    """Random Fourier features (Rahimi & Recht 2007): the mean of D cosines and D sines over all positions.

    The frequencies are orthogonal, C at a time (Yu et al. 2016): at D = C the error of the gradient is a third of that
    of independent ones. `features` is D; None: as many as channels, at least 32. Never negative, 0 at the style itself.
    """

    features: int | None = None
    seed: int = 0

    def fit(self, y: Tensor, q: Tensor | None, count: int, s2: Tensor) -> Waves:
        draw = _orthogonal(
            y.shape[2], self.features or max(y.shape[2], LEAST), torch.Generator().manual_seed(self.seed)
        )
        frequencies = draw.to(y) / s2.sqrt()
        q = _kernels.uniform(y) if q is None else q
        return Waves(frequencies, _MeanWaves.apply(y, q, frequencies))

    def __call__(self, x: Tensor, p: Tensor | None, target: Waves) -> Tensor:
        return self.of_means(self.means(x, p, target), target)

    def means(self, x: Tensor, p: Tensor | None, target: Waves) -> Tensor:
        return _MeanWaves.apply(x, _kernels.uniform(x) if p is None else p, target.frequencies)  # (N, 2 D)

    def of_means(self, means: Tensor, target: Waves) -> Tensor:
        return (means - target.mean).square().sum(1) / target.frequencies.shape[1]


@dataclass(frozen=True)
class Quadruples:
    first: Tensor  # (m,) positions x0
    second: Tensor  # (m,) positions x1
    y0: Tensor  # (1, m, C)
    y1: Tensor  # (1, m, C)
    q0: Tensor  # (1, m)
    q1: Tensor  # (1, m)
    own: Tensor  # (1,) the mean of k(y0, y1)
    s2: Tensor  # ()
    count: int


@dataclass(frozen=True)
class LinearTime:
    """Gretton et al. 2012, section 6: the mean of k(x0,x1) + k(y0,y1) - k(x0,y1) - k(x1,y0) over seeded quadruples.

    Every position is in one, those of the smaller picture in several. Weights weigh the pairs. May be negative.
    """

    seed: int = 0

    def fit(self, y: Tensor, q: Tensor | None, count: int, s2: Tensor) -> Quadruples:
        generator, half = torch.Generator().manual_seed(self.seed), -(-max(count, y.shape[1]) // 2)
        first, second, i0, i1 = (
            index.to(y.device)
            for size in (count, y.shape[1])
            for index in _shuffled(size, 2 * half, generator).split(half)
        )
        q = _kernels.uniform(y) if q is None else q
        y0, y1, q0, q1 = y[:, i0], y[:, i1], q[:, i0], q[:, i1]
        return Quadruples(first, second, y0, y1, q0, q1, _pair_mean(y0, q0, y1, q1, s2), s2, count)

    def __call__(self, x: Tensor, p: Tensor | None, target: Quadruples) -> Tensor:
        if x.shape[1] != target.count:
            raise ValueError(f"{x.shape[1]} positions for a target fitted to {target.count}; fit it to this size")
        p, t = _kernels.uniform(x) if p is None else p, target
        x0, x1, p0, p1 = x[:, t.first], x[:, t.second], p[:, t.first], p[:, t.second]
        cross = _pair_mean(x0, p0, t.y1, t.q1, t.s2) + _pair_mean(x1, p1, t.y0, t.q0, t.s2)
        return _pair_mean(x0, p0, x1, p1, t.s2) + t.own - cross


@dataclass(frozen=True)
class Pairs:
    style: _kernels.Sample
    s2: Tensor  # ()


@dataclass(frozen=True)
class Exact:
    """All pairs of positions, in blocks. `unbiased` drops the pairs of a position with itself, and may be negative."""

    unbiased: bool = False

    def fit(self, y: Tensor, q: Tensor | None, count: int, s2: Tensor) -> Pairs:
        return Pairs(_kernels.sample(_gaussian(s2), y, q), s2)

    def __call__(self, x: Tensor, p: Tensor | None, target: Pairs) -> Tensor:
        kernel, style = _gaussian(target.s2), target.style
        if not self.unbiased:
            return _kernels.squared_mmd(kernel, x, p, style)
        p = _kernels.uniform(x) if p is None else p
        cross = _kernels.kernel_mean(kernel, x, p, style.points, style.weights)
        own = _without_diagonal(_kernels.kernel_mean(kernel, x, p, x, p), p)
        return own + _without_diagonal(style.own, style.weights) - 2 * cross


def _orthogonal(channels: int, count: int, generator: torch.Generator) -> Tensor:
    """Frequencies (C, D), each N(0, I) by itself; within each run of C, orthogonal to one another."""
    runs = -(-count // channels)
    normal, other = torch.randn(2, runs, channels, channels, generator=generator, dtype=torch.float64)
    frequencies = torch.linalg.qr(normal).Q * other.norm(dim=1, keepdim=True)  # directions times lengths
    return frequencies.transpose(0, 1).flatten(1)[:, :count]


class _MeanWaves(torch.autograd.Function):
    """The mean cosines and sines (N, 2 D) of x (N, P, C) with weights p (1, P), in blocks that stay in the cache.

    4 times faster than autograd at 512 x 512 cells, and it keeps no phases: they are computed again on the way back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: Tensor, frequencies: Tensor) -> Tensor:
        ctx.save_for_backward(x, p, frequencies)
        total = x.new_zeros(x.shape[0], 1, 2 * frequencies.shape[1])
        for part, weights in _kernels.blocks(x, p, frequencies.shape[1], CACHE_BYTES):
            phases = part @ frequencies  # (N, b, D)
            total += weights[:, None] @ torch.cat([phases.cos(), phases.sin()], dim=2)
        return total[:, 0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x, p, frequencies), (by_cos, by_sin) = ctx.saved_tensors, gradients[0][:, None].chunk(2, dim=2)
        parts = []
        for part, weights in _kernels.blocks(x, p, frequencies.shape[1], CACHE_BYTES):
            phases = part @ frequencies
            slope = phases.cos() * by_sin - phases.sin() * by_cos
            parts.append(slope @ frequencies.T * weights[..., None])
        return torch.cat(parts, dim=1), None, None


def _shuffled(size: int, length: int, generator: torch.Generator) -> Tensor:
    """0 ... size - 1 in random order, again and again until there are `length`."""
    rounds = [torch.randperm(size, generator=generator) for _ in range(-(-length // size))]
    return torch.cat(rounds)[:length]


def _pair_mean(a: Tensor, p: Tensor, b: Tensor, q: Tensor, s2: Tensor) -> Tensor:
    """The mean (N,) of k(a_i, b_i), weighted by p_i q_i."""
    pairs = p * q  # (1, m)
    values = torch.exp((a - b).square().sum(2) / (-2 * s2))  # (N, m)
    return (values * pairs).sum(1) / pairs.sum(1).clamp(min=torch.finfo(pairs.dtype).tiny)


def _gaussian(s2: Tensor) -> _kernels.Kernel:
    return lambda x, y: torch.exp(_kernels.squared_distances(x, y) / (-2 * s2))


def _without_diagonal(own: Tensor, p: Tensor) -> Tensor:
    """sum_{i != j} p_i p_j k_ij / sum_{i != j} p_i p_j, from the whole sum: k_ii = 1, sum p = 1. Uniform: / n(n-1)."""
    diagonal = p.square().sum(1)
    return (own - diagonal) / (1 - diagonal).clamp(min=ALONE)
