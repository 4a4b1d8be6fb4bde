"""The page: one file with everything in it, pictures too, and a slider between any two results."""

import base64
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from gatys_lab.compare import _table
from gatys_lab.compare._curves import chart, part_lines, total_lines
from gatys_lab.compare._judge import METRICS
from gatys_lab.compare._sheet import flat, note
from gatys_lab.images import encode

if TYPE_CHECKING:
    from gatys_lab.compare._results import Comparison, Pair

TEMPLATE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
AXES = ("evaluation", "seconds")


def page(comparison: "Comparison") -> str:
    title = ", ".join(pair.title for pair in comparison.pairs[:3])
    pairs = "\n".join(_section(pair, titled=len(comparison.pairs) > 1) for pair in comparison.pairs)
    title += "" if len(comparison.pairs) <= 3 else ", …"
    return TEMPLATE.substitute(title=escape(title), conditions=escape(comparison.conditions), pairs=pairs)


def _section(pair: "Pair", titled: bool) -> str:
    pictures = [("photo", pair.content, pair.photo), ("style", pair.style, pair.painting)]
    pictures += [(r.label, note(r), r.painted.image) for r in pair.results]
    last = len(pictures) - 1
    parts = [
        f"<h2>{escape(pair.title)}</h2>" if titled else "<h2>Pictures</h2>",
        f'<div class="gallery">{"".join(_figure(*each) for each in pictures)}</div>',
        "<h3>One against another</h3>",
        f'<div class="choices">{_choice("Left", pictures, 2)}{_choice("Right", pictures, min(3, last))}</div>',
        '<div class="slider"><img alt=""><img class="over" alt=""><i></i>'
        '<input type="range" min="0" max="100" value="50" step="0.5" aria-label="how much of the left picture"></div>',
        _cross_table(pair),
        _charts(pair),
    ]
    return f"<section>{''.join(parts)}</section>"


def _figure(label: str, small: str, picture: Pillow.Image) -> str:
    data = base64.b64encode(encode(flat(picture), ".jpg")).decode()
    alt = escape(label, quote=True)
    image = f'<img src="data:image/jpeg;base64,{data}" alt="{alt}" width="{picture.width}" height="{picture.height}">'
    return f"<figure>{image}<figcaption>{escape(label)}<small>{escape(small)}</small></figcaption></figure>"


def _choice(name: str, pictures: Sequence[tuple[str, str, Pillow.Image]], chosen: int) -> str:
    options = "".join(
        f'<option value="{i}"{" selected" if i == chosen else ""}>{escape(label)}</option>'
        for i, (label, _, _) in enumerate(pictures)
    )
    return f"<label>{name} <select>{options}</select></label>"


def _cross_table(pair: "Pair") -> str:
    rows = [(_table.PHOTO, _table.untouched(pair)), *((r.label, _table.row(r)) for r in pair.results)]
    head, best = [*pair.untouched.style, "style left", *METRICS, *_table.COST], _best(pair)
    spans = {"style": len(pair.untouched.style) + 1, "kept of the photo": 4, "colours": 2, "cost": len(_table.COST)}
    groups = "".join(f'<th colspan="{span}" class="group">{name}</th>' for name, span in spans.items())
    cells = "".join(
        f"<tr><th>{escape(label)}</th>"
        + "".join(
            f"<td{' class=best' if best[i] == value and n else ''}>{_shown(value)}</td>"
            for i, value in enumerate(values)
        )
        + "</tr>"
        for n, (label, values) in enumerate(rows)
    )
    kept = "; ".join(f"{name}: {said}{' (more is better)' if more else ''}" for name, (said, more) in METRICS.items())
    return (
        "<h3>Cross table</h3>"
        "<p>Style, by every loss, whichever a picture was painted with: 0 is the style itself (of style swap, its "
        f"target), 1 the untouched photo; style left is the mean without style swap. "
        f"{escape(kept[0].upper() + kept[1:])}. The best of each column is shaded.</p>"
        f'<div class="table"><table><thead><tr><th></th>{groups}</tr>'
        f"<tr><th></th>{''.join(f'<th>{escape(h)}</th>' for h in head)}</tr></thead>"
        f"<tbody>{cells}</tbody></table></div>"
    )


def _best(pair: "Pair") -> list[object]:
    """The best value of each column among the results, None for one that has no best."""
    columns = zip(_table.header(pair), *(_table.row(result) for result in pair.results), strict=True)
    chosen: list[object] = []
    for name, *values in columns:
        numbers = [v for v in values if isinstance(v, float) and not math.isnan(v)]
        more = METRICS.get(name, ("", False))[1]
        chosen.append((max(numbers) if more else min(numbers)) if len(numbers) > 1 else None)
    return chosen


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.2f}"
    return escape(str(value))


def _charts(pair: "Pair") -> str:
    curves = {r.label: r.painted.curve for r in pair.results if r.painted.curve["total"]}
    if not curves:
        return ""
    totals = "".join(_chart(chart(total_lines(curves, axis), axis, "total, first = 1")) for axis in AXES)
    each = "".join(
        _chart(chart(part_lines(curve, axis), axis, "loss"), f"{label}, over {axis}")
        for label, curve in curves.items()
        for axis in AXES
    )
    return (
        '<h3>Curves</h3><p>Every run\'s total at its last size, divided by its first value there.</p>'
        f'<div class="charts">{totals}</div>'
        "<details><summary>Parts of each run</summary><p>Weighted, over all sizes; a jump is the step to a larger "
        f'size, where the balance is measured anew.</p><div class="charts">{each}</div></details>'
    )  # fmt: skip


def _chart(svg: str, title: str = "") -> str:
    return f"<div>{f'<b>{escape(title)}</b>' if title else ''}{svg}</div>"
