"""What brings a picture sooner to the loss that plain coarse to fine ends with: trials at the same objective.

    python -m pytest -m benchmark -n 0 -s tests/benchmarks/test_evaluations_bench.py

Prints a line a trial; never passes or fails on a time. The cost of a run is its evaluations, each times the seconds
that one takes at its size over those at the final size (medians of a plain run), so that neighbours on the machine
count for little. Plain is 50 evaluations at each size. What is told is the cost until the loss that it ends with, over
its own: the geometric mean over the pairs, and each; then the style loss over plain's, of the finished picture at each
size: that of a small size is of large strokes.

| variable | what it says |
|---|---|
| GATYS_LAB_PAIRS | photo,painting;photo,painting;...: paths; where nothing is said nine pairs of examples/images |
| GATYS_LAB_FOLDER | where the delivered pictures go, to be looked at |
| GATYS_LAB_PRECISION | fp32 where nothing is said |
"""

import itertools
import os
import time
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from statistics import geometric_mean, median

import pytest
import torch

from gatys_lab import color, engine, starts
from gatys_lab.images import resize_to, write
from gatys_lab.job import prepare
from gatys_lab.objective import is_style
from gatys_lab.optimizers import lbfgs

pytestmark = pytest.mark.benchmark
IMAGES = Path(__file__).parents[2] / "examples" / "images"
OURS = [(IMAGES / a, IMAGES / b) for a in ("astronaut.jpg", "chelsea.jpg", "coffee.jpg")
        for b in ("strokes.png", "mosaic.png", "ink.png")]  # fmt: skip
PRECISION = os.environ.get("GATYS_LAB_PRECISION") or "fp32"
FINAL = 50  # evaluations at the final size, the delivered picture's included


@dataclass(frozen=True)
class Trial:
    """How the sizes before the final one are painted, and what the next one begins with."""

    coarse: int = 50  # evaluations at each coarser size
    smooth: float = 0.0  # the steps there: lbfgs's `smooth`
    detail: bool = False  # whether an enlarged picture gets the photo's detail
    last: float = 0.0  # smooth at the final size
    history: int = 10
    init: str = "content"  # content, noise, colours (the photo in the painting's), adain
    single: bool = False


HALF = Trial(coarse=25)
OUR = replace(HALF, smooth=lbfgs.DRAFT, detail=True)
TRIALS = {
    "100": Trial(coarse=100),
    "25": HALF,
    "15": Trial(coarse=15),
    "10": Trial(coarse=10),
    "no coarser sizes": Trial(single=True),
    "history 5": Trial(history=5),
    "history 20": Trial(history=20),
    "history 40": Trial(history=40),
    "smooth .25 at the final size": Trial(last=0.25),
    "smooth .5 at the final size": Trial(last=0.5),
    "25, smooth .5 everywhere": replace(HALF, smooth=0.5, last=0.5),
    "25, smooth .5": replace(HALF, smooth=0.5),
    "25, smooth 1": replace(HALF, smooth=1.0),
    "15, smooth .5": Trial(coarse=15, smooth=0.5),
    "25, detail": replace(HALF, detail=True),
    "25, smooth .5, detail": OUR,  # the default
    "15, smooth .5, detail": replace(OUR, coarse=15),
    "25, colours of the painting": replace(HALF, init="colours"),
    "adain": Trial(single=True, init="adain"),
    "noise": Trial(init="noise"),
    "noise, 25": replace(HALF, init="noise"),
    "noise, 25, smooth .5": replace(HALF, init="noise", smooth=0.5),  # the default
    "noise, 25, smooth .5, detail": replace(OUR, init="noise"),
    "noise, no coarser sizes": Trial(init="noise", single=True),
}


