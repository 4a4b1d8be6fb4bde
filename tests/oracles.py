"""The style losses as their papers write them: slow, in 64 bits, one pair of positions or patches at a time."""

import math
from collections.abc import Callable

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Kernel = Callable[[Array, Array], float]


def vectors(features: Tensor) -> Array:
    """Features (1, C, h, w) as (P, C), row after row."""
    f = features.detach().double().numpy()[0]
    return np.array([f[:, y, x] for y in range(f.shape[1]) for x in range(f.shape[2])])


def shares(weights: Tensor | None, count: int) -> Array:
    """A mask (1, 1, h, w) as weights (P,) that sum to 1."""
    w = np.ones(count) if weights is None else weights.detach().double().numpy().ravel()
    return w / w.sum()


def gram(x: Array, p: Array) -> Array:
    return sum((w * np.outer(v, v) for v, w in zip(x, p, strict=True)), np.zeros((x.shape[1],) * 2))


def gram_loss(x: Array, p: Array, y: Array, q: Array) -> float:
    return float(((gram(x, p) - gram(y, q)) ** 2).sum() / (4 * x.shape[1] ** 2))


def bn_loss(x: Array, p: Array, y: Array, q: Array) -> float:
    def moments(v: Array, w: Array) -> tuple[Array, Array]:
        mu = w @ v
        return mu, np.sqrt(w @ (v - mu) ** 2 + 1e-5)

    (mu_x, sigma_x), (mu_y, sigma_y) = moments(x, p), moments(y, q)
    return float(((mu_x - mu_y) ** 2 + (sigma_x - sigma_y) ** 2).mean())


def polynomial(degree: int, c: float) -> Kernel:
    return lambda a, b: float((a @ b + c) ** degree)


def gaussian(s2: float) -> Kernel:
    return lambda a, b: math.exp(-float(((a - b) ** 2).sum()) / (2 * s2))


def mmd(kernel: Kernel, x: Array, p: Array, y: Array, q: Array, *, unbiased: bool = False) -> float:
    """MMD^2 over all pairs; `unbiased` leaves out those of a position with itself. Gretton et al. 2012, eq. 3 and 5."""

    def within(v: Array, w: Array) -> float:
        pairs = [(i, j) for i in range(len(v)) for j in range(len(v)) if not (unbiased and i == j)]
        return sum(w[i] * w[j] * kernel(v[i], v[j]) for i, j in pairs) / sum(w[i] * w[j] for i, j in pairs)

    across = sum(p[i] * q[j] * kernel(x[i], y[j]) for i in range(len(x)) for j in range(len(y)))
    return float(within(x, p) + within(y, q) - 2 * across)


def mean_squared_distance(x: Array, y: Array) -> float:
    """Over the pairs (x, x'), (y, y'), (x, y) and (x', y'), as the four terms of an MMD have them."""
    means = [np.mean([((a - b) ** 2).sum() for a in u for b in v]) for u, v in ((x, x), (y, y), (x, y), (x, y))]
    return float(np.mean(means))


def squared_wasserstein(u: Array, p: Array, v: Array, q: Array) -> float:
    """Of numbers (P,) and (Q,): heaps of earth, carried from the left to the right, as much at a time as fits."""
    ours, theirs = sorted(zip(u, p, strict=True)), sorted(zip(v, q, strict=True))
    (a, here), (b, there) = ours.pop(0), theirs.pop(0)
    total = 0.0
    while True:
        carried = min(here, there)
        total, here, there = total + carried * (a - b) ** 2, here - carried, there - carried
        if here <= 1e-15:
            if not ours:
                return total
            a, here = ours.pop(0)
        if there <= 1e-15:
            if not theirs:
                return total
            b, there = theirs.pop(0)


def sliced_wasserstein(x: Array, p: Array, y: Array, q: Array, axes: Array) -> float:
    return float(np.mean([squared_wasserstein(x @ axis, p, y @ axis, q) for axis in axes]))


def gaussian_wasserstein(x: Array, p: Array, y: Array, q: Array) -> float:
    def moments(v: Array, w: Array) -> tuple[Array, Array]:
        mu = w @ v
        return mu, gram(v - mu, w) + 1e-5 * np.eye(v.shape[1])

    (mu_x, a), (mu_y, b) = moments(x, p), moments(y, q)
    root = scipy.linalg.sqrtm(b)
    overlap = np.trace(scipy.linalg.sqrtm(root @ a @ root).real)
    return float(((mu_x - mu_y) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * overlap)


def style_swap(content: Array, style: Array, patch: int, stride: int, mask: Array | None = None) -> Array:
    """Content (C, H, W) from the patches of style (C, h, w) that correlate best with its own."""

    def starts(size: int) -> list[int]:
        regular = list(range(0, size - patch + 1, stride))
        return regular if regular[-1] == size - patch else [*regular, size - patch]

    def cut(picture: Array, y: int, x: int) -> Array:
        return picture[..., y : y + patch, x : x + patch]

    places = [(y, x) for y in starts(style.shape[1]) for x in starts(style.shape[2])]
    if mask is not None:
        places = [place for place in places if (cut(mask, *place) > 0).all()]
    total, count = np.zeros_like(content), np.zeros(content.shape[1:])
    for y in starts(content.shape[1]):
        for x in starts(content.shape[2]):
            own = cut(content, y, x)
            scores = [(own * cut(style, *place)).sum() / np.linalg.norm(cut(style, *place)) for place in places]
            cut(total, y, x)[...] += cut(style, *places[int(np.argmax(scores))])
            cut(count, y, x)[...] += 1
    return total / count


def mrf(content: Array, style: Array, patch: int, stride: int, weights: Array, mask: Array) -> float:
    """Content (C, H, W), weights (H, W), and of style (C, h, w) the patches within a mask: one patch at a time."""

    def cut(picture: Array, place: tuple[int, int]) -> Array:
        return picture[..., place[0] : place[0] + patch, place[1] : place[1] + patch]

    def places(picture: Array) -> list[tuple[int, int]]:
        ends = [size - patch for size in picture.shape[1:]]
        rows, columns = (sorted({*range(0, end + 1, stride), end}) for end in ends)
        return [(y, x) for y in rows for x in columns]

    allowed = [cut(style, place) for place in places(style) if (cut(mask, place) > 0).all()]
    total, whole = 0.0, 0.0
    for place in places(content):
        own, weight = cut(content, place), float(cut(weights, place).min())
        best = max(allowed, key=lambda other: float((own * other).sum() / np.linalg.norm(other)))
        total, whole = total + weight * float(((own - best) ** 2).mean()), whole + weight
    return total / whole
