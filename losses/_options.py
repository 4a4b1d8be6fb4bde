"""Checks of the options that reach a loss's `build()`: each returns the value or raises ValueError in one line."""

from collections.abc import Iterable
from typing import TypeVar

V = TypeVar("V")


def whole(name: str, value: int, at_least: int) -> int:
    """`value`, if it is a whole number of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{name}={value!r}; wanted a whole number of at least {at_least}")
    return value


def number(name: str, value: float, *, at_least: float | None = None, above: float | None = None) -> float:
    """`value` as a float, if it is finite and in range."""
    wanted = f"at least {at_least:g}" if at_least is not None else f"above {above:g}"
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    if not good or (at_least is not None and value < at_least) or (above is not None and value <= above):
        raise ValueError(f"{name}={value!r}; wanted a number {wanted}")
    return float(value)


def choice(name: str, value: V, known: Iterable[V]) -> V:
    """`value`, if it is one of `known`."""
    known = tuple(known)
    if value not in known:
        raise ValueError(f"{name}={value!r}; there are {', '.join(map(str, known))}")
    return value
