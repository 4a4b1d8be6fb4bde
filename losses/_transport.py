"""Optimal transport between sets of numbers: where each number of a row has to go to make the row another one.

In one dimension the cheapest plan keeps the order: the numbers of rank 30 to 31 % go to where the other row has its 30
to 31 %, for any two sizes and weights. So a number's goal is the mean of the other row's quantile function over its own
share, and half the gradient of the squared 2-Wasserstein distance is its weight times the way there. Equal numbers
have one goal: by their places alone, a flat sky would be told to become a ramp. Goals are found a few rows at a time.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK_BYTES = 32 << 20  # of a block of rows in 64 bits; about eight such live at once


@dataclass(frozen=True)
class Quantiles:
    """Rows of numbers as functions of the share that lies below."""

    values: Tensor  # (D, Q), sorted
    below: Tensor  # (D, Q + 1), or (1, Q + 1) if all numbers weigh the same, from 0 to 1, 64 bits


def quantiles(v: Tensor, q: Tensor | None) -> Quantiles:
    """Of rows v (D, Q) with weights q (1, Q)."""
    values, order = _sorted(v.to(_place(v)))
    return Quantiles(values, _below(q, order))


def squared_wasserstein(u: Tensor, p: Tensor | None, style: Quantiles) -> Tensor:
    """The squared 2-Wasserstein distance (N,) of rows u (N, D, P) with weights p (1, P), the mean over the rows."""
    with torch.no_grad():
        goals, rest = _goals(u, p, style)
    left = (u - goals).square().mean(1)  # (N, P)
    return (left.mean(1) if p is None else (left * p).sum(1)) + rest


def _goals(u: Tensor, p: Tensor | None, style: Quantiles) -> tuple[Tensor, Tensor]:
    """Goals (N, D, P), and what remains of the distance (N,) once they are reached: P numbers are not Q."""
    place = _place(u)
    goals, rest = torch.empty_like(u, memory_format=torch.contiguous_format), u.new_empty(u.shape[:2])
    rows = max(1, BLOCK_BYTES // (8 * max(u.shape[2], style.values.shape[1])))
    for n in range(u.shape[0]):
        for start in range(0, u.shape[1], rows):
            part = slice(start, start + rows)
            below = style.below if len(style.below) == 1 else style.below[part]
            goals[n, part], rest[n, part] = _of_rows(u[n, part].to(place), p, style.values[part].double(), below)
    return goals, rest.mean(1)


def _of_rows(u: Tensor, p: Tensor | None, v: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """Goals (D, P) and rests (D,) of rows u (D, P) on the way to sorted rows v (D, Q)."""
    u, order = _sorted(u)
    ours = _below(p, order)  # (D or 1, P + 1)
    area = _integral(v, below, ours * below[:, -1:])  # (D, P + 1)
    first, last = _equals(u)
    share = ours.expand(len(u), -1).gather(1, last) - ours.expand(len(u), -1).gather(1, first)
    goals = (area.gather(1, last) - area.gather(1, first)) / share.clamp(min=torch.finfo(share.dtype).tiny)
    rest = (v.square() * below.diff()).sum(1) - (goals.square() * ours.diff()).sum(1)
    return torch.empty_like(goals).scatter_(1, order, goals), rest.clamp(min=0)


def _sorted(u: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (D, P), sorted, and their order; equal numbers in any."""
    if u.device.type == "cpu":
        order = torch.from_numpy(np.argsort(u.detach().numpy(), axis=1))  # 5 times faster than torch's
        return u.gather(1, order), order
    values, order = u.sort(1)
    return values, order


def _equals(u: Tensor) -> tuple[Tensor, Tensor]:
    """For each number of sorted rows (D, P), where those that equal it begin and end."""
    count = u.shape[1]
    at, new = torch.arange(1, count, device=u.device), u.diff() != 0  # (P - 1,), (D, P - 1)
    first = F.pad(at * new, (1, 0)).cummax(1).values
    last = F.pad(torch.where(new, at, count), (0, 1), value=count).flip(1).cummin(1).values.flip(1)
    return first, last


def _integral(v: Tensor, below: Tensor, ends: Tensor) -> Tensor:
    """The integrals (D, n) of the quantile functions v (D, Q) from 0 to `ends` (D or 1, n)."""
    whole = F.pad((v * below.diff()).cumsum(1), (1, 0))  # (D, Q + 1)
    rows = max(len(below), len(ends))
    below, ends = below.expand(rows, -1).contiguous(), ends.expand(rows, -1).contiguous()
    at = (torch.searchsorted(below, ends, right=True) - 1).clamp(max=v.shape[1] - 1)
    over, at = ends - below.gather(1, at), at.expand(len(v), -1)
    return whole.gather(1, at) + over * v.gather(1, at)


def _below(p: Tensor | None, order: Tensor) -> Tensor:
    """The shares (D, P + 1) that lie below each number of sorted rows; (1, P + 1) without weights. An empty mask: 0."""
    count = order.shape[1]
    if p is None:
        return torch.arange(count + 1, dtype=torch.float64, device=order.device)[None] / count
    below = F.pad(p[0].to(order.device).double()[order].cumsum(1), (1, 0))
    return below / below[:, -1:].clamp(min=torch.finfo(below.dtype).tiny)


def _place(x: Tensor) -> torch.device:
    return torch.device("cpu") if x.device.type == "mps" else x.device  # mps has no 64 bits
