"""Adam with a box and an average over the iterates, which hardly ever waits for the device.

Kingma & Ba 2015, algorithm 1, and their section 7.2 for the average. Differs: the iterate is projected into the box of
displayable images, outside which Adam drifts into a grey haze; every bias correction divides by the same moving average
of ones; and an iterate whose loss or gradient is not finite is given up for the last good one, with half the learning
rate, which then grows back. The device decides that by itself; the host asks it now and then whether it goes on at all.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gatys_lab.types import Evaluate

AVERAGING = 0.9  # ten iterates: .99 suits runs of 500 steps, and lags behind by half in runs of 60
PART = 1 << 22  # numbers that are moved at a time: a step makes no copies of a large picture
GROWTH = 2 ** (1 / 4)  # of the learning rate, an evaluation, up to what it was: four make up for one that failed
LOOK = 20  # evaluations between two looks at whether anything was finite: each waits for the device
EPS = 1e-16  # against 0 / 0 only: the usual 1e-8 would freeze a loss whose gradients are that small


@dataclass
class AdamState:
    """Tensors on the device of `x`, and a count."""

    x: Tensor  # where to evaluate next
    good: Tensor  # the last iterate whose loss and gradient were finite
    first: Tensor  # moving average of the gradient
    second: Tensor  # and of its square
    ones: Tensor  # (3,) what `first`, `second` and `average` would be if they averaged 1
    lr: Tensor  # ()
    failures: Tensor  # () evaluations in a row that were not finite
    average: Tensor | None  # of the iterates, bias-corrected
    steps: int = 0
    dropped: int = 0
    reason: Literal["converged", "stalled", "diverged"] | None = None


@dataclass(frozen=True)
class Adam:
    """`lr` is in pixel values a step; `averaging` the share that the past keeps in the average, 0 for no average.

    `max_retries`: failures in a row that are put up with, and a few more until it looks.
    """

    lr: float
    beta1: float
    beta2: float
    averaging: float
    bounds: tuple[float, float] | None
    max_retries: int

    def start(self, x: Tensor) -> AdamState:
        """Allocates 4 tensors like `x` (any shape), 5 with averaging, in float32 or float64."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        x = x.detach().to(dtype, memory_format=torch.contiguous_format, copy=True)
        return AdamState(
            x,
            good=x.clone(),
            first=torch.zeros_like(x),
            second=torch.zeros_like(x),
            ones=x.new_zeros(3),
            lr=x.new_full((), self.lr),
            failures=torch.zeros((), dtype=torch.int64, device=x.device),
            average=x.clone() if self.averaging > 0 else None,
        )

    def step(self, evaluate: Evaluate, state: AdamState) -> AdamState:
        """One evaluation, one move."""
        loss, gradient = evaluate(state.x)
        fine = torch.isfinite(loss) & torch.stack([torch.isfinite(part).all() for part in _parts(gradient)]).all()
        counts = fine.to(state.x.dtype)  # 1, or 0 for an evaluation that teaches nothing
        news = [counts * (1 - past) for past in (self.beta1, self.beta2, self.averaging)]
        state.ones.lerp_(torch.ones_like(state.ones), torch.stack(news))
        state.lr.mul_(torch.where(fine, GROWTH, 0.5)).clamp_(max=self.lr)
        moved = (state.x, state.good, state.first, state.second, gradient)
        for part in zip(*map(_parts, moved), strict=True):
            self._move(state, fine, news, *part)
        if state.average is not None:
            state.average.lerp_(state.x, torch.where(fine, news[2] / state.ones[2], 0))
        self._count(state, fine)
        return state

    def drafting(self) -> "Adam":
        """The same."""
        return self

    def smaller(self, x: Tensor) -> None:
        """There is nothing to leave out."""

    def _count(self, state: AdamState, fine: Tensor) -> None:
        state.failures = torch.where(fine, 0, state.failures + 1)
        state.steps += 1
        if state.steps % LOOK == 0 and int(state.failures) > self.max_retries:
            state.reason = "diverged"

    def _move(
        self, state: AdamState, fine: Tensor, news: list[Tensor],
        x: Tensor, good: Tensor, first: Tensor, second: Tensor, gradient: Tensor,
    ) -> None:  # fmt: skip
        """A part of the picture, in place."""
        gradient = torch.where(fine, gradient, 0)
        first.lerp_(gradient, news[0])
        second.lerp_(gradient.square(), news[1])
        torch.where(fine, x, good, out=good)
        mean, square = first / state.ones[0], second / state.ones[1]
        torch.where(fine, x - state.lr * mean / (square.sqrt() + EPS), good, out=x)
        if self.bounds is not None:
            x.clamp_(*self.bounds)


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """Of a picture, as vectors."""
    return x.reshape(-1).split(PART)


def build(
    lr: float = 0.02,
    beta1: float = 0.9,
    beta2: float = 0.99,
    averaging: float = AVERAGING,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    max_retries: int = 5,
) -> Adam:
    """`lr` in pixel values a step; `averaging` in [0, 1), 0 for none; `bounds` the box, None for no box.

    `max_retries`: failures in a row before it gives up.
    """
    if max_retries < 0:
        raise ValueError(f"max_retries {max_retries}; wanted at least 0")
    if not lr > 0:
        raise ValueError(f"lr {lr}; wanted a number above 0, such as 0.02")
    for name, share in (("beta1", beta1), ("beta2", beta2), ("averaging", averaging)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} {share}; wanted a number from 0 to below 1")
    return Adam(lr, beta1, beta2, averaging, bounds, max_retries)
