"""The cross table as text, CSV and JSON. Style: 0 is the style itself, 1 the untouched photo."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gatys_lab import __version__
from gatys_lab.compare._judge import METRICS, Scores
from gatys_lab.compare._plan import Way

if TYPE_CHECKING:
    from gatys_lab.compare._results import Comparison, Pair, Result

COST = ("seconds", "evaluations", "reason")
PHOTO = "untouched photo"


def text(pair: "Pair") -> str:
    """Two tables below each other, for a terminal."""
    losses = list(pair.untouched.style)
    scored = [(PHOTO, pair.untouched, [""] * len(COST)), *((r.label, r.scores, _cost(r)) for r in pair.results)]
    style = [["", *losses, "style left"], *([label, *map(_short, _style(s))] for label, s, _ in scored)]
    kept = [["", *METRICS, *COST]]
    kept += [[label, *map(_short, s.metrics.values()), *cost] for label, s, cost in scored]
    said = "style by every loss: 0 the style (style-swap: its target), 1 the photo; style left: mean without style-swap"
    then = "kept of the photo, colours, cost (more is better for ssim and edges)"
    return "\n".join([pair.title, "", said, *_aligned(style), "", then, *_aligned(kept)])


def header(pair: "Pair") -> list[str]:
    """What a row of `row` says."""
    return [*(f"style by {name}" for name in pair.untouched.style), "style left", *METRICS, *COST]


def row(result: "Result") -> list[Any]:
    painted = result.painted
    return [*_style(result.scores), *result.scores.metrics.values(), *(getattr(painted, name) for name in COST)]


def untouched(pair: "Pair") -> list[Any]:
    return [*_style(pair.untouched), *pair.untouched.metrics.values(), 0.0, 0, ""]


def csv_text(comparison: "Comparison") -> str:
    """A line a picture, the untouched photo's first; empty where there is nothing to measure."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["content", "style", "result", *header(comparison.pairs[0])])
    for pair in comparison.pairs:
        for label, values in [(PHOTO, untouched(pair)), *((r.label, row(r)) for r in pair.results)]:
            table.writerow([pair.content, pair.style, label, *("" if v is None else v for v in map(_json, values))])
    return out.getvalue()


def json_text(comparison: "Comparison") -> str:
    """The table and every run's curve: evaluation, size_px, seconds, total, and parts by name."""
    pairs = [
        {
            "content": pair.content,
            "style": pair.style,
            "untouched": _scores(pair.untouched),
            "results": [
                {"result": r.label, "options": _options(r.way), **_scores(r.scores),
                 **{name: getattr(r.painted, name) for name in COST}, "curve": r.painted.curve}
                for r in pair.results
            ],
        }
        for pair in comparison.pairs
    ]  # fmt: skip
    whole = {"gatys_lab": __version__, "conditions": comparison.conditions, "pairs": pairs}
    return json.dumps(_json(whole), ensure_ascii=False, allow_nan=False, indent=1)


def _options(way: Way) -> dict[str, Any]:
    """What is not the same for all, losses and models as a caption names them."""
    if way.model is not None:
        return {"model": str(way.model)}
    return {**way.options, "style_loss": " + ".join(map(str, way.options["style_loss"]))}


def _scores(scores: Scores) -> dict[str, Any]:
    return {"style": dict(scores.style), "style_left": scores.style_left, "metrics": dict(scores.metrics)}


def _style(scores: Scores) -> list[float]:
    return [*scores.style.values(), scores.style_left]


def _cost(result: "Result") -> list[str]:
    painted = result.painted
    return [f"{painted.seconds:.1f}", str(painted.evaluations), painted.reason]


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _json(value: Any) -> Any:
    """`value` with six digits a number, and None where there is none."""
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Columns as wide as their widest, the first to the left, the others to the right."""
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(rows[0]))]
    for cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        yield "  ".join([cells[0].ljust(widths[0]), *numbers]).rstrip()
