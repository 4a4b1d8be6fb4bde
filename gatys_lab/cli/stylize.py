"""`gatys-lab stylize CONTENT STYLE -o OUT`."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from gatys_lab import catalog
from gatys_lab.cli._config import Configured, config_options, dumped, filled, settle
from gatys_lab.cli._engine import (
    POSITIVE,
    WEIGHT,
    begin,
    checkpoint_of,
    deliver,
    foretell,
    hear,
    kept,
    measured,
    said,
    scaled,
    seen_through,
    tv_kind,
    watched,
    watchers,
    watching,
    worked,
)
from gatys_lab.cli._options import COLOURS, one_each, styles_given
from gatys_lab.cli._types import FILE, LAYERS, OUTPUT, Number, Start, WeightedFile
from gatys_lab.config import BALANCED_TV, DEFAULTS
from gatys_lab.specs import layers_text


@click.command(cls=Configured, short_help="Paint a photograph in the manner of a painting.")
@click.argument("content", type=FILE)
@click.argument("style", type=FILE, required=False)
@click.option("-o", "--out", required=True, type=OUTPUT, help="The picture to write: .png, .jpg, .webp or .tif.")
@click.option("-s", "--style", "styles", type=WeightedFile(), multiple=True,
              help="painting.jpg:0.7 is a style and its weight; instead of STYLE, for several.")  # fmt: skip
@click.option("--size", "size_px", type=click.IntRange(min=1), default=DEFAULTS.size_px, show_default=True,
              help="Longest side in pixels; never enlarges the photo.")  # fmt: skip
@click.option("--style-scale", type=POSITIVE, multiple=True, default=(DEFAULTS.style_scale,), show_default=True,
              help="The style's longest side over the result's: larger makes larger strokes; "
                   "once for all, or once a style.")  # fmt: skip
@click.option("--content-mask", type=FILE, multiple=True,
              help="White: where the n-th style is painted; what no mask claims stays the photo.")  # fmt: skip
@click.option("--style-mask", type=FILE, multiple=True, help="White: what counts of the n-th style.")
@click.option("--colour", type=click.Choice(COLOURS),
              help="Keep the photo's colours: give them to the style (linear, histogram), or take only the result's "
                   "lightness (luma). chroma takes only its colours.")  # fmt: skip
@measured
@click.option("--balance", type=WEIGHT, help="Style over content, the same for every loss.  "
              f"[default: {DEFAULTS.balance:g}]")  # fmt: skip
@click.option("--strength", type=Number(0, 1),
              help="0 is the photo, 1 the style alone, .5 what --balance says.")  # fmt: skip
@click.option("--content-weight", type=WEIGHT, help="Raw weight of the content; excludes --balance.")
@click.option("--style-weight", type=WEIGHT, help="Raw weight of the style; excludes --balance.")
@click.option("--content-layers", type=LAYERS, default=layers_text(DEFAULTS.content_layers), show_default=True,
              help="Where likeness to the photo is measured.")  # fmt: skip
@click.option(
    "--tv", type=WEIGHT, help=f"Weight of total variation: smooths.  [default: {BALANCED_TV:g}; 0 among raw weights]"
)
@tv_kind
@worked
@scaled
@click.option("--init", type=Start(), default=DEFAULTS.init, show_default=True,
              help="Where the picture begins; MODEL implies --single-scale, and is one of "
                   f"{', '.join(catalog.names('models'))}.")  # fmt: skip
@seen_through
@kept
@watched
@click.option("--no-manifest", is_flag=True,
              help="Write no OUT.json, and into a PNG nothing of how it was made (see gatys-lab replay).")  # fmt: skip
@click.option("--plan", is_flag=True,
              help="Tell what it would take of time and memory, and whether that is there; paint nothing.")  # fmt: skip
@config_options
@said
@click.version_option(package_name="gatys-lab")
def command(
    content: Path,
    style: Path | None,
    out: Path | None,
    no_manifest: bool,
    plan: bool,
    quiet: bool,
    debug: bool,
    dump: bool,
    **options: Any,
) -> int:
    """Paint the photograph CONTENT in the manner of the picture STYLE.

    \b
    gatys-lab stylize photo.jpg painting.jpg -o out.png
    gatys-lab stylize photo.jpg painting.jpg -o out.png --size 1024 --strength 0.8
    gatys-lab stylize photo.jpg painting.jpg -o out.png --preset poster --colour luma
    gatys-lab stylize photo.jpg painting.jpg -o out.png --style-loss mmd-linear --style-loss mmd-gaussian
    gatys-lab stylize photo.jpg -s painting.jpg:0.7 -s other.jpg:0.3 -o out.png
    """
    settle(options)
    if dump:
        click.echo(dumped(options), nl=False)
        return 0
    given, options = styles_given(style, options.pop("styles")), filled(options)
    own = _of_each_style(len(given), options)
    from gatys_lab import manifest
    from gatys_lab.job import prepare
    from gatys_lab.styles import Style

    checkpoint, watch = checkpoint_of(options), watching(options)
    styles = [Style(path, weight, **rest) for (path, weight), rest in zip(given, own, strict=True)]
    if plan:
        hear(quiet)
        return foretell(prepare(content, styles, **options))
    assert out is not None
    begin(out, quiet)
    if not no_manifest:
        manifest.check_manifest(out)
    job = prepare(content, styles, **(options if checkpoint is None else checkpoint.choices(options)))
    record = None if no_manifest else partial(manifest.record, job, content=content, styles=styles)
    callbacks = watchers(job, out, watch, go_on=checkpoint is not None and checkpoint.resume)
    return deliver(job, out, quiet, given, checkpoint, record, callbacks, watch["plot"])


def _of_each_style(styles: int, options: dict[str, Any]) -> list[dict[str, Any]]:
    """What the n-th style has of its own, by field of `styles.Style`, taken out of the options."""
    scales = options.pop("style_scale")
    if len(scales) == 1:
        options["style_scale"], scales = scales[0], ()
    own = {
        "scale": one_each("--style-scale", scales, styles),
        "loss": one_each("--own-loss", options.pop("own_loss"), styles),
        "content_mask": one_each("--content-mask", options.pop("content_mask"), styles),
        "style_mask": one_each("--style-mask", options.pop("style_mask"), styles),
    }
    return [{name: values[i] for name, values in own.items()} for i in range(styles)]
