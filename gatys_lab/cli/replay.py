"""`gatys-lab replay PICTURE -o OUT`."""

from pathlib import Path

import click

from gatys_lab.cli._engine import begin, deliver, said
from gatys_lab.cli._page import Page
from gatys_lab.cli._types import FILE, OUTPUT
from gatys_lab.config import DEFAULTS


@click.command(cls=Page, short_help="Make a picture once more, from what is recorded in it.")
@click.argument("picture", type=FILE)
@click.option("-o", "--out", required=True, type=OUTPUT, help="The picture to write: .png, .jpg, .webp or .tif.")
@click.option("--more", type=click.IntRange(min=2), metavar="N",
              help="Go on from PICTURE instead, for N evaluations at its size.")  # fmt: skip
@click.option("--content", type=FILE, help="Where the photo is now.")
@click.option("--style", "styles", type=FILE, multiple=True, help="Where a style, or a mask, is now.")
@click.option("--max-pixels", type=click.IntRange(min=1), default=DEFAULTS.max_pixels, show_default=True,
              help="Refuse larger pictures.")  # fmt: skip
@said
def command(
    picture: Path,
    out: Path,
    more: int | None,
    content: Path | None,
    styles: tuple[Path, ...],
    max_pixels: int,
    quiet: bool,
    debug: bool,
) -> int:
    """Make PICTURE once more: a PNG of stylize, a picture with its .json beside it, or that .json.

    Photo and styles are looked for where they were, beside PICTURE and here, and taken if they are still the same
    files. The exit status is 1 if the pixels are not the recorded ones; then, and before, it says what differs.

    \b
    gatys-lab replay out.png -o again.png
    gatys-lab replay out.png -o again.png --content moved/photo.jpg
    gatys-lab replay out.png -o better.png --more 100
    """
    from gatys_lab import manifest
    from gatys_lab.replay import prepare_replay

    begin(out, quiet)
    manifest.check_manifest(out)
    if out.resolve() == picture.resolve():
        raise click.UsageError(f"'{out}' is the picture itself; write to another name")
    again = prepare_replay(picture, content=content, styles=styles, max_pixels=max_pixels, more=more)
    for line in again.differs:
        click.echo(f"not as it was: {line}", err=True)
    same: list[bool] = []

    def record(result: object) -> dict[str, object]:
        same.append(again.is_same(result))  # type: ignore[arg-type]
        return manifest.record(again.job, result, again.content, again.styles)  # type: ignore[arg-type]

    status = deliver(again.job, out, quiet, record=record)
    if more is not None:
        if not quiet:
            click.echo(f"the loss of '{picture}' was {again.recorded['result']['loss']:.4g}", err=True)
        return status
    if not quiet or not same[0]:
        click.echo("the same pixels" if same[0] else "other pixels than those recorded", err=True)
    return status or int(not same[0])
