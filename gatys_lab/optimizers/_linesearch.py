"""A step length that satisfies the strong Wolfe conditions, found on scalars alone: losses and slopes along one line.

Nocedal & Wright 2006, algorithms 3.5 and 3.6: grow until a minimum is bracketed, then close in on it, by cubic
interpolation in both. Differs: an infinite loss is a trial like any other (it went too far), and a rise within
the loss's own rounding is no rise. There slopes alone decide, as in the approximate Wolfe conditions of Hager & Zhang
2005, so that float32 does not end a run long before the minimum.
"""

from dataclasses import dataclass, replace
from math import copysign, inf, nan, sqrt
from typing import Literal, NamedTuple

C1 = 1e-4  # sufficient decrease; Nocedal & Wright, section 3.1, as is C2
C2 = 0.9  # curvature: loose, since quasi-Newton steps are mostly right
TRIALS = 20  # in one search; as many as L-BFGS-B makes
GROWTH = (1.1, 4.0)  # least and most that a move grows while nothing bounds it; Moré & Thuente 1994
SHRINK = 0.66  # two trials that leave more of the bracket than this are followed by a bisection; the same
RETREAT = 0.1  # of the way to a point where the loss is infinite


class Point(NamedTuple):
    """The loss and its derivative along the line at a step from the start."""

    step: float
    loss: float
    slope: float


@dataclass(frozen=True)
class Search:
    """Where a search stands. `low` is the best point so far, `high` the other end of the bracket, once there is one."""

    start: Point  # at step 0; its slope is negative
    noise: float  # differences of losses below it mean nothing
    step: float  # to try next
    low: Point
    high: Point | None = None
    widths: tuple[float, float] = (inf, inf)  # of the bracket, after the last two trials
    trials: int = 0
    outcome: Literal["accepted", "failed"] | None = None


def begin(loss: float, slope: float, step: float, noise: float) -> Search:
    """Look along a line on which the loss falls; `step` is the first guess."""
    start = Point(0.0, loss, slope)
    return Search(start, noise, step, low=start)


def advance(search: Search, loss: float, slope: float) -> Search:
    """What the trial at `search.step` teaches: whether to stop there, and else where to try next.

    `loss` is not nan; where it is inf, `slope` does not matter.
    """
    start, low, point = search.start, search.low, Point(search.step, loss, slope)
    bound = min(start.loss + C1 * point.step * start.slope, low.loss) + search.noise
    good = loss <= bound
    search = replace(search, trials=search.trials + 1)
    if good and abs(slope) <= -C2 * start.slope:
        return replace(search, low=point, outcome="accepted")
    if good:
        turned = slope * (point.step - low.step) > 0
        search = replace(search, low=point, high=low if turned else search.high)
    else:
        search = replace(search, high=point)
    return _grow(search, low) if search.high is None else _close_in(search, search.high)


def _grow(search: Search, before: Point) -> Search:
    """No bracket yet: move on from `low`, by the cubic through it and the point before it."""
    move = search.low.step - before.step
    guess = _cubic(before, search.low, search.noise) - search.low.step
    least, most = (factor * move for factor in GROWTH)
    grown = min(max(guess, least), most) if guess > 0 else most  # also if there is no minimum
    return replace(search, step=search.low.step + grown, outcome=_ended(search, resolved=False))


def _close_in(search: Search, high: Point) -> Search:
    low, width = search.low, high.step - search.low.step
    guess = _cubic(low, high, search.noise)
    if high.loss == inf:
        guess = low.step + RETREAT * width
    elif abs(width) > SHRINK * search.widths[0] or not 0 < (guess - low.step) / width < 1:
        guess = low.step + width / 2
    resolved = guess in (low.step, high.step)
    return replace(search, step=guess, widths=(search.widths[1], abs(width)), outcome=_ended(search, resolved))


def _ended(search: Search, resolved: bool) -> Literal["failed"] | None:
    return "failed" if resolved or search.trials >= TRIALS else None


def _cubic(a: Point, b: Point, noise: float) -> float:
    """Where the cubic through two points and their slopes is least (Nocedal & Wright, eq. 3.59); nan: nowhere.

    Where the losses differ by noise it is the secant of the slopes.
    """
    width = b.step - a.step
    rise = b.loss - a.loss if abs(b.loss - a.loss) > noise else width * (a.slope + b.slope) / 2
    d1 = a.slope + b.slope - 3 * rise / width
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return nan
    d2 = copysign(sqrt(square), width)
    bottom = b.slope - a.slope + 2 * d2
    return b.step - width * (b.slope + d2 - d1) / bottom if bottom != 0 else nan
