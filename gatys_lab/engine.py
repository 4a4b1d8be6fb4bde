"""One image, one size: drive an optimiser over the pixels within a budget, and deliver the best image seen.

The budget counts evaluations (one forward and backward of the network), in which optimisers of any kind compare. Its
last one is spent on the delivered image itself, clamped to [0, 1]: the reported loss is that of what is delivered.

Optimisers that know no bounds are kept near [0, 1] by a fence, a quadratic penalty on what is outside: without it the
final clamp costs 8 to 18 % of the loss (2 pictures at 256 px, 60 evaluations, Gram).

What goes wrong is mended where it can be. An evaluation that is not finite is told the optimiser as such, which takes
it back; where memory does not suffice, the run goes on from where it stands with an optimiser that needs less.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gatys_lab.errors import memory_wanted
from gatys_lab.objective import Fitted
from gatys_lab.states import Frozen, thaw
from gatys_lab.types import Image, Loss, Network, Optimizer, Reason, Solution, Step

log = logging.getLogger(__name__)
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
    fence: Tensor  # (), nan before it is known
    failed: Tensor  # (), evaluations that were not finite
    lessened: int  # how often the optimiser was replaced by one that needs less memory
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
    Raises ValueError if the budget is below 2, MemoryError if there is no memory for a single evaluation.
    """
    run = _Run(image, network, objective, optimizer, evaluations, callbacks)
    del image  # a large one is not held for longer than it is needed
    run.start(standing)
    try:
        while run.state.reason is None:
            if at_rest is not None:
                at_rest(run.standing())
            before = run.state.x.clone() if tolerance is not None else None
            run.step()
            if before is not None and tolerance is not None and 0 < _change(before, run.state.x) < tolerance:
                run.state.reason = "converged"
        reason: Reason = run.state.reason
    except _BudgetSpent:
        reason = "budget"
    except KeyboardInterrupt:
        reason = "interrupted"
    except MemoryError:
        if run.used == 0:
            raise
        reason = "memory"
    return run.deliver(reason)


class _BudgetSpent(Exception):
    """Raised out of an optimiser that asks for one evaluation too many."""


