"""The loop that every training shares: batches read ahead, running means, checkpoints, resumption."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
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

    def fetch(self, step: int) -> tuple[Tensor, Tensor]:
        """Contents and styles of a step, which depend on nothing else. Called in another thread."""
        ...

    def step(self, contents: Tensor, styles: Tensor) -> dict[str, Tensor]:
        """One step, counted in `done`. Returns losses for a person to read."""
        ...

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs, tensors and numbers only."""
        ...

    def restore(self, state: dict[str, Any]) -> None: ...


def train(
    run: Run,
    checkpoint: Path,
    save: Callable[[], None],
    report: Callable[[Progress], None],
    facts: Mapping[str, Any] = MappingProxyType({}),
    leader: bool = True,
) -> None:
    """Train to the end, calling `save` with every checkpoint and `report` every twentieth step.

    A checkpoint that is there is gone on from. Raises ValueError if it was made with other settings (`steps` and
    `every` may change) or other `facts`: what else the run depends on, as strings. Of several processes the `leader`
    alone writes.
    """
    facts = {**asdict(run.settings), **facts}
    if not _resume(run, checkpoint, facts):
        run.begin()
    elif run.done >= run.settings.steps:
        save()
    began, means = time.monotonic(), dict[str, Tensor]()
    steps = run.settings.steps
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(run.fetch, run.done)
        while run.done < steps:
            batch, ahead = ahead.result(), reader.submit(run.fetch, run.done + 1)
            for name, loss in run.step(*batch).items():
                known = means.get(name, loss)
                known = torch.where(known.isfinite(), known, loss)
                means[name] = torch.where(loss.isfinite(), torch.lerp(loss, known, MEMORY), known)
            if run.done % 20 == 0 or run.done == steps:
                losses = {name: float(mean) for name, mean in means.items()}
                report(Progress(run.done, steps, time.monotonic() - began, losses))
            if leader and (run.done % run.settings.every == 0 or run.done == steps):
                save_state(run.state() | {"settings": facts}, checkpoint)
                save()


def _resume(run: Run, checkpoint: Path, facts: Mapping[str, Any]) -> bool:
    if not checkpoint.is_file():
        return False
    saved = load_state(checkpoint)
    changed = [k for k, v in saved["settings"].items() if k not in ("steps", "every") and facts.get(k) != v]
    if changed:
        raise ValueError(f"'{checkpoint}' was made with other {', '.join(changed)}; remove it, or give the same")
    run.restore(saved)
    return True
