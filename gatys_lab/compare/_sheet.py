"""The contact sheet: photo, painting and results in a grid, each with a caption and the same two places magnified."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch.nn import functional as F

from gatys_lab.images import as_image
from gatys_lab.metrics._structure import steepness

if TYPE_CHECKING:
    from gatys_lab.compare._results import Comparison, Pair, Result

PAPER, INK, GREY = "#fbfaf7", "#26282b", "#6d7278"
MARKS = ("#e69f00", "#56b4e9")  # Okabe & Ito: told apart by the colour-blind
CELL = (360, 640)  # px that a picture is wide on the sheet, at least and at most
SIDE = 4  # how often a place fits into the photo's shorter side
WIDE = 16 / 9  # what a sheet without a grid comes near to
NO_SIGN = "\uffff"
Box = tuple[int, int, int, int]  # left, top, right, bottom in px


@dataclass(frozen=True)
class Cell:
    """One picture of the sheet. `places` are magnified below it, and outlined if it is the photo."""

    picture: Pillow.Image
    label: str
    note: str
    places: Sequence[Box] = ()
    outlined: bool = False


@dataclass(frozen=True)
class Measures:
    """All lengths in px, from a cell's width."""

    width: int
    height: int  # of the picture in it
    lines: int = 1  # of the longest label

    @property
    def gap(self) -> int:
        return self.width // 18

    @property
    def text(self) -> int:
        return self.width // 20

    @property
    def crop(self) -> int:
        return (self.width - self.inset) // 2

    @property
    def inset(self) -> int:
        return max(2, self.width // 60)

    @property
    def caption(self) -> int:
        return round((1.7 + 1.4 * self.lines) * self.text)

    @property
    def label(self) -> int:
        return round(1.15 * self.text)

    @property
    def cell(self) -> int:
        """A cell's height: picture, two crops, label and note."""
        return self.height + self.inset + self.crop + self.caption


def sheet(comparison: "Comparison", zoom: Sequence[tuple[float, float]] = ()) -> Pillow.Image:
    """One block a pair below the other, and a line that says what was the same for all."""
    blocks = [_block(pair, zoom) for pair in comparison.pairs]
    gap, text = (max(getattr(m, name) for _, m in blocks) for name in ("gap", "text"))
    grids = [_draw(*block) for block in blocks]
    width = max(grid.width for grid in grids) + 2 * gap
    top, head = round(4.2 * text) + gap, 0 if len(grids) == 1 else round(2.4 * text)
    heights = [head + grid.height + gap for grid in grids]
    page = Pillow.new("RGB", (width, top + sum(heights)), PAPER)
    draw = ImageDraw.Draw(page)
    title, large = (
        (comparison.pairs[0].title if len(grids) == 1 else f"{len(grids)} pairs of pictures"),
        round(1.7 * text),
    )
    draw.text((gap, gap), _fitting(title, large, width - 2 * gap), INK, _font(large))
    y = gap + round(2.3 * text)
    draw.text((gap, y), _fitting(comparison.conditions, text, width - 2 * gap), GREY, _font(text))
    y = top
    for pair, grid, height in zip(comparison.pairs, grids, heights, strict=True):
        if len(grids) > 1:
            draw.text((gap, y + gap // 2), _drawable(pair.title), INK, _font(round(1.2 * text)))
        page.paste(grid, (gap, y + head))
        y += height
    return page


def places(photo: Pillow.Image, zoom: Sequence[tuple[float, float]] = ()) -> tuple[Box, Box]:
    """Two squares of the photo: around the points `zoom`, shares of width and height; else those with the steepest
    detail that do not overlap."""
    steep = steepness(as_image(photo).image)  # (1, 1, H - 2, W - 2)
    side = max(1, min(photo.size) // SIDE)
    detail = F.avg_pool2d(steep, min(side, *steep.shape[2:]), 1)[0, 0]
    boxes = []
    for i in range(len(MARKS)):
        if i < len(zoom):
            centre = (share * length - side / 2 for share, length in zip(zoom[i], photo.size, strict=True))
            left, top = (min(max(0, round(at)), n - side) for at, n in zip(centre, photo.size, strict=True))
        else:
            top, left = (1 + at for at in divmod(int(detail.argmax()), detail.shape[1]))  # the steepness has no border
        boxes.append((left, top, left + side, top + side))
        detail[max(0, top - side + 1) : top + side, max(0, left - side + 1) : left + side] = -1
    return boxes[0], boxes[1]


def note(result: "Result") -> str:
    """The second line of a caption."""
    painted = result.painted
    went = "" if painted.reason in ("budget", "one pass") else f" · {painted.reason}"
    return f"style left {result.scores.style_left:.2f} · SSIM {result.scores.metrics['ssim']:.2f} · " + (
        f"{painted.seconds:.1f}\u00a0s{went}"
    )


def _block(pair: "Pair", zoom: Sequence[tuple[float, float]]) -> tuple[list[list[Cell | None]], Measures]:
    """The cells of a pair in rows, and their measures."""
    width = min(max(CELL[0], pair.photo.width), CELL[1])
    measures = Measures(width, round(width * pair.photo.height / pair.photo.width))
    at = places(pair.photo, zoom)
    known = [Cell(pair.photo, "photo", pair.content, at, outlined=True), Cell(pair.painting, "style", pair.style)]
    rows = [[Cell(r.painted.image, r.way.caption, note(r), at) for r in row] for row in pair.rows]
    lines = max(len(_lines(r.way.caption, measures.label, width)) for r in pair.results)
    measures = replace(measures, lines=lines)
    if len(rows) == 1:
        cells = [*known, *rows[0]]
        columns = _columns(len(cells), measures)
        return [_padded(cells[i : i + columns], columns) for i in range(0, len(cells), columns)], measures
    columns = max(map(len, rows))
    first = [*known, *[None] * len(rows)]
    return [[first[i], *_padded(row, columns)] for i, row in enumerate(rows)], measures


def _columns(count: int, measures: Measures) -> int:
    """For so many cells: at least 3 columns (or all), few empty places, near to `WIDE`."""

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        shape = columns * (measures.width + measures.gap) / (rows * (measures.cell + measures.gap))
        return (rows * columns - count) / count + abs(math.log(shape / WIDE))

    return min(range(min(3, count), min(count, 8) + 1), key=cost)


def _padded(cells: Sequence[Cell], columns: int) -> list[Cell | None]:
    return [*cells, *[None] * (columns - len(cells))]


def _draw(rows: Sequence[Sequence[Cell | None]], m: Measures) -> Pillow.Image:
    across, down = len(rows[0]), len(rows)
    size = (across * (m.width + m.gap) - m.gap, down * (m.cell + m.gap) - m.gap)
    grid = Pillow.new("RGB", size, PAPER)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            if cell is not None:
                _draw_cell(grid, (j * (m.width + m.gap), i * (m.cell + m.gap)), cell, m)
    return grid


def _draw_cell(grid: Pillow.Image, corner: tuple[int, int], cell: Cell, m: Measures) -> None:
    x, y = corner
    draw = ImageDraw.Draw(grid)
    picture = flat(cell.picture)
    room = m.height if cell.places else m.height + m.inset + m.crop
    scale = min(m.width / picture.width, room / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    grid.paste(picture.resize(size, Pillow.Resampling.LANCZOS), corner)
    below = y + (m.height + m.inset + m.crop if cell.places else size[1])
    for i, (box, colour) in enumerate(zip(cell.places, MARKS, strict=False)):
        at = (x + i * (m.width - m.crop), y + m.height + m.inset)
        grid.paste(picture.crop(box).resize((m.crop, m.crop), Pillow.Resampling.LANCZOS), at)
        frame = (*at, at[0] + m.crop - 1, at[1] + m.crop - 1)
        draw.rectangle(frame, outline=colour, width=m.inset // 2 + 1)
        if cell.outlined:
            left, top, right, bottom = (round(edge * scale) for edge in box)
            draw.rectangle((x + left, y + top, x + right, y + bottom), outline=colour, width=m.inset // 2 + 1)
    below, small = below + m.text // 2, round(0.85 * m.text)
    for line in _lines(cell.label, m.label, m.width):
        draw.text((x, below), line, INK, _font(m.label))
        below += round(1.4 * m.text)
    draw.text((x, below), _fitting(cell.note, small, m.width), GREY, _font(small))


def flat(picture: Pillow.Image) -> Pillow.Image:
    """The picture on paper, where it is transparent."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    paper = Pillow.new("RGB", picture.size, PAPER)
    paper.paste(picture, mask=picture.getchannel("A"))
    return paper


def _lines(label: str, size: int, width: int) -> list[str]:
    """`label` in one line or two, broken after a comma where it can be; what does not fit then is cut off."""
    whole, font = _drawable(label), _font(size)
    if font.getlength(whole) <= width:
        return [whole]
    for sign in (", ", " "):
        ends = [i + len(sign) for i in range(len(whole)) if whole.startswith(sign, i)]
        ends = [end for end in ends if font.getlength(whole[:end].rstrip()) <= width]
        if ends:
            return [whole[: ends[-1]].rstrip(), _fitting(whole[ends[-1] :], size, width)]
    return [_fitting(whole, size, width)]


def _fitting(text: str, size: int, width: int) -> str:
    """`text`, or as much of its beginning as fits into `width` px, and an ellipsis."""
    font, text = _font(size), _drawable(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _drawable(text: str) -> str:
    """`text` in the signs that Pillow's font has: letters without their accents, ? for others."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return "".join(sign if sign == " " or _shape(sign) != _shape(NO_SIGN) else "?" for sign in plain)


@cache
def _shape(sign: str) -> bytes:
    return bytes(_font(24).getmask(sign))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own, so that a sheet looks the same everywhere."""
    return ImageFont.load_default(max(8, size))
