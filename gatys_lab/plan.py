"""What a run will need of time and memory, before it: from a second or two of the very job on small pictures.

**Time.** An evaluation takes a + b n for n pixels, measured at two sizes or three; sizes are summed, and at each the
time that it takes to begin: features, fitting, balance. What grows faster than the picture (mrf searches at every
evaluation, style swap when it begins) takes b n + c n^2.

**Memory.** The tensors of a run are counted at two sizes (`meter.Meter`): what the network keeps for the way back, what
the losses hold, pictures, the optimiser's memory. All of it is a + b n; the coarser sizes are over before the largest
begins. In tiles it is b n + c t, with t the pixels that are looked at for the largest tile: b is counted at two sizes
with the same small tiles, c with one that has as much of a margin as a usual one, both without balance, which holds
less. The process holds more than its tensors: the program and its libraries, which is measured as it stands;
`FIRST_USE` of what they set up when they are first used; what malloc cannot fill (`SLACK`, in
tiles only of the tile's); and `AT_EXIT`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import torch

from gatys_lab import devices, memory, tiling
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
IN_TILES = ((384, 128), (512, 128), (256, 192))  # px of pictures and of their tiles, at which tensors are counted
AT_EXIT = 115 << 20  # bytes that torch touches when the program ends: `python -c "import torch"` peaks that much higher
SLACK = 1.3  # resident over living tensors with glibc; docs/performance.md


class Trial(NamedTuple):
    """What was measured at one size; `pixels` as `_work` counts them."""

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
    if _tiled(job, job.size_px):
        devices.return_freed_memory()  # as the run does
    held, free = resident(job.device), memory.available(job.device)
    job = _as_at_the_end(job)
    small = _small(job)
    once, slack = (0, 1.0) if job.device.type == "cuda" else (FIRST_USE, SLACK)
    rest, each = _in_tiles(job, slack) if _tiled(job, job.size_px) else _at_once(job, small, slack)
    trials = _trials(job, small, clock)
    seconds = {size: _seconds(trials, _work(job, size), count) for size, count in job.budgets.items()}
    pixels = _pixels(job, job.size_px)
    more = int(once + rest + each * pixels)
    largest = None
    if free is not None and more > free:
        largest = int(job.size_px * max(0.0, 1 - (more - free) / each / pixels) ** 0.5)
    peak = None if held is None else held + more + (AT_EXIT if job.device.type == "cpu" else 0)
    return Plan(seconds, peak, more, free, largest)


def _as_at_the_end(job: "Job") -> "Job":
    """With the optimiser's memory as it is at the final size: of smaller pictures it may be larger."""
    sized = getattr(job.optimizer, "sized", None)
    nbytes = tiling.IMAGE_BYTES * _pixels(job, job.size_px)
    return job if sized is None else replace(job, optimizer=sized(nbytes))


def _tiled(job: "Job", size_px: int) -> bool:
    return job.tile_px is not None and size_px > job.tile_px


def _at_once(job: "Job", small: Sequence[int], slack: float) -> tuple[float, float]:
    """Bytes, and bytes a pixel."""
    tensors = [(_pixels(job, size), _counted(_at(job, size, 3))) for size in small]
    return slack * line(tensors, 0), slack * slope(tensors)


def _in_tiles(job: "Job", slack: float) -> tuple[float, float]:
    """The same of a picture in tiles: what the largest of them takes, and bytes a pixel."""
    asked, unbalanced = [], replace(job, config=replace(job.config, content_weight=1.0, style_weight=1.0))
    scale = min(1.0, job.size_px / max(size for size, _ in IN_TILES))
    for size, tile in IN_TILES:
        asked.append(replace(_at(unbalanced, int(size * scale), 3), tile_px=int(tile * scale)))
    counted = [(_pixels(trial, trial.size_px), _counted(trial)) for trial in asked]
    each, (few, last) = slope(counted[:2]), counted[2]
    looked = max(0.0, last - each * few) / max(_looks(asked[2], asked[2].size_px))  # bytes of one of its pixels
    return slack * looked * max(_looks(job, job.size_px)), each


def _looks(job: "Job", size_px: int) -> list[int]:
    """How many pixels are looked at, tile by tile."""
    image = torch.empty(1, 3, *shape_at(job.photo.image, size_px), device="meta")
    if not isinstance(network := tiling.tiled(job.eyes, job.tile_px, image), tiling.Tiled):
        return [image[0, 0].numel()]
    tiles = network.tiles(image, tuple(layer for layer in job.objective.layers if layer != "input"))
    return [(rows.last - rows.first) * (columns.last - columns.first) for rows, columns in tiles]


def _work(job: "Job", size_px: int) -> int:
    """Pixels that would take as long if they were seen at once: a tile is looked at, and then again with a way back."""
    looked = sum(_looks(job, size_px))
    return round((1 + LAST) * looked) if _tiled(job, size_px) else looked


def line(points: Sequence[tuple[int, float]], pixels: int) -> float:
    """What lies on the line through the last two points, which rises, and from nothing or more."""
    n, last = points[-1]
    return last + slope(points) * (pixels - n)


def slope(points: Sequence[tuple[int, float]]) -> float:
    """Of that line."""
    (m, first), (n, last) = points[-2:]
    return min(max(0.0, (last - first) / (n - m)), last / n)


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
    return Trial(_work(job, job.size_px), max(0.0, stamps[1] - stamps[0] - step), step)


def _seconds(trials: Sequence[Trial], pixels: int, evaluations: int) -> float:
    begin = extrapolated([(trial.pixels, trial.begin) for trial in trials], pixels)
    step = extrapolated([(trial.pixels, trial.step) for trial in trials], pixels)
    return begin + (evaluations - 1 + LAST) * step
