"""What `stylize` and `fast` take alike: a style or several, and what belongs to the n-th of them. No torch here."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import click

V = TypeVar("V")
COLOURS = ("linear", "histogram", "luma", "chroma")  # color.COLOURS, without torch


def styles_given(style: Path | None, styles: Sequence[tuple[Path, float]]) -> list[tuple[Path, float]]:
    """STYLE or what came with -s, each with its weight. Raises UsageError for both and for neither."""
    if (style is not None and styles) or not (style is not None or styles):
        raise click.UsageError("give one STYLE, or styles with -s, but not both")
    return [(style, 1.0)] if style is not None else list(styles)


def one_each(option: str, values: Sequence[V], styles: int) -> list[V | None]:
    """The n-th value for the n-th style, or None for all. Raises UsageError for another number of values."""
    if values and len(values) != styles:
        raise click.UsageError(f"{len(values)} times {option} for {styles} styles: give one each, or none")
    return list(values) or [None] * styles


def say_divided(styles: Sequence[tuple[Path, float]]) -> None:
    """Tells a person when the weights of styles do not sum to 1."""
    total = sum(weight for _, weight in styles)
    if len(styles) > 1 and abs(total - 1) > 1e-6:
        click.echo(f"the styles' weights sum to {total:g}: divided by that", err=True)
