"""The curve of a run: one row an evaluation, over all sizes."""

import time
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
    """Collects a row an evaluation; losses stay on the device until a size is done."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._pending: list[tuple[Step, float]] = []
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def __call__(self, step: Step) -> None:
        self._pending.append((replace(step, image=_NOTHING), self.seconds()))

    def end_of_size(self) -> None:
        for step, seconds in self._pending:
            parts = {name: float(part) for name, part in step.parts.items()}
            self.rows.append(Row(len(self.rows) + 1, step.size_px, seconds, float(step.loss), parts))
        self._pending.clear()
