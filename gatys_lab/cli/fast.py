"""`gatys-lab fast CONTENT [STYLE] -o OUT`."""

import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click

from gatys_lab.cli._cluster import clustered
from gatys_lab.cli._engine import said
from gatys_lab.cli._options import COLOURS, one_each, say_divided, styles_given
from gatys_lab.cli._page import Page
from gatys_lab.cli._progress import duration
from gatys_lab.cli._types import FILE, MODEL, Number, Region, WeightedFile
from gatys_lab.config import DEFAULTS

PIPE = Path("-")
PLACE = click.Path(exists=True, readable=True, path_type=Path, allow_dash=True)


@click.command(cls=Page, short_help="Paint at once, with a trained feed-forward model.")
@click.argument("content", type=PLACE)
@click.argument("style", type=FILE, required=False)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, allow_dash=True),
              help="The picture to write; a folder, for a folder of contents; - for standard output.")  # fmt: skip
@click.option("-s", "--style", "styles", type=WeightedFile(), multiple=True,
              help="painting.jpg:0.7 is a style and its weight; instead of STYLE, for several.")  # fmt: skip
@click.option("--model", type=MODEL, default="adain", show_default=True,
              help="adain, adaattn[,form=cosine,samples=4096], inverse[,patch=5,stride=2,candidates=512].")  # fmt: skip
@click.option("--alpha", type=Number(0, 1), default=1.0, show_default=True,
              help="Strength: 0 is the photo, 1 the style.")  # fmt: skip
@click.option("--size", "size_px", type=click.IntRange(min=1), help="Longest side.  [default: each picture's own]")
@click.option("--style-size", "style_px", type=click.IntRange(min=1), help="The same of the style.")
@click.option("--content-mask", type=FILE, multiple=True, help="White: where the n-th style is painted.")
@click.option("--style-mask", type=FILE, multiple=True, help="White: what counts of the n-th style.")
@click.option("--region", "points", type=Region(), multiple=True,
              help="Paint what lies around a point of the photo like what lies around one of the style.")  # fmt: skip
@click.option("--colour", type=click.Choice(COLOURS), help="Keep the photo's colours; chroma: take nothing else.")
@click.option("--encoder", help="lite, vgg19, or a file of VGG-19's weights.  [default: what the weights ask for]")
@click.option("--weights", type=click.Path(exists=True, path_type=Path),
              help="Weights of your own, or the published ones (a file; for adaattn a folder).")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu.")
@click.option("--precision", default="fp32", show_default=True,
              help="fp32, bf16, or auto: the faster. 16 bits change a pixel by 1 of 255 or so.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads.  [default: all cores]")
@click.option("--max-pixels", type=click.IntRange(min=1), default=DEFAULTS.max_pixels, show_default=True,
              help="Refuse larger pictures.")  # fmt: skip
@clustered
@click.option("--missing", is_flag=True, help="Of a folder: leave pictures that are there already as they are.")
@said
def command(
    content: Path,
    style: Path | None,
    out: Path,
    workers: int | None,
    cluster: str | None,
    missing: bool,
    quiet: bool,
    debug: bool,
    **options: Any,
) -> int:
    """Paint CONTENT, a photograph or a folder of them, in the manner of the picture or style file STYLE.

    \b
    gatys-lab fast photo.jpg painting.jpg -o out.png
    gatys-lab fast photo.jpg -s painting.jpg:0.7 -s other.jpg:0.3 -o out.png --alpha 0.8
    gatys-lab fast photos/ painting.jpg -o painted/
    gatys-lab fast photos/ painting.jpg -o painted/ --workers 8 --missing
    cat photo.jpg | gatys-lab fast - painting.jpg -o - > out.png
    """
    given = styles_given(style, options.pop("styles"))
    jobs, folder = _jobs(content, out, bool(options["points"])), content != PIPE and content.is_dir()
    together = workers is not None or cluster is not None
    if (together or missing) and not folder:
        raise click.UsageError("--workers, --cluster and --missing are for a folder of contents")
    painter, options["precision"] = _painter(content, given, **options)
    if not quiet:
        _describe(painter, options["model"][0], given)
    if not folder:
        _paint(painter, content, out, options["max_pixels"])
        if not quiet and out != PIPE:
            click.echo(str(out), err=True)
        return 0
    out.mkdir(parents=True, exist_ok=True)
    wanted = [job for job in jobs if not (missing and job[1].exists())]
    if wanted and together:
        with _crew(given, options, out, len(wanted), workers, cluster) as crew:
            if not quiet:
                click.echo(str(crew), err=True)
            failed = _paint_all(crew(wanted), len(wanted), quiet)
    else:
        failed = _paint_all(((job, _tried(painter, options["max_pixels"], job)) for job in wanted), len(wanted), quiet)
    if not quiet:
        click.echo(f"{out}  ({len(jobs) - failed} of {len(jobs)} pictures)", err=True)
    return 1 if failed else 0


