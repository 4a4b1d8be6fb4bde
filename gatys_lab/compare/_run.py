"""Paint what was not painted before, under the same conditions, and have it judged."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from gatys_lab import catalog, devices
from gatys_lab.compare._judge import Judge, judges
from gatys_lab.compare._plan import JOB, Mixture, Way, built, plan, varies
from gatys_lab.compare._results import Comparison, Pair, Result
from gatys_lab.compare._store import Painted, Store, key_of
from gatys_lab.config import DEFAULTS, Config
from gatys_lab.digests import file_digest, picture_digest
from gatys_lab.engine import Callback
from gatys_lab.errors import UnknownName
from gatys_lab.fast import Painter, StyleSource
from gatys_lab.images import Picture, as_image, read, resize, to_pil
from gatys_lab.job import Job, Row, prepare
from gatys_lab.models import FeedForward
from gatys_lab.models._base import fingerprint
from gatys_lab.recipe import objective_of, optimizer_of
from gatys_lab.specs import Grid, LossSpec, parse_grid, parse_loss, parse_mixture
from gatys_lab.styles import Source, gather
from gatys_lab.types import Network, StyleLoss

UNVARIED = Way("", options={"precision": "fp32"})  # what holds for all; the judge sees in 32 bits
OPTIONS = tuple(f.name for f in fields(Config) if f.name not in ("style_loss", "content_weight", "style_weight"))
BY_CONTENT = ("weights", "init", "threads", "max_pixels", "device")  # what a key knows otherwise, or need not know


@dataclass(frozen=True)
class Task:
    """One run. `model` None: the engine's."""

    way: Way
    title: str
    job: Job
    model: FeedForward | None


Watch = Callable[[int, int, Task], AbstractContextManager[Sequence[Callback]]]  # around the i-th of n runs: callbacks


def compare(
    contents: Source | Sequence[Source],
    styles: Source | Sequence[Source],
    *,
    losses: Sequence[str | Mixture] | None = None,
    models: Sequence[str | LossSpec] = (),
    grids: Sequence[str | Grid] = (),
    judge: str | None = None,
    folder: str | Path | None = None,
    watch: Watch = lambda number, count, task: nullcontext(()),
    **options: Any,
) -> Comparison:
    """Paint every photo in the manner of every painting in every way, and score the results.

    `losses` are names with options, mixtures joined by + (None: `config.COMPARED`, each alone); `models`
    feed-forward ones; `grids` such as "balance=0.3,1,3"; `options` are fields of `gatys_lab.config.Config` that hold
    for all. `judge` names the network that scores (None: the one that paints). `folder` keeps each run: what is there
    is not painted again. Raises ValueError or OSError of one line; KeyboardInterrupt after Ctrl-C, what is done kept.
    """
    varied = tuple(parse_grid(grid) if isinstance(grid, str) else grid for grid in grids)
    _check_options(options, varied)
    mixtures = None if losses is None else [parse_mixture(m) if isinstance(m, str) else m for m in losses]
    rows = plan(mixtures, [parse_loss(m) if isinstance(m, str) else m for m in models], varied)
    photos, paintings = _pictures(contents, "photo", options), _pictures(styles, "painting", options)
    pairs, ways = list(product(photos, paintings)), [way for row in rows for way in row]
    workshop = _Workshop(options, None if folder is None else Store(Path(folder)))
    jobs = {(a, b): workshop.job(photos[a], paintings[b], UNVARIED) for a, b in pairs}
    base = jobs[pairs[0]]
    network = base.network if judge is None else catalog.load("networks", judge).to(base.device)
    scoring = judges([way.options["style_loss"] for way in ways if way.model is None])
    first = _judge(base, network, scoring)  # what cannot be scored is said before the first run
    workshop = replace(workshop, options={**options, "precision": _precision(base, options, ways)})
    tasks = [workshop.task(way, jobs[pair], pair) for pair, way in product(pairs, ways)]
    painted = iter([workshop.painted(i, len(tasks), task, watch) for i, task in enumerate(tasks, start=1)])
    judged = [_judged(pairs[0], first, rows, painted)]
    judged += [_judged(pair, _judge(jobs[pair], network, scoring), rows, painted) for pair in pairs[1:]]
    return Comparison(_conditions(tasks[0].job, network, varied, ways), tuple(judged))


