"""What a run will need of time and memory, before it: from a second or two of the very job on small pictures.

**Time.** An evaluation takes a + b n for n pixels, measured at two sizes or three; sizes are summed, and at each the
time that it takes to begin: features, fitting, balance. What grows faster than the picture (mrf searches at every
evaluation, style swap when it begins) takes b n + c n^2.

**Memory.** The tensors of a run are counted at two sizes (`meter.Meter`): what the network keeps for the way back, what
the losses hold, pictures, the optimiser's memory. All of it is a + b n; the coarser sizes are over before the largest
begins. The process holds more than its tensors: the program and its libraries, which is measured as it stands;
`FIRST_USE` of what they set up when they are first used; what malloc cannot fill (`SLACK`); and `AT_EXIT`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from gatys_lab import memory
from gatys_lab.images import shape_at
from gatys_lab.meter import Meter, resident

if TYPE_CHECKING:
    from gatys_lab.job import Job

SMALL_PX = 96  # where it begins to try, then twice as much
SLOW = 0.1  # seconds of an evaluation, below which a size twice as large is tried, too
FEW, MANY, ENOUGH = 5, 12, 0.5  # evaluations at one size, at least and at most; seconds that are enough
STEEP = 1.2  # the power of the pixels from which on a time grows faster than they do; below, it is noise
LAST = 1 / 3  # of an evaluation: the one of the delivered picture has no way back
FIRST_USE = 20 << 20  # bytes: kernels that are compiled, buffers of threads
AT_EXIT = 115 << 20  # bytes that torch touches when the program ends: `python -c "import torch"` peaks that much higher
SLACK = 1.3  # resident over living tensors with glibc; docs/performance.md


class Trial(NamedTuple):
    """What was measured at one size."""

    pixels: int
    begin: float  # seconds until the first evaluation
    step: float  # seconds of an evaluation


@dataclass(frozen=True)
class Plan:
    """`seconds` of each size, by its longest side; the process's bytes at the most, and those that it has not yet."""

    seconds: dict[int, float]
    peak: int | None  # None: what the process has is not known here
    more: int
    free: int | None  # None: not known here
    largest_px: int | None  # the longest side for which `free` would do, if it does not

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @property
    def fits(self) -> bool:
        return self.free is None or self.more <= self.free


def plan(job: "Job", clock: Callable[[], float] = time.perf_counter) -> Plan:
    """What `job.run()` will need. `clock`: what seconds are measured by.

    The time is that of the whole budget: a run with a tolerance may end before.
    """
    held, free = resident(job.device), memory.available(job.device)
    small = _small(job)
    tensors = [(_pixels(job, size), _counted(_at(job, size, 3))) for size in small]
    trials = _trials(job, small, clock)
    seconds = {size: _seconds(trials, _pixels(job, size), count) for size, count in job.budgets.items()}
    once, slack = (0, 1.0) if job.device.type == "cuda" else (FIRST_USE, SLACK)
    pixels = _pixels(job, job.size_px)
    more = int(once + slack * line(tensors, pixels))
    largest = None
    if free is not None and more > free:
        each = slack * (tensors[-1][1] - tensors[0][1]) / (tensors[-1][0] - tensors[0][0])
        largest = int(job.size_px * max(0.0, 1 - (more - free) / each / pixels) ** 0.5)
    peak = None if held is None else held + more + (AT_EXIT if job.device.type == "cpu" else 0)
    return Plan(seconds, peak, more, free, largest)


def line(points: Sequence[tuple[int, float]], pixels: int) -> float:
    """What lies on the line through the last two points, which rises, and from nothing or more."""
    (m, first), (n, last) = points[-2:]
    slope = min(max(0.0, (last - first) / (n - m)), last / n)
    return last + slope * (pixels - n)


def extrapolated(points: Sequence[tuple[int, float]], pixels: int) -> float:
    """As `line`; where the last two points rise steeply, b n + c n^2 through them."""
    (m, first), (n, last) = points[-2:]
    if not 0 < first * (n / m) ** STEEP < last:
        return line(points, pixels)
    square = min((last / n - first / m) / (n - m), last / n**2)
    return (last / n - square * n) * pixels + square * pixels**2


def _small(job: "Job") -> tuple[int, int]:
    """The sizes at which tensors are counted; the network can see the smaller, and the larger is in the run."""
    size = SMALL_PX
    while 2 * size < job.size_px and not job.fits(size):
        size += SMALL_PX // 2
    if 2 * size <= job.size_px:
        return size, 2 * size
    smaller = 3 * job.size_px // 4
    return (smaller if job.fits(smaller) else job.size_px - 1), job.size_px


def _pixels(job: "Job", size_px: int) -> int:
    height, width = shape_at(job.photo.image, size_px)
    return height * width


def _at(job: "Job", size_px: int, evaluations: int) -> "Job":
    config = replace(job.config, size_px=size_px, single_scale=True, evaluations=evaluations, tolerance=None)
    return replace(job, config=config)


def _counted(job: "Job") -> int:
    """Bytes of its tensors at the most. It also warms up."""
    with Meter() as meter:
        job.run()
    return meter.peak


def _trials(job: "Job", small: Sequence[int], clock: Callable[[], float]) -> list[Trial]:
    """At the small sizes; and at larger ones, until an evaluation takes its time."""
    sizes, trials = list(small), list[Trial]()
    for size in sizes:
        guess = trials[-1].step * 4 if trials else 0.02
        trials.append(_timed(_at(job, size, min(MANY, max(FEW, int(ENOUGH / guess)))), clock))
        if len(trials) == len(sizes) and trials[-1].step < SLOW and 2 * size <= job.size_px:
            sizes.append(2 * size)
    return trials


def _timed(job: "Job", clock: Callable[[], float]) -> Trial:
    stamps = [clock()]
    job.run([lambda step: stamps.append(clock())])
    step = median(after - before for before, after in pairwise(stamps[1:-1]))  # the last one has no way back
    return Trial(_pixels(job, job.size_px), max(0.0, stamps[1] - stamps[0] - step), step)


def _seconds(trials: Sequence[Trial], pixels: int, evaluations: int) -> float:
    begin = extrapolated([(trial.pixels, trial.begin) for trial in trials], pixels)
    step = extrapolated([(trial.pixels, trial.step) for trial in trials], pixels)
    return begin + (evaluations - 1 + LAST) * step
