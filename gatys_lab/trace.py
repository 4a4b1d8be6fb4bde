"""The curve of a run: one row an evaluation, over all sizes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from gatys_lab.types import Step


@dataclass(frozen=True)
class Row:
    """One evaluation in a trace. `parts` are weighted and sum to `total`."""

    evaluation: int  # 1, 2, ... over the whole job
    size_px: int
    seconds: float  # since the job began
    total: float
    parts: dict[str, float]


_NOTHING = torch.empty(0)  # a trace keeps no images


class Trace:
    """Collects a row an evaluation; losses stay on the device until `settle`."""

    def __init__(self, rows: Sequence[Row] = (), seconds: float = 0.0) -> None:
        """Of a run that goes on: the rows so far, and how long it took."""
        self.rows = list(rows)
        self._pending: list[tuple[Step, float]] = []
        self._began = time.monotonic() - seconds

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def __call__(self, step: Step) -> None:
        self._pending.append((replace(step, image=_NOTHING), self.seconds()))

    def settle(self) -> None:
        """Bring the losses from the device: at the end of a size, or to keep them."""
        for step, seconds in self._pending:
            parts = {name: float(part) for name, part in step.parts.items()}
            self.rows.append(Row(len(self.rows) + 1, step.size_px, seconds, float(step.loss), parts))
        self._pending.clear()