@dataclass(frozen=True)
class _Workshop:
    """Loads each network and model once, paints, and keeps."""

    options: Mapping[str, Any]
    store: Store | None
    _jobs: dict[tuple[Any, ...], Job] = field(default_factory=dict)
    _models: dict[str, FeedForward] = field(default_factory=dict)

    def job(self, photo: Picture, painting: Picture, way: Way) -> Job:
        options = {**self.options, **way.options}
        loaded = tuple(options.get(name) for name in ("network", "pooling", "init", "precision"))
        if loaded not in self._jobs:
            self._jobs[loaded] = prepare(photo, painting, **options)
        config = replace(DEFAULTS, **options)
        styles = gather(painting, config.max_pixels)
        optimizer, objective = optimizer_of(config), objective_of(config, styles)
        job = replace(
            self._jobs[loaded], config=config, photo=photo, styles=styles, optimizer=optimizer, objective=objective
        )
        job.check()
        return job.in_tiles()

    def task(self, way: Way, unvaried: Job, pair: tuple[str, str]) -> Task:
        job = self.job(unvaried.photo, unvaried.painting, way)
        return Task(way, f"{pair[0]} in the manner of {pair[1]}: {way.label}", job, self._model(way, job.device))

    def _model(self, way: Way, device: torch.device) -> FeedForward | None:
        if way.model is None:
            return None
        if way.label not in self._models:
            options = {name: value for name, value in way.model.options.items() if name != "alpha"}
            self._models[way.label] = catalog.load("models", way.model.name, **options).to(device)
        return self._models[way.label]

    def painted(self, number: int, count: int, task: Task, watch: Watch) -> Painted:
        """What the task makes, or made before."""
        key = _key(task)
        kept = None if self.store is None else self.store.load(key)
        if kept is not None:
            return kept
        with watch(number, count, task) as callbacks:
            done = _by_engine(task.job, callbacks) if task.model is None else _by_model(task.way, task.job, task.model)
        if done.reason == "interrupted":
            raise KeyboardInterrupt
        if self.store is not None:
            self.store.save(key, done)
        return done


def _by_engine(job: Job, callbacks: Sequence[Callback]) -> Painted:
    result = job.run(callbacks)
    if result.reason == "memory":
        raise MemoryError(f"{result.notes[-1]}; choose a smaller --size")
    return Painted(result.image, result.reason, result.evaluations, result.seconds, _curve(result.trace))


def _curve(trace: Sequence[Row]) -> dict[str, Any]:
    names = dict.fromkeys(name for row in trace for name in row.parts)
    columns = {name: [getattr(row, name) for row in trace] for name in ("evaluation", "size_px", "seconds", "total")}
    return {**columns, "parts": {name: [row.parts.get(name, 0.0) for row in trace] for name in names}}


def _by_model(way: Way, job: Job, model: FeedForward) -> Painted:
    """Style and picture, without the loading; a forward pass is no evaluation."""
    assert way.model is not None
    alpha = float(way.model.options.get("alpha", 1.0))
    painter = Painter(model, [StyleSource(job.painting)], alpha, None, job.size_px, _style_px(job), job.device)
    began = time.monotonic()
    picture = painter(job.photo)
    image = to_pil(picture.image, picture.alpha)
    return Painted(image, "one pass", 0, time.monotonic() - began, _curve(()))


def _key(task: Task) -> str:
    way, job, model = task.way, task.job, task.model
    pictures = [picture_digest(job.photo), picture_digest(job.painting)]
    if model is not None:
        size = (job.size_px, _style_px(job))
        return key_of(pictures=pictures, model=way.model, weights=fingerprint(model), size=size, device=job.device)
    config = {name: value for name, value in asdict(job.config).items() if name not in BY_CONTENT}
    own = {spec.name: file_digest(spec.name) for spec in way.options["style_loss"] if spec.name.endswith(".py")}
    start = job.config.init
    if job.starter is not None:
        start = fingerprint(job.starter)
    elif Path(start).is_file():
        start = file_digest(start)
    weights = fingerprint(job.network)  # type: ignore[arg-type]
    return key_of(pictures=pictures, config=config, own=own, start=start, weights=weights, device=job.device)


