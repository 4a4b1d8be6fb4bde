"""Many pictures with one set of options: the network is loaded once, what is there already is not painted again.

What a picture was made of is told by its manifest: a batch that was interrupted goes on by looking at what lies there,
and keeps no other state. A style's statistics are fitted anew for each picture: features and all they cost .4 to 1.4 %
of a run (docs/performance.md), and what some losses fit depends on the photo.

>>> job = template(size_px=512)                                                               # doctest: +SKIP
>>> pairs = named(cross(["a.jpg", "b.jpg"], ["ink.png"]), Path("out"))                        # doctest: +SKIP
>>> for done in paint(job, survey(job, pairs).missing): print(done.pair.out, done.error)      # doctest: +SKIP
"""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache, partial
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

import torch

from gatys_lab import cluster, manifest
from gatys_lab.cluster import Crew, Lost
from gatys_lab.config import DEFAULTS, OF_MANY
from gatys_lab.digests import file_digest
from gatys_lab.engine import Callback
from gatys_lab.files import pictures_in
from gatys_lab.images import Picture, check_writable, read, write
from gatys_lab.job import Job, Result, prepare
from gatys_lab.styles import Style
from gatys_lab.types import UNFINISHED, Reason

FIELDS = ("content", "style")  # of a name, and the columns of a table of pairs
Two = tuple[Path, Path]  # a content and a style


class Pair(NamedTuple):
    """One picture to be: `content` in the manner of `style`."""

    content: Path
    style: Path
    out: Path


class Survey(NamedTuple):
    """What lies there: pairs without a finished picture, with one, and with one that was made otherwise."""

    missing: tuple[Pair, ...]
    done: tuple[Pair, ...]
    other: tuple[Pair, ...]


class Size(NamedTuple):
    width: int
    height: int


class Brief(NamedTuple):
    """What is told of a result that lies elsewhere: of its image the size."""

    image: Size
    loss: float
    reason: Reason
    evaluations: int
    seconds: float

    @classmethod
    def of(cls, result: "Result | Brief") -> "Brief":
        size = Size(result.image.width, result.image.height)
        return cls(size, float(result.loss), result.reason, result.evaluations, result.seconds)


class Done(NamedTuple):
    """What became of a pair. `error`: one line, if there is no good picture; None of a file that was told of before.

    `unread`: the file, if one could not be read.
    """

    pair: Pair
    result: Result | Brief | None
    error: str | None = None
    unread: Path | None = None

    @property
    def fine(self) -> bool:
        return self.result is not None and self.error is None


Watch = Callable[[int, Pair, Job], AbstractContextManager[Sequence[Callback]]]


def cross(contents: Iterable[str | Path], styles: Iterable[str | Path]) -> list[Two]:
    """Every content with every style, style by style; a folder stands for its pictures."""
    photos, paintings = ([file for place in places for file in _files(Path(place))] for places in (contents, styles))
    return [(photo, painting) for painting in paintings for photo in photos]


def read_pairs(table: Path) -> list[Two]:
    """The rows of a CSV file with the columns content and style, paths relative to its folder."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            columns = [name.strip() for name in rows.fieldnames or ()]
            if sorted(columns) != sorted(FIELDS):
                raise ValueError(f"its columns are {', '.join(columns) or 'none'}")
            rows.fieldnames = columns
            found = [tuple((row[name] or "").strip() for name in FIELDS) for row in rows]
            if not found or not all(all(row) for row in found):
                raise ValueError("a row lacks a file" if found else "it has no rows")
    except (ValueError, csv.Error) as error:
        raise ValueError(f"'{table}' is no table of pairs ({error}); wanted the columns content,style") from None
    return [(table.parent / content, table.parent / style) for content, style in found]


def named(pairs: Iterable[Two], folder: Path, name: str = OF_MANY) -> tuple[Pair, ...]:
    """Where each goes. Raises ValueError if two would go to one place, or one to where a picture is read from."""
    _check_name(name)
    taken: dict[str, Pair] = {}
    for content, style in dict.fromkeys(pairs):
        pair = Pair(content, style, folder / name.format(content=content.stem, style=style.stem))
        place = os.path.normcase(pair.out)
        if place in taken:
            first = taken[place]
            raise ValueError(
                f"'{first.content}' with '{first.style}' and '{content}' with '{style}' would both be "
                f"'{pair.out}'; choose a name that tells them apart, or rename a file"
            )
        taken[place] = pair
    sources = {file.resolve() for pair in taken.values() for file in pair[:2]}
    for pair in taken.values():
        if pair.out.resolve() in sources:
            raise ValueError(f"'{pair.out}' is one of the pictures that are read; choose another folder or name")
    return tuple(taken.values())


def _check_name(name: str) -> None:
    """Raises ValueError for what is no name of pictures, or leads out of their folder."""
    try:
        fields = [(field, spec, form) for _, field, spec, form in Formatter().parse(name) if field is not None]
    except ValueError:  # a brace alone
        fields = [("", "", None)]
    plain = all(field in FIELDS and not spec and form is None for field, spec, form in fields)
    if not plain or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"'{name}' is no name for pictures; wanted one such as {OF_MANY}, within the folder")


def template(**options: Any) -> Job:
    """The job that all are like, of grey pictures: raises as `prepare` does for options that nothing can be made with.

    `options` are the fields of `gatys_lab.config.Config`.
    """
    size_px = options.get("size_px", DEFAULTS.size_px)
    grey = Picture(torch.full((1, 3, 1, 1), 0.5).expand(1, 3, size_px, size_px))  # one number, however large
    return prepare(grey, grey, **options)


def survey(job: Job, pairs: Iterable[Pair]) -> Survey:
    """What is there already. A picture is done if its manifest has the same options, files and network.

    Versions, device and number of threads make no other picture. Files that cannot be read are missing, and told of
    when they are painted.
    """
    known = manifest.Known(cache(file_digest))
    recipe = manifest.recipe_of(job, known)
    found: dict[str, list[Pair]] = {"missing": [], "done": [], "other": []}
    for pair in pairs:
        found[_state(pair, recipe, known)].append(pair)
    return Survey(**{name: tuple(pairs) for name, pairs in found.items()})


def check(pairs: Iterable[Pair]) -> None:
    """Make the folders. Raises OSError or ValueError if a picture or its manifest could not be written."""
    for pair in pairs:
        pair.out.parent.mkdir(parents=True, exist_ok=True)
        check_writable(pair.out)
        manifest.check_manifest(pair.out)


def paint(job: Job, pairs: Sequence[Pair], watch: Watch | None = None) -> Iterator[Done]:
    """Paint one after the other, each with its manifest; what cannot be painted is told, and the rest is done.

    `watch(number, pair, job)`: gives the callbacks of the n-th run, from 0. Ctrl-C leaves what is finished, and goes
    on as KeyboardInterrupt. A disk that cannot be written to ends it: OSError.
    """
    make = _Maker(job)
    return _told_once(make(pair, watch and partial(watch, number)) for number, pair in enumerate(pairs))


def crew(
    job: Job, folder: Path, tasks: int, workers: int | None = None, address: str | None = None
) -> AbstractContextManager[Crew]:
    """Workers that paint like `paint`, each with a job of its own; see `cluster.crew`. Their precision is the job's."""
    options = {**vars(job.config), "precision": job.precision}
    return cluster.crew(
        partial(_worker, options), folder, tasks, workers=workers, address=address,
        threads=job.config.threads, device=job.config.device,
    )  # fmt: skip


