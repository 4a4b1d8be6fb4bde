"""`gatys-lab texture STYLE -o OUT`."""

from pathlib import Path
from typing import Any

import click

from gatys_lab.cli._engine import WEIGHT, begin, deliver, measured, said, scaled, seen_through, tv_kind, worked
from gatys_lab.cli._options import one_each, styles_given
from gatys_lab.cli._page import Page
from gatys_lab.cli._types import FILE, OUTPUT, Size, WeightedFile
from gatys_lab.config import BALANCED_TV, DEFAULTS

OF_EACH = ("style-mask", "own-loss")  # what the n-th style has of its own


@click.command(cls=Page, short_help="Make more of a style, of any size, as a tile if wanted.")
@click.argument("style", type=FILE, required=False)
@click.option("-o", "--out", required=True, type=OUTPUT, help="The picture to write: .png, .jpg, .webp or .tif.")
@click.option("-s", "--style", "styles", type=WeightedFile(), multiple=True,
              help="bark.jpg:0.7 is a style and its weight; instead of STYLE, for several.")  # fmt: skip
@click.option("--size", type=Size(), default=str(DEFAULTS.size_px), show_default=True,
              help="Width and height in pixels, 640x384, or one number for both.")  # fmt: skip
@click.option("--tileable", is_flag=True, help="Put beside itself it has no seam. Sides: multiples of 16.")
@click.option("--style-size", "style_px", type=click.IntRange(min=1),
              help="The style's longest side.  [default: its own, but no more than the result's]")  # fmt: skip
@click.option("--style-mask", type=FILE, multiple=True, help="White: what counts of the n-th style.")
@measured
@click.option("--tv", type=WEIGHT, default=BALANCED_TV, show_default=True, help="Weight of total variation: smooths.")
@tv_kind
@worked
@scaled
@seen_through
@said
def command(style: Path | None, out: Path, quiet: bool, debug: bool, **options: Any) -> int:
    """Make a texture that has the style of the picture STYLE, and shows nothing.

    \b
    gatys-lab texture bark.jpg -o more.png --size 1024x512
    gatys-lab texture bark.jpg -o tile.png --size 512 --tileable
    """
    given = styles_given(style, options.pop("styles"))
    masks, losses = (one_each(f"--{name}", options.pop(name.replace("-", "_")), len(given)) for name in OF_EACH)
    from gatys_lab.styles import Style
    from gatys_lab.texture import prepare_texture

    begin(out, quiet)
    width, height = options.pop("size")
    each = zip(given, masks, losses, strict=True)
    styles = [Style(path, weight, style_mask=mask, loss=loss) for (path, weight), mask, loss in each]
    return deliver(prepare_texture(styles, height, width, **options), out, quiet, given)
