"""Attention-weighted mean and deviation of a style's values at every position of the content. Liu et al. 2021, eq. 3-6.

One pass over [V, V^2] gives both moments, and no matrix of content x style positions is ever held: `softmax` goes over
the content a tile at a time, `cosine` (eq. 11-12: weights (1 + cos) / sum) is linear attention, exact in two products.
"""

import math
from collections.abc import Callable, Iterator
from functools import wraps

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

Attend = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
EPS = 1e-8  # of a variance: the root's gradient at 0 would be infinite
FAR = 40.0  # below the best score: weights under e^-40 are 0, since a CPU is slow beyond measure at denormal numbers
TILE_BYTES = 128 << 20  # of scores; about three such tiles live at once


def _exact(attend: Attend) -> Attend:
    """Out of autocast's reach: E[V^2] - E[V]^2 of 16-bit products would be noise."""

    @wraps(attend)
    def exact(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(query.device.type, enabled=False):
            return attend(query, key, value)

    return exact


@_exact
def softmax(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Queries (N, d, P), keys (N, d, Q) and values (N, C, Q) to mean and deviation, (N, C, P) each, in 32 bits."""
    values = _moments_of(value)  # (N, Q, 2 C)
    query, key = query.to(values.dtype), key.to(values.dtype)  # logits are large: 16 bits would round them

    def attend(columns: Tensor) -> Tensor:
        scores = columns.mT @ key
        scores -= scores.detach().amax(2, keepdim=True)
        scores = F.threshold(scores, -FAR, -math.inf, inplace=True)
        return scores.softmax(2) @ values  # (N, p, 2 C)

    tiles = (query[..., part] for part in _tiles(query.shape[2], len(query) * key.shape[2] * 4))
    if torch.is_grad_enabled():  # a tile's scores are made again on the way back, not kept
        return _mean_std(torch.cat([checkpoint(attend, tile, use_reentrant=False) for tile in tiles], 1))
    return _mean_std(torch.cat([attend(tile) for tile in tiles], 1))


@_exact
def cosine(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """As `softmax`, with weights (1 + cos(query, key)) / sum, in memory linear in the positions."""
    values = _moments_of(value)
    q, k = (F.normalize(x.to(values.dtype), dim=1) for x in (query, key))
    every = torch.ones_like(values[..., :1])  # the divisor is the sum of the same weights
    values = torch.cat([values, every], 2)  # (N, Q, 2 C + 1)
    summary, total = k @ values, values.sum(1, keepdim=True)  # (N, d, 2 C + 1), (N, 1, 2 C + 1)
    weighted = q.mT @ summary + total
    return _mean_std(weighted[..., :-1] / weighted[..., -1:].clamp_min(1e-12))


FORMS = {"softmax": softmax, "cosine": cosine}


def _moments_of(value: Tensor) -> Tensor:
    """(N, C, Q) -> [V, V^2] (N, Q, 2 C), in 32 bits or better."""
    v = value.to(torch.promote_types(value.dtype, torch.float32)).mT
    return torch.cat([v, v.square()], 2)


def _mean_std(moments: Tensor) -> tuple[Tensor, Tensor]:
    mean, square = moments.mT.chunk(2, 1)  # (N, C, P)
    return mean, (square - mean.square()).clamp_min(EPS).sqrt()


def _tiles(count: int, row_bytes: int) -> Iterator[slice]:
    rows = max(1, TILE_BYTES // row_bytes)
    return (slice(first, min(first + rows, count)) for first in range(0, count, rows))
