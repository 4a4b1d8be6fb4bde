"""What the notebooks of this folder show things with: tables of pictures, and colours for curves."""

import io
from collections.abc import Mapping
from typing import Any

from IPython.display import Image, display
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from gatys_lab.images import to_pil

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000"]  # Okabe and Ito's, told apart by everybody
DASHES = ["-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1))]
TEXT_PX, LINE_PX, GAP_PX = 12, 16, 6


def pictures(row: Mapping[str, Any], px: int = 200) -> None:
    """A row of pictures (PIL, or tensors (1, 3, H, W)), `px` wide, each below its title, which may have two lines."""
    table({"": row}, px)


def table(rows: Mapping[str, Mapping[str, Any]], px: int = 160) -> None:
    """Rows of pictures, each row with a title at its left. Titles that are those of the row above are not repeated."""
    font, ink = ImageFont.load_default(TEXT_PX), (40, 40, 40)
    left = max(round(font.getlength(line)) for title in rows for line in title.split("\n"))
    left += GAP_PX if left else 0
    sheet = Pillow.new("RGB", (left + max(map(len, rows.values())) * (px + GAP_PX), 8192), "white")
    draw, y, above = ImageDraw.Draw(sheet), 0, []
    for title, row in rows.items():
        if list(row) != above:
            y += LINE_PX * max(1 + name.count("\n") for name in row)
            for i, name in enumerate(row):
                place = (left + i * (px + GAP_PX) + px / 2, y - 3)
                draw.multiline_text(place, name, ink, font, anchor="md", align="center")
            above = list(row)
        images = [_sized(picture, px) for picture in row.values()]
        draw.multiline_text((0, y + images[0].height / 2), title, ink, font, anchor="lm")
        for i, image in enumerate(images):
            sheet.paste(image, (left + i * (px + GAP_PX), y))
        y += max(image.height for image in images) + GAP_PX
    file = io.BytesIO()
    sheet.crop((0, 0, sheet.width, y)).save(file, "JPEG", quality=82)
    display(Image(file.getvalue(), format="jpeg"))


def _sized(picture: Any, px: int) -> Pillow.Image:
    image = to_pil(picture) if isinstance(picture, Tensor) else picture.convert("RGB")
    return image.resize((px, max(1, round(px * image.height / image.width))), Pillow.Resampling.LANCZOS)