def paint_together(workers: Crew, pairs: Sequence[Pair]) -> Iterator[Done]:
    """As `paint`, many at once, in the order in which they are done; of a result everything but the pixels is there."""
    return _told_once(
        Done(pair, None, _line(ValueError(answer), pair)) if isinstance(answer, Lost) else answer
        for pair, answer in workers(pairs)
    )


def _worker(options: dict[str, Any], threads: int) -> Callable[[Pair], Done]:
    make = _Maker(template(**{**options, "threads": threads}))

    def brief(pair: Pair) -> Done:
        done = make(pair)
        return done if done.result is None else done._replace(result=Brief.of(done.result))

    return brief


class _Maker:
    """Paints pairs, with what is the same for all of them. The last two pictures are kept: a painting is read once."""

    def __init__(self, job: Job) -> None:
        self._job, self._read = job, lru_cache(maxsize=2)(partial(read, max_pixels=job.config.max_pixels))

    def __call__(self, pair: Pair, watch: Callable[[Pair, Job], Any] | None = None) -> Done:
        pictures = list[Picture]()
        for file in (pair.content, pair.style):
            try:
                pictures.append(self._read(file))
            except (ValueError, OSError, MemoryError) as error:
                return Done(pair, None, _line(error, pair), file)
        try:
            one = self._job.of(*pictures)
            with nullcontext(()) if watch is None else watch(pair, one) as callbacks:
                result = one.run(callbacks)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            return Done(pair, None, _line(error, pair))
        if result.reason == "interrupted":
            raise KeyboardInterrupt
        record = manifest.record(one, result, pair.content, [Style(pair.style)])
        write(result.image, pair.out, note=manifest.noted(record))
        manifest.write_manifest(record, pair.out)
        return Done(pair, result, f"'{pair.out}': {result.reason}" if result.reason in UNFINISHED else None)


def _told_once(painted: Iterable[Done]) -> Iterator[Done]:
    """Without the errors of files that were told of before."""
    told = set[Path | None]()
    for done in painted:
        yield done._replace(error=None) if done.unread is not None and done.unread in told else done
        told.add(done.unread)


def _state(pair: Pair, recipe: dict[str, Any], known: manifest.Known) -> str:
    """The field of `Survey` that a pair belongs to."""
    if not pair.out.exists():
        return "missing"
    try:
        recorded, _ = manifest.load(pair.out)
        finished = recorded["result"]["reason"] not in UNFINISHED
    except (ValueError, OSError, KeyError, TypeError):
        return "other"
    try:
        wanted = {**recipe, **manifest.pictures_of(pair.content, [Style(pair.style)], known)}
    except OSError:
        return "missing"
    if any(recorded.get(part) != json.loads(json.dumps(wanted[part])) for part in manifest.SAME):
        return "other"
    return "done" if finished else "missing"


def _files(place: Path) -> list[Path]:
    return pictures_in(place) if place.is_dir() else [place]


def _line(error: BaseException, pair: Pair) -> str:
    """What went wrong, in one line that names a file."""
    text = " ".join(str(error).split()) or type(error).__name__
    told = any(str(file) in text for file in pair[:2])
    return text if told else f"'{pair.content}' with '{pair.style}': {text}"