def _precision(base: Job, options: Mapping[str, Any], ways: Sequence[Way]) -> str:
    """The same for all: 32 bits if a loss asks for them, unless the user says otherwise."""
    asked = options.get("precision", DEFAULTS.precision)
    specs = [spec for way in ways for spec in way.options.get("style_loss", ())]
    if asked == "auto" and any(getattr(built(spec), "needs_32_bits", False) for spec in specs):
        asked = "fp32"
    return devices.precision(asked, base.network, base.objective.layers)


def _judge(job: Job, network: Network, losses: Mapping[str, StyleLoss[Any]]) -> Judge:
    photo = resize(job.photo.image.to(job.device), job.size_px)
    painting = resize(job.painting.image.to(job.device), _style_px(job))
    return Judge(network, photo, painting, losses, job.config.style_layers, tuple(job.config.content_layers))


def _judged(pair: tuple[str, str], judge: Judge, rows: Sequence[Sequence[Way]], painted: Iterator[Painted]) -> Pair:
    """The next of what was painted, scored and laid out in rows."""

    def result(way: Way, done: Painted) -> Result:
        return Result(way, done, judge(as_image(done.image).image.to(judge.photo)))

    results = tuple(tuple(result(way, next(painted)) for way in row) for row in rows)
    return Pair(*pair, to_pil(judge.photo), to_pil(judge.painting), judge(judge.photo), results)


def _style_px(job: Job) -> int:
    return max(1, round(job.size_px * job.config.style_scale))


def _pictures(given: Any, kind: str, options: Mapping[str, Any]) -> dict[str, Picture]:
    """Pictures by name: a file's without its suffix, or, where two are called so, as it was given."""
    sources = list(given) if isinstance(given, list | tuple) else [given]
    paths = [Path(source) if isinstance(source, str | Path) else None for source in sources]
    stems = [kind if path is None else path.stem for path in paths]
    names = [
        stem if stems.count(stem) == 1 else str(path or f"{kind} {i}")
        for i, (stem, path) in enumerate(zip(stems, paths, strict=True), start=1)
    ]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or not names:
        raise ValueError(f"'{twice}' twice; name each {kind} once" if names else f"no {kind}; wanted at least one")
    limit = options.get("max_pixels", DEFAULTS.max_pixels)
    pictures = [
        read(path, max_pixels=limit) if path is not None else as_image(source)
        for source, path in zip(sources, paths, strict=True)
    ]
    return dict(zip(names, pictures, strict=True))


def _check_options(options: Mapping[str, Any], grids: Sequence[Grid]) -> None:
    for option in options:
        if option not in OPTIONS:
            raise UnknownName(f"no option '{option}' that could be the same for all; there are {', '.join(OPTIONS)}")
    for grid in grids:
        if grid.key in JOB and JOB[grid.key][0] in options:
            raise ValueError(f"a grid varies {grid.key}, and one is given for all; leave one of them out")


def _conditions(job: Job, network: Network, grids: Sequence[Grid], ways: Sequence[Way]) -> str:
    """What was the same for all, without what a grid varies."""
    free = [way.label for way in ways if way.model is None and not varies(way.options["style_loss"], "balance")]
    config = job.config
    facts = {
        "init": f"start: {Path(config.init).name}",
        "seed": f"seed {config.seed}",
        "evaluations": " and ".join(f"{count} evaluations at {size} px" for size, count in job.budgets.items()),
        "balance": f"balance {config.balance:g}" + (f" ({', '.join(free)} without)" if free else ""),
        "optimizer": config.optimizer,
        "network": f"on {_name(job.network)}",
        "precision": f"in {job.precision}",
    }
    same = [fact for key, fact in facts.items() if key not in {grid.key for grid in grids}]
    shared = ways[0].label.removesuffix(ways[0].caption).removesuffix(", ")  # the loss, where there is only one
    return f"{', '.join([shared, *same] if shared else same)}; judged on {_name(network)}"


def _name(network: Network) -> str:
    return str(getattr(network, "source", network.name))
