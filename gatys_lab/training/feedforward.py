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
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gatys_lab.files import write_whole
from gatys_lab.images import write
from gatys_lab.models import _files
from gatys_lab.training import _loop
from gatys_lab.training._fit import Settings, Training
from gatys_lab.training._pictures import Crops, files_in

SHOWN = 4  # pairs on the sheet


def train(
    name: str,
    out: Path,
    photos: Path,
    paintings: Path,
    *,
    settings: Settings,
    encoder: str | Path = "lite",
    options: Mapping[str, Any] | None = None,
    losses: Mapping[str, Any] | None = None,
    hold_out: tuple[int, int] = (SHOWN, SHOWN),
    device: torch.device | None = None,
    report: Callable[[_loop.Progress], None] = lambda progress: None,
) -> Sequence[Path]:
    """Train the model `name` of models/; `options` are those of its `create`, `losses` those of its recipe's `build`.

    `hold_out`: so many photos and paintings, the last by name, are not trained on. Returns the files that could not be
    read. Raises ValueError or OSError of one line.
    """
    files = [files_in(folder, count) for folder, count in zip((photos, paintings), hold_out, strict=True)]
    held = [files_in(f)[len(known) :] for f, known in zip((photos, paintings), files, strict=True)]
    torch.manual_seed(settings.seed)
    network = _files.encoder(encoder)
    assert network is not None
    model = importlib.import_module(f"gatys_lab.models.{name}").create(network, **(options or {})).to(device)
    recipe = importlib.import_module(f"gatys_lab.training.{name}").build(model, **(losses or {}))
    contents, styles = (Crops(known, settings.size_px) for known in files)
    run = Training(recipe, contents, styles, settings)
    shown = [Crops(some or known, settings.size_px) for some, known in zip(held, files, strict=True)]
    pictures = [crops.draw(SHOWN, settings.seed, 10**8) for crops in shown]
    log = _Log(out.with_suffix(".csv"))
    began = time.monotonic()

    def tell(progress: _loop.Progress) -> None:
        if run.rank == 0:
            log.add(progress)
            report(progress)

    def save() -> None:
        if run.rank == 0:
            with run.averaged() as trained:
                _files.save(trained, out, options or {})
                write(sheet(trained, *pictures), out.with_suffix(".png"))

    _loop.train(run, out.with_suffix(".checkpoint"), save, tell)
    if run.rank == 0:
        facts = {
            "model": name,
            "encoder": f"{network.source}, fingerprint {_files.fingerprint(network)}",
            "command": shlex.join(["gatys-lab", *sys.argv[1:]]),
            "data": f"{len(files[0])} photos of '{photos.name}', {len(files[1])} paintings of '{paintings.name}'",
            "settings": ", ".join(f"{k} {v}" for k, v in vars(settings).items()),
            "options": ", ".join(f"{k} {v}" for k, v in {**(options or {}), **(losses or {})}.items()) or "none",
            "hours": f"{(time.monotonic() - began) / 3600:.2f} since the last resumption",
            "losses at the end": ", ".join(f"{k} {v:.4g}" for k, v in log.last.items()),
        }
        write_whole(out.with_suffix(".md"), card(out, facts).encode())
    return sorted(contents.corrupt | styles.corrupt)


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
        self.path, self.last, self.begun = path, dict[str, float](), False

    def add(self, progress: _loop.Progress) -> None:
        names = ["step", "seconds", *progress.losses]
        if not self.begun:
            write_whole(self.path, "".join(f"{','.join(row)}\n" for row in self._before(progress, names)).encode())
            self.begun = True
        with self.path.open("a", newline="") as file:
            losses = [f"{loss:.6g}" for loss in progress.losses.values()]
            csv.writer(file, lineterminator="\n").writerow([progress.step, f"{progress.seconds:.1f}", *losses])
        self.last = progress.losses

    def _before(self, progress: _loop.Progress, names: list[str]) -> list[list[str]]:
        if not self.path.is_file():
            return [names]
        with self.path.open(newline="") as file:
            rows = list(csv.reader(file))
        return [names, *(row for row in rows[1:] if row and int(row[0]) < progress.step)]