class _Run:
    """Counts and watches the evaluations of one run, and remembers the best image."""

    def __init__(
        self,
        image: Image,
        network: Network,
        objective: Fitted,
        optimizer: Optimizer,
        budget: int,
        callbacks: Sequence[Callback],
    ) -> None:
        if budget < 2:
            raise ValueError(f"{budget} evaluations; wanted at least 2: one step, and the loss of what is delivered")
        self.network, self.objective, self.budget, self.callbacks = network, objective, budget, callbacks
        self.optimizer = optimizer
        self.beginning: Image | None = image  # None: it has begun
        self.state: Any = None
        self.used, self.began = 0, time.monotonic()
        self.best = image.detach().clone()
        self.best_loss = image.new_full((), float("inf"))
        self.fence = image.new_full((), float("nan"))  # the penalty's stiffness, from the first gradient
        self.failed = torch.zeros((), dtype=torch.int64, device=image.device)
        self.lessened = 0
        self.need: str | None = None  # the memory that ended it

    def start(self, standing: Frozen | None) -> None:
        """Stand at the beginning, or where another run stood."""
        for _ in range(0 if standing is None else int(standing.numbers["lessened"] or 0)):
            smaller = self.optimizer.smaller(self.best)
            if smaller is None:
                raise ValueError("what was kept is of an optimiser that cannot be; it is damaged: begin anew")
            self.optimizer, self.lessened = smaller, self.lessened + 1
        self.step()
        if standing is not None:
            kept = thaw(standing, replace(self.standing(), state=self.state))
            self.used, self.began = kept.used, time.monotonic() - kept.seconds
            self.best, self.best_loss, self.fence = kept.best, kept.best_loss, kept.fence
            self.failed, self.state = kept.failed, kept.state

    def step(self) -> None:
        """One iteration, or the start of one that needs less memory from where it stands."""
        while True:
            try:
                if self.beginning is not None:
                    self.state = self.optimizer.start(self.beginning)
                    self.beginning = None
                else:
                    self.state = self.optimizer.step(self.evaluate, self.state)
                return
            except (MemoryError, RuntimeError) as error:
                need = memory_wanted(error)
                if need is None:
                    raise
            self._lessen(need)  # here the error is gone, and with it what its frames held

    def _lessen(self, need: str) -> None:
        """Make the optimiser smaller, and forget its state but for the iterate. MemoryError if it cannot be."""
        smaller = self.optimizer.smaller(self.best)
        if smaller is None:
            self.need = need
            raise MemoryError(need)
        log.warning("%s; going on with less of a history: %s", need, smaller)
        self.beginning = self.state.x if self.beginning is None else self.beginning
        self.optimizer, self.state, self.lessened = smaller, None, self.lessened + 1

    def standing(self) -> Standing:
        seconds, state = time.monotonic() - self.began, self.state if self.used else None
        return Standing(self.used, seconds, self.best, self.best_loss, self.fence, self.failed, self.lessened, state)

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.used >= self.budget - 1:
            raise _BudgetSpent
        beyond = torch.stack([_outside(channel).square_().sum() for channel in x.unbind(1)]).sum()
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():  # optimisers work without
            loss = self.objective(self.network(leaf, self.objective.layers))
            (gradient,) = torch.autograd.grad(loss.total, leaf)
        size = torch.linalg.vector_norm(gradient) / gradient.numel() ** 0.5  # makes no copy of a large picture
        fine = torch.isfinite(size) & torch.isfinite(loss.total.detach())  # ()
        self.fence = torch.where(self.fence.isnan() & fine, size / (2 * LEAK), self.fence)
        penalty = self.fence * beyond
        total = torch.where(fine, loss.total.detach() + penalty, float("nan"))
        self.failed = self.failed + ~fine
        better = total < self.best_loss  # stays on the device: no synchronisation here
        torch.where(better, x.detach(), self.best, out=self.best)
        self.best_loss = torch.where(better, total, self.best_loss)
        self._report(total, {**loss.parts, FENCE: penalty}, x.detach())
        gradient = gradient.contiguous()  # it comes in channels_last; the optimisers see vectors
        for part, channel in zip(gradient.unbind(1), x.unbind(1), strict=True):
            part.add_(_outside(channel).mul_(2 * self.fence))
        return total, gradient

    def deliver(self, reason: Reason) -> Solution:
        average, notes = None if self.state is None else self.state.average, self._notes()
        self.state = None  # its memory is free for the last evaluation
        for candidate in [self.best] if average is None else [average, self.best]:
            image, total = candidate.clamp(0, 1), self.best_loss
            try:
                loss = self._loss(image)
            except KeyboardInterrupt:  # whoever asks again wants what there is
                loss, reason = None, "interrupted"
            if loss is not None and torch.isfinite(loss.total):
                total = loss.total
                break
        if loss is not None:
            self._report(loss.total, loss.parts, image)
        return Solution(image, float(total), self.used, reason, notes)

    def _loss(self, image: Image) -> Loss | None:
        """None if there is no memory for it."""
        try:
            with torch.no_grad():
                return self.objective(self.network(image, self.objective.layers))
        except (MemoryError, RuntimeError) as error:
            if memory_wanted(error) is None:
                raise
            return None

    def _notes(self) -> tuple[str, ...]:
        """What went wrong, for a person."""
        failed, dropped = int(self.failed), 0 if self.state is None else self.state.dropped
        notes = [
            told(self.optimizer, self.best.nbytes),
            f"{_times(failed, 'evaluation')} not finite, taken back" if failed else "",
            f"no progress, begun anew without the history {_times(dropped, 'time')}" if dropped else "",
            f"out of memory, history halved {_times(self.lessened, 'time')}" if self.lessened else "",
            self.need or "",
        ]
        return tuple(note for note in notes if note)

    def _report(self, total: Tensor, parts: object, image: Image) -> None:
        self.used += 1
        seconds = time.monotonic() - self.began
        step = Step(self.used, self.budget, max(image.shape[2:]), total, parts, seconds, image)  # type: ignore[arg-type]
        for callback in self.callbacks:
            callback(step)


def told(optimizer: Optimizer, nbytes: int) -> str:
    """What an optimiser that says anything of itself says, for pictures of so many bytes."""
    says: Callable[[int], str] | None = getattr(optimizer, "told", None)
    return "" if says is None else says(nbytes)


def _times(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def _outside(x: Tensor) -> Tensor:
    """How far each value is above 1 or, negative, below 0; asked for a channel: a large picture is not copied whole."""
    inside = x.clamp(0, 1)
    return torch.sub(x, inside, out=inside)


def _change(before: Tensor, after: Tensor) -> float:
    return float(torch.linalg.vector_norm(after - before) / torch.linalg.vector_norm(after).clamp_min(1e-12))