@dataclass
class Run:
    """Losses so far and seconds of an evaluation, by size; the sizes in order, the final one last."""

    losses: dict[int, list[float]] = field(default_factory=dict)
    stamps: dict[int, list[float]] = field(default_factory=dict)
    style: dict[int, float] = field(default_factory=dict)  # of the delivered picture, seen at each size

    def __call__(self, step) -> None:
        losses = self.losses.setdefault(step.size_px, [])
        losses.append(min(float(step.loss), *losses[-1:], float("inf")))
        self.stamps.setdefault(step.size_px, []).append(time.process_time())

    def seconds(self, size_px: int) -> float:
        return median(after - before for before, after in itertools.pairwise(self.stamps[size_px][:-1]))

    def cost(self, unit: dict[int, float], goal: float) -> float | None:
        """Evaluations at the final size until the goal, between two of them by interpolation. None: never."""
        *coarse, final = self.losses
        before = sum(len(self.losses[size]) * unit[size] for size in coarse)
        losses = self.losses[final][:-1]
        there = next((i for i, loss in enumerate(losses) if loss <= goal), None)
        if there is None:
            return None
        part = (losses[there - 1] - goal) / (losses[there - 1] - losses[there]) if there else 1.0
        return before + there + part


@pytest.mark.parametrize("size_px", [256, 512])
@pytest.mark.parametrize("name", TRIALS)
def test_the_cost_of_the_same_loss(name, size_px, one_thread):
    plain = Trial(init="noise") if name.startswith("noise") else Trial()
    runs, plain_runs = ([painted(*pair, size_px, trial) for pair in _pairs()] for trial in (TRIALS[name], plain))
    shares = [share(run, other) for run, other in zip(runs, plain_runs, strict=True)]
    there = [each for each in shares if each is not None]
    each = " ".join("never" if one is None else f"{one:.2f}" for one in shares)
    print(
        f"\n{size_px} px, {name}: {geometric_mean(there) if there else float('nan'):.2f} ({each})", end="", flush=True
    )


def share(run, plain):
    """The cost of the loss that `plain` ends with, over its own."""
    final = max(plain.losses)
    unit = {size: plain.seconds(size) / plain.seconds(final) for size in plain.losses}
    goal = plain.losses[final][FINAL - 2]
    cost = run.cost(unit, goal)
    return None if cost is None else cost / plain.cost(unit, goal)


@cache
def painted(photo, painting, size_px, trial):
    job, run, image = prepare(photo, painting, size_px=size_px, precision=PRECISION), Run(), None
    for size in [job.size_px] if trial.single else job.sizes:
        last = size == job.size_px
        network, objective = job._problem(size)
        optimizer = lbfgs.build(history=trial.history, smooth=trial.last if last else trial.smooth)
        start = begun(job, trial, size) if image is None else enlarged(job, image, size, trial.detail)
        count = FINAL if last else trial.coarse
        image = engine.optimize(start, network, objective, optimizer, evaluations=count, callbacks=[run]).image
    for size in job.sizes:
        run.style[size] = style_of(job, image, size)
    if "GATYS_LAB_FOLDER" in os.environ:
        form = "-".join(str(getattr(trial, field.name)) for field in fields(trial))
        write(image, Path(os.environ["GATYS_LAB_FOLDER"]) / f"{photo.stem}-{painting.stem}-{job.size_px}-{form}.png")
    return run


def style_of(job, image, size_px):
    """The style loss of a picture made as small as a coarser size: how good its large strokes are."""
    network, objective = job._problem(size_px)
    with torch.no_grad():
        loss = objective(network(resize_to(image, job._photo(size_px).shape[2:]), objective.layers))
    return sum(float(part) for name, part in loss.parts.items() if is_style(name.split(" ")[0]))


def begun(job, trial, size_px):
    photo = job._photo(size_px)
    paintings = job._paintings(photo)
    if trial.init == "colours":
        return color.before("linear", photo, paintings[0]).clamp(0, 1)
    if trial.init == "adain":
        return starts.painted(starts.starter("adain"), photo, job.styles, paintings)
    return starts.first(replace(job.config, init=trial.init), photo, job.styles)


def enlarged(job, image, size_px, detail):
    photo = job._photo(size_px)
    if detail:
        return starts.enlarged_upon(photo, image, job._photo(max(image.shape[2:])))
    return resize_to(image, photo.shape[2:])


def _pairs():
    said = os.environ.get("GATYS_LAB_PAIRS")
    return OURS if said is None else [tuple(map(Path, pair.split(","))) for pair in said.split(";")]
