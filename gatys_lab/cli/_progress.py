"""What a person sees while the engine works: where it stands, the loss, the time left."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import click

EVERY = 0.1  # seconds between two looks at the loss: each look waits for the device


class Bar:
    """A callback for `Job.run`. Work is counted in pixels, so that time left is right from coarse to fine.

    On a terminal a bar; elsewhere one line a size.
    """

    def __init__(self, sizes: Sequence[int], evaluations: int) -> None:
        self._work = sum(size * size * evaluations for size in sizes)
        self._bar = click.progressbar(
            length=self._work, file=sys.stderr, width=28, show_percent=True, item_show_func=lambda item: item
        )
        self._terminal = sys.stderr.isatty()
        self._waiting, self._looked, self._text = 0, 0.0, ""

    def __enter__(self) -> "Bar":
        if self._terminal:
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            self._bar.__exit__(kind, error, trace)

    def __call__(self, step: Any) -> None:
        last = step.evaluation == step.evaluations
        self._waiting += step.size_px**2
        if not last and time.monotonic() - self._looked < EVERY:
            return
        self._looked = time.monotonic()
        text = f"{step.size_px} px  {step.evaluation}/{step.evaluations}  loss {float(step.loss):.4g}"
        if self._terminal:
            self._bar.update(self._waiting, text)
        elif last:
            click.echo(f"{text}  {step.seconds:.1f} s", err=True)
        self._waiting = 0
