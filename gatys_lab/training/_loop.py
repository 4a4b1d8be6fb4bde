"""The loop that every training shares: batches read ahead, running means, checkpoints, resumption."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from gatys_lab.training._checkpoint import load_state, save_state

MEMORY = 0.98  # of the running means


@dataclass(frozen=True)
class Progress:
    """Running means of the losses."""

    step: int
    steps: int
    seconds: float  # since this run, or its resumption, began
    losses: dict[str, float]


class Run(Protocol):
    """A training run. `settings` is a frozen dataclass with at least `steps` and `every` (steps between savings)."""

    settings: Any
    done: int

    def begin(self) -> None:
        """What comes before the very first step."""
        ...

    def fetch(self, step: int) -> tuple[Tensor, ...]:
        """The batch of a step, which depends on nothing else. Called in another thread."""
        ...

    def step(self, *batch: Tensor) -> dict[str, Tensor]:
        """One step, counted in `done`. Returns losses for a person to read."""
        ...

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs, tensors and numbers only."""
        ...

    def restore(self, state: dict[str, Any]) -> None: ...


def train(run: Run, checkpoint: Path | None, save: Callable[[], None], report: Callable[[Progress], None]) -> None:
    """Train to the end, calling `save` with every checkpoint and `report` every twentieth step.

    A checkpoint that is there is gone on from. Raises ValueError if it was made with other settings than `steps`.
    """
    if not _resume(run, checkpoint):
        run.begin()
    began, means = time.monotonic(), dict[str, float]()
    steps = run.settings.steps
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(run.fetch, run.done)
        while run.done < steps:
            batch, ahead = ahead.result(), reader.submit(run.fetch, run.done + 1)
            for name, loss in run.step(*batch).items():
                means[name] = MEMORY * means.get(name, float(loss)) + (1 - MEMORY) * float(loss)
            if run.done % 20 == 0 or run.done == steps:
                report(Progress(run.done, steps, time.monotonic() - began, dict(means)))
            if run.done % run.settings.every == 0 or run.done == steps:
                if checkpoint is not None:
                    save_state(run.state() | {"settings": asdict(run.settings)}, checkpoint)
                save()


def _resume(run: Run, checkpoint: Path | None) -> bool:
    if checkpoint is None or not checkpoint.is_file():
        return False
    saved, settings = load_state(checkpoint), asdict(run.settings)
    changed = [k for k, v in saved["settings"].items() if k != "steps" and settings.get(k) != v]
    if changed:
        raise ValueError(f"'{checkpoint}' was made with other {', '.join(changed)}; remove it, or give the same")
    run.restore(saved)
    return True
