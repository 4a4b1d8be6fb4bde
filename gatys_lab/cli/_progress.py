"""What a person sees while the engine works: where it stands, the loss, the time left."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import click

PARTS = 1000  # of a picture, on a bar over many
EVERY = 0.1  # seconds between two looks at the loss: each look waits for the device


class Bar:
    """A callback for `Job.run`. Work is counted in pixels, so that time left is right from coarse to fine.

    On a terminal a bar; elsewhere one line a size.
    """

    def __init__(self, budgets: Mapping[int, int]) -> None:
        """`budgets`: evaluations by size."""
        self._work = work_of(budgets)
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


class Whole:
    """How far many pictures are: on a terminal one bar over all, elsewhere a line each, with the time left.

    `Whole(count).watch` is a `batch.Watch`. The time left takes the pictures for alike.
    """

    def __init__(self, count: int, quiet: bool = False) -> None:
        self._count, self._quiet, self._began = count, quiet, time.monotonic()
        self._bar = click.progressbar(
            length=count * PARTS, file=sys.stderr, width=28, show_percent=True, item_show_func=lambda item: item
        )
        self._terminal = sys.stderr.isatty() and not quiet

    def __enter__(self) -> "Whole":
        if self._terminal:
            self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._terminal:
            self._bar.__exit__(*error)

    @contextmanager
    def watch(self, number: int, pair: Any, job: Any) -> Iterator[Sequence[Callable[[Any], None]]]:
        work, done, looked = work_of(job.budgets), 0, 0.0

        def show(step: Any) -> None:
            nonlocal done, looked
            done += step.size_px**2
            if time.monotonic() - looked >= EVERY:
                looked = time.monotonic()
                place = (number + min(done / work, 1)) * PARTS
                self._bar.update(int(place) - self._bar.pos, f"{number + 1}/{self._count}  {pair.out.name}")

        yield (show,) if self._terminal else ()

    def tell(self, number: int, text: str) -> None:
        """Of the n-th picture, from 0, what became of it."""
        if self._terminal:
            self._bar.update((number + 1) * PARTS - self._bar.pos)
        elif not self._quiet:
            left = (time.monotonic() - self._began) / (number + 1) * (self._count - number - 1)
            rest = f"  ({duration(left)} left)" if left else ""
            click.echo(f"{number + 1}/{self._count}  {text}{rest}", err=True)


def work_of(budgets: Mapping[int, int]) -> int:
    """Of evaluations by size, in pixels."""
    return sum(size * size * evaluations for size, evaluations in budgets.items())


def became(result: Any) -> str:
    """What became of a run: size, loss, why it ended."""
    return f"{result.image.width} x {result.image.height} px, loss {result.loss:.4g}, {result.reason}"


def duration(seconds: float) -> str:
    """For a person: 8 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def gigabytes(count: int) -> str:
    """Bytes for a person: 0.8 GB."""
    return f"{count / 1e9:.1f} GB"
