"""Limited-memory BFGS: a quasi-Newton method whose memory is the last few steps (_history.py), with a strong Wolfe line
search (_linesearch.py). It may see pictures in another basis, in which large shapes move first (_spectrum.py).

Liu & Nocedal 1989, algorithm 2.1. Differs from torch.optim.LBFGS: the first step has a length in pixels instead of
1 / |g|_1, which freezes a large image; there are no tolerances; the host waits for the device once an evaluation; the
point that a search ends at is the next one's start and never evaluated again; and what goes wrong is handled here: a
loss that is not finite shortens the step, a search without progress starts again from steepest descent, and so do steps
that are accepted one after the other and lead nowhere.
"""

from dataclasses import dataclass, replace
from math import inf, isfinite, nan, sqrt
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gatys_lab.optimizers import _history, _linesearch, _spectrum
from gatys_lab.types import Evaluate

FIRST_MOVE = 0.05  # of the very first trial, root mean square over the pixels; the search lengthens and shortens it
PAIRS, FEWEST, ROOM = 10, 2, 5 << 28  # kept, where nothing is said; at least; bytes that they may take
MOST = 10_000  # pairs
SMOOTHEST = 2  # above, fine marks hardly move any more
DRAFT = 0.5  # how smooth steps are at a size that a larger one follows; 1 took longer to the same loss
NOISE = 8  # roundings in a loss: differences that small mean nothing
PATIENCE = 20  # evaluations without progress, as many as one search may take
FLATTER = 0.81  # of the least |gradient|^2 so far, below which the loss may stand still: it is all rounding there


@dataclass
class LBFGSState:
    """Numbers and tensors only. Between steps, and when `evaluate` raises in one, `x` is the last accepted iterate."""

    x: Tensor
    history: _history.History
    gradient: Tensor  # (n,) at x, in the basis of the steps
    loss: float = nan  # at x; nan until it was evaluated
    squared: float = nan  # |gradient|^2
    steepest: float = 0.0  # the largest |gradient| seen
    scale: float = nan  # the inverse curvature where the history knows nothing
    retries: int = 0  # evaluations in a row that were not finite
    restarts: int = 0  # since there was progress
    dropped: int = 0  # restarts in all
    lowest: float = inf  # loss and
    flattest: float = inf  # |gradient|^2, against which progress is measured
    waited: int = 0  # evaluations since there was any
    average: None = None
    reason: Literal["converged", "stalled", "diverged"] | None = None


class Seen(NamedTuple):
    """What one evaluation at a step along the direction d brings: vectors, and to the host their products.

    Of a large picture they are much: they are held no longer than until the next evaluation.
    """

    x: Tensor  # where it was
    g: Tensor  # (n,) the gradient there
    y: Tensor  # (n,) its change from the iterate
    step: float
    loss: float
    yd: float
    yy: float
    yg: float
    gd: float  # the slope along d
    gg: float
    against: np.ndarray  # (2m,) products of the history with y, float64

    @property
    def finite(self) -> bool:
        return isfinite(self.loss) and isfinite(self.gg)


