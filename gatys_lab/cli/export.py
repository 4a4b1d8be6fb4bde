"""`gatys-lab export adain -o model.onnx`."""

from pathlib import Path

import click

from gatys_lab import catalog
from gatys_lab.cli._types import FILE


@click.command(short_help="Write a feed-forward model as ONNX.")
@click.argument("model", type=click.Choice(["adain"]))
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="An .onnx file.")
@click.option("--encoder", help="As for `fast`.")
@click.option("--weights", type=FILE, help="As for `fast`.")
def command(model: str, out: Path, encoder: str | None, weights: Path | None) -> None:
    """Write MODEL for other runtimes: inputs content, style (1, 3, H, W; sRGB in [0, 1]) and alpha, output picture.

    Wants the packages of `pip install "gatys-lab[onnx]"`.
    """
    from gatys_lab.export import to_onnx

    to_onnx(catalog.load("models", model, weights=weights, encoder=encoder), out)
    click.echo(f"{out}", err=True)
