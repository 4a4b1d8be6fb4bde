"""`gatys-lab style save`: a painting's style as a small file, for `fast` and for programs."""

from pathlib import Path
from typing import Any

import click

from gatys_lab import catalog
from gatys_lab.cli._types import FILE, MODEL
from gatys_lab.config import DEFAULTS


@click.group(short_help="Save a painting's style for a feed-forward model.")
def command() -> None:
    """Save a painting's style for a feed-forward model."""


@command.command()
@click.argument("painting", type=FILE)
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="A .safetensors file.")  # fmt: skip
@click.option("--model", type=MODEL, default="adain", show_default=True,
              help=f"{', '.join(catalog.names('models'))}; with options as for `fast`.")  # fmt: skip
@click.option("--size", "size_px", type=click.IntRange(min=1), help="Longest side.  [default: the painting's own]")
@click.option("--mask", type=FILE, help="White: what counts of the painting.")
@click.option("--max-pixels", type=click.IntRange(min=1), default=DEFAULTS.max_pixels, show_default=True,
              help="Refuse larger pictures.")  # fmt: skip
@click.option("--encoder", help="As for `fast`.")
@click.option("--weights", type=click.Path(exists=True, path_type=Path), help="As for `fast`.")
def save(
    painting: Path,
    out: Path,
    model: tuple[str, dict[str, Any]],
    size_px: int | None,
    mask: Path | None,
    max_pixels: int,
    encoder: str | None,
    weights: Path | None,
) -> None:
    """Keep the style of PAINTING in a file, which serves the same model with the same weights.

    \b
    gatys-lab style save painting.jpg -o style.safetensors
    gatys-lab fast photo.jpg style.safetensors -o out.png
    """
    from gatys_lab.files import check_target
    from gatys_lab.images import read, resize
    from gatys_lab.masks import fit_mask, read_mask
    from gatys_lab.models import save_style

    check_target(out, ".safetensors")
    name, own = model
    network = catalog.load("models", name, **{"weights": weights, "encoder": encoder, **own})
    image = read(painting, max_pixels=max_pixels).image
    image = image if size_px is None else resize(image, size_px)
    region = None if mask is None else fit_mask(read_mask(mask, max_pixels=max_pixels), image, "painting")
    save_style(network.style_of(image, region), network, out)
    click.echo(f"{out}", err=True)
