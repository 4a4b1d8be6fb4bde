"""The curve of a run: one row an evaluation, over all sizes."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from gatys_lab import plots
from gatys_lab.engine import FENCE
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


def by_loss(parts: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Parts over time, the layers of a loss added up; without the fence, which is next to nothing."""
    groups: dict[str, list[float]] = {}
    for name, values in parts.items():
        if name != FENCE:
            group = name.split(" ")[0]
            groups[group] = [a + b for a, b in zip(groups.get(group, [0.0] * len(values)), values, strict=True)]
    return groups


def draw(rows: Sequence[Row], path: str | Path) -> None:
    """The curves of a run over its evaluations, as plots.draw: its total, and its losses, from size to size."""
    names = dict.fromkeys(name for row in rows for name in row.parts)  # a size may have other parts than the next
    parts = by_loss({name: [row.parts.get(name, math.nan) for row in rows] for name in names})
    steps = [row.evaluation for row in rows]
    curves = {"total": [row.total for row in rows], **parts}
    begun = {row.size_px: row.evaluation for row in reversed(rows)}
    plots.draw(
        {name: (steps, values) for name, values in curves.items()},
        path,
        x="evaluations",
        y="loss",
        marks={first: f"{size} px" for size, first in begun.items()},
        logarithmic=True,
    )