@dataclass(frozen=True)
class LBFGS:
    """`history`: pairs kept; None: PAIRS, or as many as take up to ROOM, at least FEWEST.

    `max_retries`: failures of one kind in a row that are put up with. `smooth`: the power in _spectrum.py; None: 0, and
    DRAFT where it drafts.
    """

    history: int | None
    max_retries: int
    smooth: float | None = None

    @property
    def power(self) -> float:
        return self.smooth or 0.0

    def start(self, x: Tensor) -> LBFGSState:
        """Allocates 2 * history + 2 vectors like `x` (any shape), in float32 or float64.

        A step takes 2 more while it evaluates, and 4 between evaluations.
        """
        dtype = torch.promote_types(x.dtype, torch.float32)
        x = x.detach().to(dtype, memory_format=torch.contiguous_format, copy=True)
        flat = x.view(-1)
        return LBFGSState(x, _history.empty(self.pairs(x.nbytes), flat), gradient=torch.zeros_like(flat))

    def pairs(self, nbytes: int) -> int:
        """By the size of a vector alone, so that a run is the same on every machine."""
        return min(PAIRS, max(FEWEST, ROOM // (2 * nbytes))) if self.history is None else self.history

    def sized(self, nbytes: int) -> "LBFGS":
        """The same, with the history that it has for vectors of so many bytes."""
        return replace(self, history=self.pairs(nbytes))

    def told(self, nbytes: int) -> str:
        """What a person should know of it for vectors of so many bytes."""
        pairs = self.pairs(nbytes)
        if self.history is not None or pairs == PAIRS:
            return ""
        return f"lbfgs remembers {pairs} steps of a picture this large, not {PAIRS} (lbfgs,history={PAIRS})"

    def step(self, evaluate: Evaluate, state: LBFGSState) -> LBFGSState:
        """Move along one direction, as far as the line search says; in the first step also evaluate `x` itself."""
        if not isfinite(state.loss) and not self._first(evaluate, state):
            return state
        d, slope = self._aim(state)
        noise = NOISE * torch.finfo(state.x.dtype).eps * abs(state.loss)
        search = _linesearch.begin(state.loss, slope, 1.0, noise)
        while True:
            seen = _look(evaluate, state, d, search.step, self.power)
            if not self._usable(seen, state):
                if state.reason is not None:
                    return state
                seen = seen._replace(loss=inf)
            search = _linesearch.advance(search, seen.loss, seen.gd)
            if search.outcome is not None:
                break
            del seen  # its vectors are not held beside the next one's
        if search.outcome == "accepted" or seen.loss < state.loss - noise:
            _accept(state, seen, d, slope)
            self._watch(state, search.trials, noise)
        else:
            self._restart(state)
        return state

    def drafting(self) -> "LBFGS":
        """With smooth steps, where nothing else was said."""
        return replace(self, smooth=DRAFT) if self.smooth is None else self

    def smaller(self, x: Tensor) -> "LBFGS | None":
        """Half the history, which is nearly all of its memory."""
        pairs = self.pairs(x.nbytes)
        return replace(self, history=pairs // 2) if pairs > 1 else None

    def _first(self, evaluate: Evaluate, state: LBFGSState) -> bool:
        """Evaluate where it starts. False: not finite, or nothing to descend."""
        seen = _look(evaluate, state, None, 0.0, self.power)
        if not self._usable(seen, state):
            return False
        _arrive(state, seen)
        if state.reason is None:
            length = sqrt(seen.gg)
            if self.power:
                move = _spectrum.scaled(state.gradient.view_as(state.x), self.power)
                length = float(torch.linalg.vector_norm(move))
            state.scale = FIRST_MOVE * sqrt(state.x.numel()) / length
        return state.reason is None

    def _aim(self, state: LBFGSState) -> tuple[Tensor, float]:
        """The direction (n,) and its slope, which is negative."""
        d, slope = _history.direction(state.history, state.gradient, state.squared, state.scale)
        if not -inf < slope < 0:
            _history.forget(state.history)
            d, slope = _history.direction(state.history, state.gradient, state.squared, state.scale)
        return d, slope

    def _usable(self, seen: Seen, state: LBFGSState) -> bool:
        state.retries = 0 if seen.finite else state.retries + 1
        if state.retries > self.max_retries:
            state.reason = "diverged"
        return seen.finite

    def _watch(self, state: LBFGSState, trials: int, noise: float) -> None:
        """Steps that lower neither the loss nor the gradient are put up with for a while."""
        lower, flatter = state.loss < state.lowest - noise, state.squared < FLATTER * state.flattest
        if lower or flatter:
            state.lowest = min(state.loss, state.lowest)
            state.flattest = min(state.squared, state.flattest)
            state.waited = state.restarts = 0
            return
        state.waited += trials
        if state.waited >= PATIENCE:
            self._restart(state)

    def _restart(self, state: LBFGSState) -> None:
        _history.forget(state.history)
        state.restarts, state.dropped, state.waited = state.restarts + 1, state.dropped + 1, 0
        if state.restarts > self.max_retries:
            state.reason = "stalled"


def build(history: int | None = None, max_retries: int = 5, smooth: float | None = None) -> LBFGS:
    """`history`: pairs kept, two images each; None: 10, and fewer of pictures of more than 5 megapixels.

    `max_retries`: failures of one kind in a row before it gives up. `smooth`: steps move a frequency f of the picture
    by f^-smooth, large shapes first; None: 0, and .5 at a size that a larger one follows.
    """
    if (history is not None and not 1 <= history <= MOST) or max_retries < 0:
        raise ValueError(f"history {history}, max_retries {max_retries}; wanted 1 to {MOST}, and at least 0")
    if smooth is not None and not 0 <= smooth <= SMOOTHEST:
        raise ValueError(f"smooth {smooth:g}; wanted 0 (pixels) to {SMOOTHEST}, or nothing said")
    return LBFGS(history, max_retries, smooth)


def _look(evaluate: Evaluate, state: LBFGSState, d: Tensor | None, step: float, smooth: float) -> Seen:
    """Evaluate at a step along d, if there is one. The only place where the host waits for the device, once."""
    x = state.x.clone() if d is None else torch.add(state.x, _spectrum.scaled(d.view_as(state.x), smooth), alpha=step)
    loss, gradient = evaluate(x)
    g = torch.empty_like(x).copy_(_spectrum.scaled(gradient, smooth)).view(-1)
    del gradient  # it may be a buffer of the caller's
    y = g - state.gradient
    d = y if d is None else d
    near = [torch.dot(a, b) for a, b in ((y, d), (y, y), (y, g), (g, d), (g, g))]
    against = _history.products(state.history, y)  # (2m,)
    value, yd, yy, yg, gd, gg, *rest = torch.cat([torch.stack([loss.to(y), *near]), against]).tolist()
    return Seen(x, g, y, step, value, yd, yy, yg, gd, gg, np.array(rest))


def _accept(state: LBFGSState, seen: Seen, d: Tensor, slope: float) -> None:
    """The trial becomes `x`; `d` is spent. A pair without curvature is not written down."""
    _history.turn(state.history, seen.against)
    sy, sg = seen.step * seen.yd, seen.step * seen.gd
    curved = sy > torch.finfo(state.x.dtype).eps * seen.step * -slope  # against |s.g|: a loss has no scale of its own
    if curved and seen.yy > 0:  # it may underflow
        _history.add(state.history, d.mul_(seen.step), seen.y, (sy, seen.yy, sg, seen.yg), seen.against)
        state.scale = sy / seen.yy
    _arrive(state, seen)


def _arrive(state: LBFGSState, seen: Seen) -> None:
    state.x, state.gradient = seen.x, seen.g
    state.loss, state.squared = seen.loss, seen.gg
    state.steepest = max(state.steepest, sqrt(seen.gg))
    if sqrt(seen.gg) <= torch.finfo(state.x.dtype).eps * state.steepest:
        state.reason = "converged"
