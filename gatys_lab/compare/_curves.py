"""Losses over evaluations and seconds, as SVG that stands in a page. Logarithmic: what is not above 0 is left out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from gatys_lab.plots import COLOURS
from gatys_lab.trace import by_loss

WIDTH, HEIGHT = 460, 230  # of a chart, in its own px
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 38
DASHES = ("", "6 3", "2 3", "8 3 2 3")  # a colour comes again with another dash


@dataclass(frozen=True)
class Line:
    label: str
    x: Sequence[float]
    y: Sequence[float]


def total_lines(curves: Mapping[str, Mapping[str, Any]], axis: str) -> list[Line]:
    """Each run's total at its last size, divided by the first one there: where all begin at 1."""
    lines = []
    for label, curve in curves.items():
        rows = [i for i, size in enumerate(curve["size_px"]) if size == curve["size_px"][-1]]
        if rows and curve["total"][rows[0]] > 0:
            start = curve["total"][rows[0]]
            x = [curve[axis][i] - (curve[axis][rows[0] - 1] if rows[0] else 0) for i in rows]
            lines.append(Line(label, x, [curve["total"][i] / start for i in rows]))
    return lines


def part_lines(curve: Mapping[str, Any], axis: str) -> list[Line]:
    """A run's total, and its losses."""
    groups = by_loss(curve["parts"])
    return [Line(name, curve[axis], values) for name, values in {"total": curve["total"], **groups}.items()]


def chart(lines: Sequence[Line], axis: str, what: str) -> str:
    """One <svg> with axes and a legend below it, as HTML."""
    points = [(x, y) for line in lines for x, y in zip(line.x, line.y, strict=True) if _drawn(y)]
    if not points:
        return ""
    low, high = (math.log10(f(y for _, y in points)) for f in (min, max))
    low, high = (low, high) if high - low > 0.1 else (low - 0.05, high + 0.05)
    last = max(x for x, _ in points) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / last
        return across, TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(y)) / (high - low)

    body = [*_axes(low, high, last, axis, what, place), *(_path(i, line, place) for i, line in enumerate(lines))]
    label = escape(f"{what} over {axis}: {', '.join(line.label for line in lines)}", quote=True)
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(body)}</svg>'
    return svg + f'<p class="legend">{"".join(_key(i, line) for i, line in enumerate(lines))}</p>'


def _drawn(value: float | None) -> bool:
    return value is not None and 0 < value < math.inf


def _look(i: int) -> str:
    dash = DASHES[i // len(COLOURS) % len(DASHES)]
    return f'stroke="{COLOURS[i % len(COLOURS)]}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _path(i: int, line: Line, place: Any) -> str:
    """A line, broken where there is nothing to draw."""
    words, pen = [], "M"
    for x, y in zip(line.x, line.y, strict=True):
        if _drawn(y):
            words.append("{}{:.1f} {:.1f}".format(pen, *place(x, y)))
            pen = "L"
        else:
            pen = "M"
    return f'<path d="{"".join(words)}" fill="none" stroke-width="1.6" stroke-linejoin="round" {_look(i)}/>'


def _key(i: int, line: Line) -> str:
    mark = f'<svg viewBox="0 0 22 8" class="key"><path d="M0 4H22" stroke-width="2.4" {_look(i)}/></svg>'
    return f"<span>{mark}{escape(line.label)}</span>"


def _axes(low: float, high: float, last: float, axis: str, what: str, place: Any) -> list[str]:
    floor, parts = HEIGHT - BOTTOM, []
    for value in _decades(low, high):
        y = place(0, value)[1]
        parts.append(f'<path class="rule" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{value:.3g}</text>')
    for value in _round_numbers(last):
        x = LEFT + (WIDTH - LEFT - RIGHT) * value / last
        parts.append(f'<text x="{x:.1f}" y="{floor + 15}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{escape(axis)}</text>')
    parts.append(f'<text transform="translate(11 {(TOP + floor) / 2}) rotate(-90)" text-anchor="middle">{what}</text>')
    return parts


def _decades(low: float, high: float) -> list[float]:
    """Round numbers between 10^low and 10^high: powers of ten, with 2 and 5 where there are few."""
    for digits in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        marks = [d * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for d in digits]
        inside = [m for m in marks if low - 1e-9 <= math.log10(m) <= high + 1e-9]
        if len(inside) >= 3:
            return inside if len(inside) <= 7 else inside[:: math.ceil(len(inside) / 7)]
    return [10**low, 10**high]


def _round_numbers(last: float) -> list[float]:
    """0 and four to nine round numbers up to `last`."""
    step = 10 ** math.floor(math.log10(last))
    step = next(s for s in (step * 2, step, step / 2, step / 5, step / 10) if last / s >= 4)
    return [i * step for i in range(int(last / step + 1e-9) + 1)]
