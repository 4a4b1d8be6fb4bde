"""Exact means of a kernel over all pairs of positions, in blocks of rows: time O(P^2), memory O(P).

Gretton et al. 2012, "A kernel two-sample test", eq. 5 (biased). A block is computed again in the backward pass instead
of being kept, so no more than a few blocks of kernel values exist at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Kernel = Callable[[Tensor, Tensor], Tensor]  # (N, P, C), (1, Q, C) -> (N, P, Q)

BLOCK_BYTES = (
    8 << 20
)  # of kernel values; about four such blocks live at once. At 32 MiB they miss the caches: 2.5 times slower


@dataclass(frozen=True)
class Sample:
    """One side of the comparison, the style's: its positions, their weights, and its own kernel mean."""

    points: Tensor  # (1, Q, C)
    weights: Tensor  # (1, Q)
    own: Tensor  # (1,)


def uniform(x: Tensor) -> Tensor:
    """Equal weights (1, P) for the vectors (N, P, C)."""
    return x.new_full((1, x.shape[1]), 1 / x.shape[1])


def sample(kernel: Kernel, y: Tensor, q: Tensor | None) -> Sample:
    q = uniform(y) if q is None else q
    return Sample(y, q, kernel_mean(kernel, y, q, y, q))


def squared_mmd(kernel: Kernel, x: Tensor, p: Tensor | None, style: Sample) -> Tensor:
    """The biased MMD^2 (N,) of vectors x (N, P, C) from the style's: never negative, 0 at the style itself."""
    p = uniform(x) if p is None else p
    own, cross = kernel_mean(kernel, x, p, x, p), kernel_mean(kernel, x, p, style.points, style.weights)
    return (own + style.own - 2 * cross).clamp(min=0)  # rounding may leave a square just below zero


def kernel_mean(kernel: Kernel, x: Tensor, p: Tensor, y: Tensor, q: Tensor) -> Tensor:
    """sum_ij p_i q_j k(x_i, y_j), (N,), with weights p (1, P) and q (1, Q)."""

    def block(x: Tensor, p: Tensor) -> Tensor:
        return (p[:, None] @ (kernel(x, y) @ q[..., None]))[:, 0, 0]

    total = x.new_zeros(x.shape[0])
    for part, weights in blocks(x, p, y.shape[1], BLOCK_BYTES):
        total = total + checkpoint(block, part, weights, use_reentrant=False, preserve_rng_state=False)
    return total


def blocks(x: Tensor, p: Tensor, columns: int, most_bytes: int) -> Iterator[tuple[Tensor, Tensor]]:
    """x (N, P, C) and p (1, P) in runs of positions for which `columns` numbers each take at most `most_bytes`."""
    rows = max(1, most_bytes // (x.shape[0] * columns * x.element_size()))
    return zip(x.split(rows, dim=1), p.split(rows, dim=1), strict=True)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2, (N, P, Q). Both are centred on y first, so that a common mean costs no digits."""
    centre = y.mean(1, keepdim=True).detach()  # which drops out of the distances
    x, y = x - centre, y - centre
    ends = x.square().sum(2)[:, :, None] + y.square().sum(2)[:, None]
    return torch.baddbmm(ends, x, y.mT.expand(x.shape[0], -1, -1), alpha=-2).clamp(min=0)
