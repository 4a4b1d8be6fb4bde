"""`gatys-lab fast CONTENT [STYLE] -o OUT`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from gatys_lab import catalog
from gatys_lab.cli._types import FILE, Region, WeightedFile

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
PLACE = click.Path(exists=True, readable=True, path_type=Path, allow_dash=True)


@click.command(short_help="Paint at once, with a trained feed-forward model.")
@click.argument("content", type=PLACE)
@click.argument("style", type=FILE, required=False)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, allow_dash=True),
              help="The picture to write; a folder, for a folder of contents; - for standard output.")  # fmt: skip
@click.option("-s", "--style", "styles", type=WeightedFile(), multiple=True,
              help="painting.jpg:0.7 is a style and its weight; instead of STYLE, for several.")  # fmt: skip
@click.option("--model", type=click.Choice(catalog.names("models")), default="adain", show_default=True)
@click.option("--alpha", type=click.FloatRange(0, 1), default=1.0, show_default=True,
              help="Strength: 0 is the photo, 1 the style.")  # fmt: skip
@click.option("--size", "size_px", type=click.IntRange(min=1), help="Longest side.  [default: each picture's own]")
@click.option("--style-size", "style_px", type=click.IntRange(min=1), help="The same of the style.")
@click.option("--content-mask", type=FILE, multiple=True, help="White: where the n-th style is painted.")
@click.option("--style-mask", type=FILE, multiple=True, help="White: what counts of the n-th style.")
@click.option("--region", "points", type=Region(), multiple=True,
              help="Paint what lies around a point of the photo like what lies around one of the style.")  # fmt: skip
@click.option("--colour", type=click.Choice(["linear", "histogram", "luma"]), help="Keep the photo's colours.")
@click.option("--encoder", help="lite, vgg19, or a file of VGG-19's weights.  [default: what the weights ask for]")
@click.option("--weights", type=click.Path(exists=True, path_type=Path),
              help="Weights of your own, or the published ones (a file; for adaattn a folder).")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads.  [default: all cores]")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(content: Path, style: Path | None, out: Path, quiet: bool, debug: bool, **options: Any) -> int:
    """Paint CONTENT, a photograph or a folder of them, in the manner of the picture or style file STYLE.

    \b
    gatys-lab fast photo.jpg painting.jpg -o out.png
    gatys-lab fast photo.jpg -s painting.jpg:0.7 -s other.jpg:0.3 -o out.png --alpha 0.8
    gatys-lab fast photos/ painting.jpg -o painted/
    cat photo.jpg | gatys-lab fast - painting.jpg -o - > out.png
    """
    given = [*([(style, 1.0)] if style is not None else []), *options.pop("styles")]
    if (style is not None and len(given) > 1) or not given:
        raise click.UsageError("give one STYLE, or styles with -s, but not both")
    from gatys_lab.images import check_writable

    whole_folder = content != Path("-") and content.is_dir()
    if whole_folder:
        if out.exists() and not out.is_dir():
            raise click.UsageError(f"'{content}' is a folder and '{out}' is a file; wanted a folder for the pictures")
        out.mkdir(parents=True, exist_ok=True)
    elif out != Path("-"):
        check_writable(out)
    if options["points"] and (whole_folder or content == Path("-")):
        raise click.UsageError("--region names a point of one photo; give one file, not a folder or -")
    painter = _painter(content, given, **options)
    jobs = list(_jobs(content, out))
    if not jobs:
        raise ValueError(f"no pictures in '{content}'; wanted {', '.join(SUFFIXES)}")
    failed = 0
    hidden = quiet or len(jobs) == 1
    with click.progressbar(jobs, file=sys.stderr, hidden=hidden, item_show_func=lambda job: job and job[1].name) as bar:
        for source, target in bar:
            try:
                _paint(painter, source, target)
            except (ValueError, OSError) as error:
                if not whole_folder:
                    raise
                failed += 1
                click.echo(f"gatys-lab: {error}", err=True)
    if not quiet and out != Path("-"):
        click.echo(f"{out}" + (f"  ({len(jobs) - failed} of {len(jobs)} pictures)" if whole_folder else ""), err=True)
    return 1 if failed else 0


def _painter(content: Path, given: list[tuple[Path, float]], **options: Any) -> Any:
    import torch

    from gatys_lab import devices
    from gatys_lab.fast import Painter

    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    device = devices.choose(options["device"])
    model = catalog.load("models", options["model"], weights=options["weights"], encoder=options["encoder"]).to(device)
    return Painter(
        model, _sources(content, given, model, **options),
        options["alpha"], options["colour"], options["size_px"], options["style_px"], device,
    )  # fmt: skip


def _sources(content: Path, given: list[tuple[Path, float]], network: Any, **options: Any) -> Any:
    from gatys_lab.fast import regions, source
    from gatys_lab.images import read

    if options["points"]:
        if len(given) > 1 or options["content_mask"] or options["style_mask"] or given[0][0].suffix == ".safetensors":
            raise click.UsageError("--region goes with one STYLE, a picture, and without masks")
        return regions(given[0][0], read(content), options["points"])
    masks: dict[str, list[Path | None]] = {}
    for kind in ("content_mask", "style_mask"):
        files = list(options[kind])
        if files and len(files) != len(given):
            name = kind.replace("_", "-")
            raise click.UsageError(f"{len(files)} times --{name} for {len(given)} styles: give one each, or none")
        masks[kind] = files or [None] * len(given)
    return [
        source(path, network, weight=weight, content_mask=where, style_mask=what)
        for (path, weight), where, what in zip(given, masks["content_mask"], masks["style_mask"], strict=True)
    ]


def _jobs(content: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    from gatys_lab.images import FORMATS

    if content == Path("-") or not content.is_dir():
        yield content, out
        return
    for file in sorted(content.iterdir()):
        if file.suffix.lower() in SUFFIXES:
            kept = file.suffix.lower() in FORMATS
            yield file, out / (file.name if kept else file.with_suffix(".png").name)


def _paint(painter: Any, source: Path, target: Path) -> None:
    from gatys_lab.images import as_image, encode, read, write

    picture = as_image(_stdin()) if source == Path("-") else read(source)
    result = painter(picture)
    if target == Path("-"):
        sys.stdout.buffer.write(encode(result.image, ".png", result.alpha))
    else:
        write(result.image, target, result.alpha)


def _stdin() -> Any:
    import io

    from PIL import Image, UnidentifiedImageError

    stream: BinaryIO = sys.stdin.buffer
    try:
        return Image.open(io.BytesIO(stream.read()))
    except UnidentifiedImageError as error:
        raise ValueError("standard input is no picture that Pillow can read; wanted PNG, JPEG, WebP, ...") from error