def _crew(given: Any, options: Any, out: Path, tasks: int, workers: int | None, address: str | None) -> Any:
    from gatys_lab.cluster import crew

    build, machine = partial(_worker, given, options), {name: options[name] for name in ("threads", "device")}
    return crew(build, out, tasks, workers=workers, address=address, **machine)


def _worker(given: list[tuple[Path, float]], options: dict[str, Any], threads: int) -> Any:
    """What a worker does with (source, target): paints it, and gives back what went wrong, in words."""
    painter, _ = _painter(PIPE, given, **{**options, "threads": threads})
    return partial(_tried, painter, options["max_pixels"])


def _describe(painter: Any, name: str, given: list[tuple[Path, float]]) -> None:
    from gatys_lab import devices

    say_divided(given)
    click.echo(f"device {devices.describe(painter.device)}, {name} on {painter.model.encoder.source}", err=True)


def _jobs(content: Path, out: Path, with_points: bool) -> list[tuple[Path, Path]]:
    """Pictures and where they go, checked before anything is loaded."""
    from gatys_lab.files import pictures_in
    from gatys_lab.images import FORMATS, check_writable

    if content == PIPE or not content.is_dir():
        if content == PIPE and with_points:
            raise click.UsageError("--region names points of a photo in a file; save the one from the pipe first")
        if out != PIPE:
            check_writable(out)
        return [(content, out)]
    if with_points:
        raise click.UsageError("--region names points of one photo; give a file, not a folder")
    if out == PIPE or (out.exists() and not out.is_dir()) or out.resolve() == content.resolve():
        raise click.UsageError(f"'{content}' is a folder; wanted another folder for its pictures, not '{out}'")
    return [(f, out / (f.name if f.suffix.lower() in FORMATS else f"{f.name}.png")) for f in pictures_in(content)]


def _paint_all(painted: Iterable[tuple[tuple[Path, Path], str | None]], count: int, quiet: bool) -> int:
    """Say how far they are, and name what could not be painted; how many those are."""
    failed, began = 0, time.monotonic()
    with click.progressbar(length=count, file=sys.stderr, hidden=quiet, item_show_func=lambda name: name) as bar:
        for (source, target), error in painted:
            bar.update(1, target.name)
            if error is not None:
                failed += 1
                click.echo(
                    f"gatys-lab: {error}" if str(source) in error else f"gatys-lab: '{source}': {error}", err=True
                )
    seconds = time.monotonic() - began
    if not quiet and count > 1:
        fine = count - failed
        click.echo(f"{fine} pictures in {duration(seconds)}, {fine / seconds:.3g} a second", err=True)
    return failed


def _tried(painter: Any, max_pixels: int, job: tuple[Path, Path]) -> str | None:
    """Paint a picture. What went wrong, in words; None if nothing did."""
    try:
        _paint(painter, *job, max_pixels)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _paint(painter: Any, source: Path, target: Path, max_pixels: int) -> None:
    from gatys_lab.images import encode, read, read_bytes, write

    if source == PIPE:
        picture = read_bytes(sys.stdin.buffer.read(), "standard input", max_pixels=max_pixels)
    else:
        picture = read(source, max_pixels=max_pixels)
    result = painter(picture)
    if target == PIPE:
        sys.stdout.buffer.write(encode(result.image, ".png", result.alpha))
    else:
        write(result.image, target, result.alpha)


def _painter(content: Path, given: list[tuple[Path, float]], **options: Any) -> tuple[Any, str]:
    """A painter, and the precision that it paints in."""
    from gatys_lab import devices
    from gatys_lab.fast import Painter, ready

    if options["threads"] is not None:
        devices.use_threads(options["threads"])
    device, (name, own) = devices.choose(options["device"]), options["model"]
    files = {key: options[key] for key in ("weights", "encoder")}
    model, precision = ready(name, device, options["precision"], **files, **own)
    painter = Painter(
        model, _sources(content, given, model, **options),
        options["alpha"], options["colour"], options["size_px"], options["style_px"], device,
    )  # fmt: skip
    return painter, precision


def _sources(content: Path, given: list[tuple[Path, float]], network: Any, **options: Any) -> Any:
    from gatys_lab.fast import regions, source
    from gatys_lab.images import read

    if options["points"]:
        if len(given) > 1 or options["content_mask"] or options["style_mask"] or given[0][0].suffix == ".safetensors":
            raise click.UsageError("--region goes with one STYLE, a picture, and without masks")
        painting, photo = (read(path, max_pixels=options["max_pixels"]) for path in (given[0][0], content))
        return regions(painting, photo, options["points"])
    regions_of_content = one_each("--content-mask", options["content_mask"], len(given))
    regions_of_style = one_each("--style-mask", options["style_mask"], len(given))
    return [
        source(path, network, weight=weight, content_mask=where, style_mask=what, max_pixels=options["max_pixels"])
        for (path, weight), where, what in zip(given, regions_of_content, regions_of_style, strict=True)
    ]
