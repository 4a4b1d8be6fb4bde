"""`gatys-lab reconstruct PHOTO -o OUT`."""

from pathlib import Path
from typing import Any

import click

from gatys_lab.cli._engine import WEIGHT, begin, deliver, said, seen_through, tv_kind, worked
from gatys_lab.cli._page import Page
from gatys_lab.cli._types import FILE, LAYERS, OUTPUT
from gatys_lab.config import DEFAULTS
from gatys_lab.specs import layers_text


@click.command(cls=Page, short_help="Show what a layer of the network knows of a photograph.")
@click.argument("photo", type=FILE)
@click.option("-o", "--out", required=True, type=OUTPUT, help="The picture to write: .png, .jpg, .webp or .tif.")
@click.option("--layers", type=LAYERS, default=layers_text(DEFAULTS.content_layers), show_default=True,
              help="The layers that are kept.")  # fmt: skip
@click.option("--size", "size_px", type=click.IntRange(min=1), default=DEFAULTS.size_px, show_default=True,
              help="Longest side in pixels; never enlarges the photo.")  # fmt: skip
@click.option("--tv", type=WEIGHT, default=0.0, show_default=True, help="Weight of total variation: smooths.")
@tv_kind
@worked
@seen_through
@said
def command(photo: Path, out: Path, layers: dict[str, float], quiet: bool, debug: bool, **options: Any) -> int:
    """Make, from noise, a picture that has the features of PHOTO at some layers: what they know of it.

    \b
    gatys-lab reconstruct photo.jpg -o remembered.png --layers relu4_2
    """
    from gatys_lab.texture import prepare_reconstruction

    begin(out, quiet)
    return deliver(prepare_reconstruction(photo, layers, **options), out, quiet)
