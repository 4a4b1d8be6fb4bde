"""What a comparison found, and its four files: the sheet, the page, the table and the numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow

from gatys_lab.compare import _table
from gatys_lab.compare._judge import Scores
from gatys_lab.compare._page import page
from gatys_lab.compare._plan import Way
from gatys_lab.compare._sheet import sheet
from gatys_lab.compare._store import Painted
from gatys_lab.files import check_place, write_whole
from gatys_lab.images import check_writable, write


@dataclass(frozen=True)
class Result:
    """One way to paint, the picture it made, and what the picture scores."""

    way: Way
    painted: Painted
    scores: Scores

    @property
    def label(self) -> str:
        return self.way.label


@dataclass(frozen=True)
class Pair:
    """One photo and one painting; `rows` are the results as they are laid out, `untouched` what the photo scores."""

    content: str
    style: str
    photo: Pillow.Image
    painting: Pillow.Image
    untouched: Scores
    rows: tuple[tuple[Result, ...], ...]

    @property
    def title(self) -> str:
        return f"{self.content} in the manner of {self.style}"

    @property
    def results(self) -> tuple[Result, ...]:
        return tuple(result for row in self.rows for result in row)


@dataclass(frozen=True)
class Comparison:
    """`conditions` says what was the same for all, in one line."""

    conditions: str
    pairs: tuple[Pair, ...]

    def text(self) -> str:
        """The cross table, for a terminal."""
        return "\n\n".join(_table.text(pair) for pair in self.pairs)

    def write(self, path: str | Path, zoom: Sequence[tuple[float, float]] = ()) -> tuple[Path, ...]:
        """The contact sheet, and beside it .html, .csv and .json of the same name; which those are.

        `zoom`: up to two points that are magnified, shares of width and height from the left and the top; by default
        the two places of the photo with the most detail.
        """
        files = targets(path)
        write(sheet(self, zoom), files[0])
        makers: tuple[Callable[[Comparison], str], ...] = (page, _table.csv_text, _table.json_text)
        for file, make in zip(files[1:], makers, strict=True):
            write_whole(file, make(self).encode())
        return files


def targets(path: str | Path) -> tuple[Path, ...]:
    """The four files. Raises, before a long run, if one of them could not be written."""
    path = Path(path)
    check_writable(path)
    beside = tuple(path.with_suffix(suffix) for suffix in (".html", ".csv", ".json"))
    for file in beside:
        check_place(file)
    return path, *beside
