"""One image, one size: drive an optimiser over the pixels within a budget, and deliver the best image seen.

The budget counts evaluations (one forward and backward of the network), in which optimisers of any kind compare. Its
last one is spent on the delivered image itself, clamped to [0, 1]: the reported loss is that of what is delivered.

Optimisers that know no bounds are kept near [0, 1] by a fence, a quadratic penalty on what is outside: without it the
final clamp costs 8 to 18 % of the loss (2 pictures at 256 px, 60 evaluations, Gram).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatys_lab.objective import Fitted
from gatys_lab.states import Frozen, thaw
from gatys_lab.types import Image, Network, Optimizer, Reason, Solution, Step

Callback = Callable[[Step], None]
AtRest = Callable[["Standing"], None]
FENCE = "outside [0, 1]"  # its name among the parts of a step
LEAK = 0.02  # how far outside [0, 1] a pixel may be pushed by a gradient of the first one's root mean square


@dataclass
class Standing:
    """Where a run stands between two iterations: what the rest of it depends on. No copies: freeze() what you keep."""

    used: int  # evaluations
    seconds: float
    best: Image
    best_loss: Tensor
    fence: Tensor | None
    state: Any  # the optimiser's, None before its first step


def optimize(
    image: Image,
    network: Network,
    objective: Fitted,
    optimizer: Optimizer,
    *,
    evaluations: int,
    callbacks: Sequence[Callback] = (),
    tolerance: float | None = None,
    at_rest: AtRest | None = None,
    standing: Frozen | None = None,
) -> Solution:
    """Minimise `objective` from `image` (1, 3, H, W). Ctrl-C ends the run, not the program: see Solution.reason.

    `tolerance`: stop when an iteration changes the image by less, ||x' - x|| / ||x'|| (Li et al. 2017 use 0.005).
    `at_rest` is told where the run stands before each iteration; from such a `standing`, frozen, another run of the
    same problem goes on as the first did.
    Raises ValueError if the very first evaluation is not finite or the budget is below 2.
    """
    if evaluations < 2:
        raise ValueError(f"{evaluations} evaluations; wanted at least 2: one step, and the loss of what is delivered")
    run = _Run(image, network, objective, evaluations, callbacks)
    reason: Reason = "budget"
    state = optimizer.start(image)
    if standing is not None:
        state = run.go_on(standing, state)
    try:
        while state.reason is None:
            if at_rest is not None:
                at_rest(run.standing(state))
            before = state.x.clone() if tolerance is not None else None
            state = optimizer.step(run.evaluate, state)
            if before is not None and tolerance is not None and _change(before, state.x) < tolerance:
                state.reason = "converged"
        reason = state.reason
    except _BudgetSpent:
        pass
    except KeyboardInterrupt:
        reason = "interrupted"
    return run.deliver(state.average, reason)


class _BudgetSpent(Exception):
    """Raised out of an optimiser that asks for one evaluation too many."""


class _Run:
    """Counts and watches the evaluations of one run, and remembers the best image."""

    def __init__(
        self, image: Image, network: Network, objective: Fitted, budget: int, callbacks: Sequence[Callback]
    ) -> None:
        self.network, self.objective, self.budget, self.callbacks = network, objective, budget, callbacks
        self.used, self.began = 0, time.monotonic()
        self.best = image.detach().clone()
        self.best_loss = image.new_full((), float("inf"))
        self.fence: Tensor | None = None  # (), the penalty's stiffness, from the first gradient

    def standing(self, state: Any) -> Standing:
        seconds = time.monotonic() - self.began
        return Standing(self.used, seconds, self.best, self.best_loss, self.fence, state if self.used else None)

    def go_on(self, frozen: Frozen, state: Any) -> Any:
        """Stand where another run stood; its optimiser's state, in the place of a fresh one."""
        fence = torch.zeros_like(self.best_loss)
        kept = thaw(frozen, Standing(0, 0.0, self.best, self.best_loss, fence, state))
        self.used, self.began = kept.used, time.monotonic() - kept.seconds
        self.best, self.best_loss, self.fence = kept.best, kept.best_loss, kept.fence
        return kept.state

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.used >= self.budget - 1:
            raise _BudgetSpent
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():  # optimisers work without
            loss = self.objective(self.network(leaf, self.objective.layers))
            (gradient,) = torch.autograd.grad(loss.total, leaf)
        if self.fence is None:
            self.fence = gradient.square().mean().sqrt() / (2 * LEAK)
        outside = x - x.clamp(0, 1)
        penalty = self.fence * outside.square().sum()
        total = loss.total.detach() + penalty
        better = total < self.best_loss  # stays on the device: no synchronisation here
        torch.where(better, x.detach(), self.best, out=self.best)
        self.best_loss = torch.where(better, total, self.best_loss)
        self._report(total, {**loss.parts, FENCE: penalty}, x.detach())
        gradient = gradient.contiguous()  # it comes in channels_last; the optimisers see vectors
        return total, gradient.add_(outside.mul_(2 * self.fence))

    def deliver(self, average: Tensor | None, reason: Reason) -> Solution:
        candidates = [self.best] if average is None else [average, self.best]
        for candidate in candidates:
            image = candidate.clamp(0, 1)
            with torch.no_grad():
                loss = self.objective(self.network(image, self.objective.layers))
            if torch.isfinite(loss.total):
                break
        self._report(loss.total, loss.parts, image)
        return Solution(image, float(loss.total), self.used, reason)

    def _report(self, total: Tensor, parts: object, image: Image) -> None:
        self.used += 1
        seconds = time.monotonic() - self.began
        step = Step(self.used, self.budget, max(image.shape[2:]), total, parts, seconds, image)  # type: ignore[arg-type]
        for callback in self.callbacks:
            callback(step)


def _change(before: Tensor, after: Tensor) -> float:
    return float(torch.linalg.vector_norm(after - before) / torch.linalg.vector_norm(after).clamp_min(1e-12))
