"""A run that survives its end: where it stands is kept in a file, from which it goes on to the very same pixels.

The file is written between two iterations, whole or not at all, when it is older than a number of seconds, and at the
beginning of each size. What comes after it is run again: nothing that decides anything depends on when that was.

>>> from gatys_lab import stylize
>>> kept = Checkpoint("out.ckpt", every_seconds=30, resume=True)
>>> stylize("photo.jpg", "painting.jpg", checkpoint=kept).image.save("out.png")  # doctest: +SKIP
>>> kept.remove()
"""

import glob
import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gatys_lab.digests import sha256
from gatys_lab.engine import Standing
from gatys_lab.files import check_place, write_whole
from gatys_lab.states import Frozen, freeze
from gatys_lab.trace import Row, Trace

log = logging.getLogger(__name__)
KIND = "gatys_lab run 1"
NAMES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}  # of what optimisers and the engine hold
OPEN = {"precision": "auto", "threads": None, "tile": "auto"}  # what this machine may choose otherwise another time


class Kept(NamedTuple):
    """What a file holds."""

    facts: Mapping[str, Any]  # what determined the run
    place: int  # of the size, 0 the coarsest
    rows: tuple[Row, ...]
    seconds: float
    frozen: Frozen
    notes: tuple[str, ...] = ()  # on the sizes before


@dataclass(frozen=True)
class Checkpoint:
    """Where a run is kept, how often, and whether one that is there is gone on from; if none is there, it begins."""

    path: str | Path
    every_seconds: float = 60.0
    resume: bool = False

    def load(self) -> Kept | None:
        """What is there. Raises ValueError or OSError if that is no checkpoint, or was not asked for."""
        path = Path(self.path)
        check_place(path)
        if not path.exists():
            return None
        if not self.resume:
            raise FileExistsError(f"'{path}' keeps a run; go on from it with --resume (resume=True), or remove it")
        return _read(path)

    def choices(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options, with what was chosen when the run began in the place of `auto`."""
        kept = self.load()
        if kept is None:
            return dict(options)
        chosen = {name: kept.facts.get(name) for name, still in OPEN.items() if options.get(name, still) == still}
        return {**options, **chosen}

    def remove(self) -> None:
        """When the picture is safe. Also what was left of one that was being written when a run was killed."""
        path = Path(self.path)
        for left in path.parent.glob(f"{glob.escape(_mark(path))}*.part"):
            left.unlink(missing_ok=True)
        path.unlink(missing_ok=True)


class Keeper:
    """One run and its file."""

    def __init__(self, checkpoint: Checkpoint, facts: Mapping[str, Any]) -> None:
        """Raises ValueError if the file is another run's."""
        self._path, self._every = Path(checkpoint.path), checkpoint.every_seconds
        self._facts, self._kept = json.loads(json.dumps(facts)), checkpoint.load()
        if self._kept is not None:
            known = {**self._facts, **self._kept.facts}
            other = [name for name in known if self._facts.get(name) != self._kept.facts.get(name)]
            if other:
                names = ", ".join(other)
                raise ValueError(f"'{self._path}' keeps a run with other {names}; give the same, or remove it")
            log.info("going on from '%s', after %d evaluations", self._path, len(self._kept.rows))
        self.trace = Trace() if self._kept is None else Trace(self._kept.rows, self._kept.seconds)
        self.notes = [] if self._kept is None else list(self._kept.notes)
        self._written: float | None = None

    def is_past(self, place: int) -> bool:
        return self._kept is not None and place < self._kept.place

    def standing(self, place: int) -> Frozen | None:
        """Where the run of this size stood."""
        return self._kept.frozen if self._kept is not None and place == self._kept.place else None

    def keep(self, place: int, standing: Standing) -> None:
        """Write it down if it is time. A disk that is full later on does not end the run."""
        early = self._written is not None and time.monotonic() - self._written < self._every
        if early and standing.used > 0:
            return
        first, self._written = self._written is None, time.monotonic()
        self.trace.settle()
        try:
            write_whole(self._path, self._pieces(place, freeze(standing)), _mark(self._path)[1:])
        except OSError as error:
            if first:
                raise
            log.warning("no checkpoint this time: %s", error)

    def _pieces(self, place: int, frozen: Frozen) -> Iterator[bytes | memoryview]:
        rows = [asdict(row) for row in self.trace.rows]
        said = {
            "facts": self._facts,
            "place": place,
            "rows": rows,
            "seconds": self.trace.seconds(),
            "notes": self.notes,
        }
        said |= {"numbers": frozen.numbers, "strides": frozen.strides}
        run = json.dumps(said)
        return pieces(frozen.tensors, {"kind": KIND, "run": run, "sha256": sha256(run.encode())})


def pieces(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, of what a run holds on the CPU: its own `save` makes two copies of all of it."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))  # aligned, as it does
    header, end = dict[str, Any](__metadata__=dict(metadata)), 0
    for name, tensor in ordered:
        place = [end, end + tensor.nbytes]
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": place}
        end = place[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for _, tensor in ordered:
        yield tensor.numpy().reshape(-1).view(np.uint8).data


def _mark(path: Path) -> str:
    return f".{path.name}."


def _row(row: Mapping[str, Any]) -> Row:
    parts = {str(name): float(part) for name, part in row["parts"].items()}
    return Row(int(row["evaluation"]), int(row["size_px"]), float(row["seconds"]), float(row["total"]), parts)


def _read(path: Path) -> Kept:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("kind") != KIND:
                raise ValueError("another kind of file")
            if metadata["sha256"] != sha256(metadata["run"].encode()):
                raise ValueError("what it says of the run was changed")
            said = json.loads(metadata["run"])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if "best" not in tensors:
                raise ValueError("no picture in it")
        rows = tuple(map(_row, said["rows"]))
        frozen = Frozen(tensors, dict(said["numbers"]), dict(said["strides"]))
        notes = tuple(str(note) for note in said["notes"])
        return Kept(dict(said["facts"]), int(said["place"]), rows, float(said["seconds"]), frozen, notes)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"'{path}' is no checkpoint of a run ({error}); remove it to begin anew") from None
