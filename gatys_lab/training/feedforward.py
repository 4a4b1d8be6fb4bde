"""Train a feed-forward model from two folders, and leave all that a person wants to know of it beside its weights.

out.safetensors   the weights (the running average of them), again at every checkpoint
out.checkpoint    the whole state, from which an interrupted run goes on
out.csv           the losses
out.png           a sheet of pictures that were not trained on, as the model paints them now
out.md            the model card, at the end
"""

import csv
import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gatys_lab.digests import file_digest
from gatys_lab.files import check_target, write_whole
from gatys_lab.images import write
from gatys_lab.models import _files
from gatys_lab.models._base import fingerprint
from gatys_lab.training import _loop
from gatys_lab.training._fit import Recipe, Settings, Training
from gatys_lab.training._pictures import Crops, split

SHOWN = 4  # pairs on the sheet


@dataclass(frozen=True)
class Data:
    """Folders, searched below; the last so many files of each, by name, are not trained on."""

    photos: Path
    paintings: Path
    hold_out: tuple[int, int] = (SHOWN, SHOWN)

    @cached_property
    def _parts(self) -> list[tuple[tuple[Path, ...], tuple[Path, ...]]]:
        return [split(self.photos, self.hold_out[0]), split(self.paintings, self.hold_out[1])]

    @property
    def files(self) -> list[tuple[Path, ...]]:
        return [kept for kept, _ in self._parts]

    @property
    def held(self) -> list[tuple[Path, ...]]:
        """What is held out, or, if that is nothing, what is trained on."""
        return [held or kept for kept, held in self._parts]

    def digest(self) -> str:
        """12 hex digits of the names of what is trained on."""
        names = "\n".join(file.name for files in self.files for file in files)
        return hashlib.sha256(names.encode()).hexdigest()[:12]


def train(
    name: str,
    out: Path,
    data: Data,
    *,
    settings: Settings,
    encoder: str | Path = "lite",
    options: Mapping[str, Any] | None = None,
    losses: Mapping[str, Any] | None = None,
    start: Path | None = None,
    device: torch.device | None = None,
    command: str = "",
    report: Callable[[_loop.Progress], None] = lambda progress: None,
) -> Sequence[Path]:
    """Train the model `name` of models/; `options` are those of its `create`, `losses` those of its recipe's `build`.

    `start` is a file of weights to go on from: the same model with the same layers, whatever it was trained for.
    `command` is what the card says that it was made by. Returns the files that could not be read. Raises ValueError or
    OSError of one line.
    """
    check_target(out, ".safetensors")
    options, losses = dict(options or {}), dict(losses or {})
    contents, styles = (Crops(files, settings.size_px) for files in data.files)
    run = Training(_recipe(name, encoder, options, losses, start, settings.seed, device), contents, styles, settings)
    pictures = [Crops(files, settings.size_px).draw(SHOWN, settings.seed, 10**8) for files in data.held]
    network = run.recipe.model.encoder
    facts = {
        "model": name,
        "encoder": f"{network.source}, fingerprint {fingerprint(network)}",
        "options": ", ".join(f"{k} {v}" for k, v in {**options, **losses}.items()),
        "data": data.digest(),
        "start": "untrained" if start is None else f"{start.name}, {file_digest(start)[:12]}",
    }
    log = _Log(out.with_suffix(".csv"))

    def tell(progress: _loop.Progress) -> None:
        if run.rank == 0:
            log.add(progress)
            report(progress)

    def save() -> None:
        if run.rank == 0:
            with run.averaged() as trained:
                _files.save(trained, out, options)
                write(sheet(trained, *pictures), out.with_suffix(".png"))

    _loop.train(run, out.with_suffix(".checkpoint"), save, tell, facts, leader=run.rank == 0)
    if run.rank == 0 and log.begun:
        said = {"command": command or "the library", **facts, "settings": str(settings), **_told(data, log)}
        write_whole(out.with_suffix(".md"), card(out, said).encode())
    return sorted(contents.corrupt | styles.corrupt)


def _recipe(
    name: str,
    encoder: str | Path,
    options: dict[str, Any],
    losses: dict[str, Any],
    start: Path | None,
    seed: int,
    device: Any,
) -> Recipe:
    network = _files.encoder(encoder)
    assert network is not None
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # what initialises modules takes no generator
        model = importlib.import_module(f"gatys_lab.models.{name}").create(network, **options).to(device)
    if start is not None:
        _files.start(model, start)
    return importlib.import_module(f"gatys_lab.training.{name}").build(model, **losses)


def _told(data: Data, log: "_Log") -> dict[str, str]:
    photos, paintings = (len(files) for files in data.files)
    return {
        "data": f"{photos} photos of '{data.photos.name}', {paintings} paintings of '{data.paintings.name}'",
        "hours": f"{log.last.seconds / 3600:.2f} since the last resumption",
        "losses at the end, running means": ", ".join(f"{k} {v:.4g}" for k, v in log.last.losses.items()),
    }


@torch.no_grad()
def sheet(model: Any, contents: Tensor, styles: Tensor) -> Tensor:
    """Rows of content, style and result side by side, (1, 3, rows * s, 3 * s)."""
    device = next(model.parameters()).device
    contents, styles = contents.to(device), styles.to(device)
    columns = (contents, styles, model(contents, model.style_of(styles)))
    return torch.cat([torch.cat(list(column), 1) for column in columns], 2)[None].cpu()  # each (3, rows * s, s)


def card(weights: Path, facts: Mapping[str, str]) -> str:
    """A model card to be completed by hand: what the pictures look like, and the licences of the data."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    digits = hashlib.sha256(weights.read_bytes()).hexdigest()
    return f"# Model card: {weights.stem}\n\nSHA-256 {digits}\n\n| | |\n|---|---|\n{rows}\n"


class _Log:
    """A CSV file of losses. Rows of steps that a resumed run does again are taken out first."""

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, False
        self.last = _loop.Progress(0, 0, 0.0, {})

    def add(self, progress: _loop.Progress) -> None:
        names = ["step", "seconds", *progress.losses]
        if not self.begun:
            write_whole(self.path, "".join(f"{','.join(row)}\n" for row in self._before(progress, names)).encode())
            self.begun = True
        with self.path.open("a", newline="") as file:
            losses = [f"{loss:.6g}" for loss in progress.losses.values()]
            csv.writer(file, lineterminator="\n").writerow([progress.step, f"{progress.seconds:.1f}", *losses])
        self.last = progress

    def _before(self, progress: _loop.Progress, names: list[str]) -> list[list[str]]:
        if not self.path.is_file():
            return [names]
        with self.path.open(newline="") as file:
            rows = list(csv.reader(file))
        return [names, *(row for row in rows[1:] if row and int(row[0]) < progress.step)]
