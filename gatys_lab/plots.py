"""Curves as .png, .svg or .pdf, drawn by matplotlib (the extra [plot]); nothing is shown on a screen."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gatys_lab.files import check_place, write_whole

FORMATS = (".png", ".svg", ".pdf")
INCHES, DPI = (7.0, 4.2), 150
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5a5a5a", "#b3a000")  # Okabe & Ito's
Points = tuple[Sequence[float], Sequence[float]]  # x, y


def check_plot_writable(path: str | Path) -> None:
    """Raises, before a long run, if `draw` could not write there."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"cannot write '{path}': no format '{path.suffix}'; wanted {', '.join(FORMATS)}")
    check_place(path)
    _matplotlib()


def draw(
    curves: Mapping[str, Points],
    path: str | Path,
    *,
    x: str,
    y: str,
    marks: Mapping[float, str] | None = None,
    logarithmic: bool = False,
) -> None:
    """Draw curves by their names, whole or not at all; `x` and `y` name the axes, `marks` places along x.

    On a logarithmic axis what is not above 0 is left out.
    """
    check_plot_writable(path)
    figure = _matplotlib().Figure(figsize=INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, yscale="log" if logarithmic else "linear")
    for place, word in (marks or {}).items():
        axes.axvline(place, color="0.85", zorder=0)
        axes.text(place, 1, f" {word}", transform=axes.get_xaxis_transform(), va="top", color="0.5", fontsize=8)
    for i, (name, (along, up)) in enumerate(curves.items()):
        up = [value if value > 0 or not logarithmic else math.nan for value in up]
        dashes = ("-", "--", ":", "-.")[i // len(COLOURS) % 4]  # a colour comes again with other dashes
        axes.plot(along, up, dashes, label=name, color=COLOURS[i % len(COLOURS)], linewidth=1.4)
    axes.spines[["top", "right"]].set_visible(False)
    if curves:
        axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(path).suffix.lower()[1:], dpi=DPI)
    write_whole(Path(path), buffer.getbuffer())


def _matplotlib() -> Any:
    try:
        from matplotlib import figure
    except ImportError as error:
        raise ValueError(f'curves need matplotlib ({error}): pip install "gatys_lab[plot]"') from None
    return figure
