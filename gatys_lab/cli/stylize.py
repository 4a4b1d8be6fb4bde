"""`gatys-lab stylize CONTENT STYLE -o OUT`."""

import logging
import sys
from pathlib import Path
from typing import Any

import click

from gatys_lab import catalog
from gatys_lab.cli._config import Configured, config_options, dumped, filled, settle
from gatys_lab.cli._options import COLOURS, one_each, say_divided, styles_given
from gatys_lab.cli._progress import Bar
from gatys_lab.cli._types import FILE, OUTPUT, Layers, Loss, Number, Start, WeightedFile
from gatys_lab.config import BALANCED_TV, DEFAULTS, STYLE_LAYERS
from gatys_lab.specs import layers_text

POSITIVE = Number(min=0, min_open=True)
WEIGHT = Number(min=0)


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
@click.option("--style-loss", type=Loss(), multiple=True, default=(DEFAULTS.style_loss,), show_default=True,
              help="What style is measured by; several make a mixture. NAME is one of "
                   f"{', '.join(catalog.names('losses'))}, or your own .py file with a build().")  # fmt: skip
@click.option("--balance", type=WEIGHT, help="Style over content, the same for every loss.  "
              f"[default: {DEFAULTS.balance:g}]")  # fmt: skip
@click.option("--strength", type=Number(0, 1),
              help="0 is the photo, 1 the style alone, .5 what --balance says.")  # fmt: skip
@click.option("--content-weight", type=WEIGHT, help="Raw weight of the content; excludes --balance.")
@click.option("--style-weight", type=WEIGHT, help="Raw weight of the style; excludes --balance.")
@click.option("--style-layers", type=Layers(), help=f"[default: {layers_text(STYLE_LAYERS)}; relu3_1 for style-swap]")
@click.option("--content-layers", type=Layers(), default=layers_text(DEFAULTS.content_layers), show_default=True)
@click.option(
    "--tv", type=WEIGHT, help=f"Weight of total variation: smooths.  [default: {BALANCED_TV:g}; 0 among raw weights]"
)
@click.option("--tv-kind", type=click.Choice(["l2", "l1"]), default=DEFAULTS.tv_kind, show_default=True)
@click.option("--evaluations", type=click.IntRange(min=2), default=DEFAULTS.evaluations, show_default=True,
              help="Budget at each size: one is a forward and a backward pass.")  # fmt: skip
@click.option("--single-scale", is_flag=True, help="Work at the final size only, not coarse to fine.")
@click.option("--smallest", "smallest_px", type=click.IntRange(min=1), default=DEFAULTS.smallest_px, show_default=True,
              help="Longest side that coarse to fine begins with.")  # fmt: skip
@click.option("--tolerance", type=POSITIVE, help="Stop a size when the picture changes by less (.005 is published).")
@click.option("--optimizer", default=DEFAULTS.optimizer, show_default=True,
              help=f"{', '.join(catalog.names('optimizers'))}; with options as in adam,lr=0.05.")  # fmt: skip
@click.option("--init", type=Start(), default=DEFAULTS.init, show_default=True,
              help="Where the picture begins; MODEL implies --single-scale, and is one of "
                   f"{', '.join(catalog.names('models'))}.")  # fmt: skip
@click.option("--seed", type=int, default=DEFAULTS.seed, show_default=True)
@click.option("--network", default=DEFAULTS.network, show_default=True,
              help=f"{', '.join(catalog.names('networks'))}; lite needs no download.")  # fmt: skip
@click.option("--weights", type=FILE, help="The network's weights, instead of those that are found.")
@click.option("--pooling", type=click.Choice(["max", "avg", "l2"]), default=DEFAULTS.pooling, show_default=True)
@click.option("--padding", type=click.Choice(["zeros", "reflect", "circular"]), help="[default: the weights' own]")
@click.option("--preprocessing", help="torchvision, caffe or none, where a file of weights does not tell.")
@click.option("--device", default=DEFAULTS.device, show_default=True, help="auto, cuda, mps or cpu.")
@click.option("--precision", default=DEFAULTS.precision, show_default=True,
              help="What the network convolves in: fp32, bf16, or auto: the faster, measured once.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads.  [default: all cores]")
@click.option("--max-pixels", type=click.IntRange(min=1), default=DEFAULTS.max_pixels, show_default=True,
              help="Refuse larger pictures.")  # fmt: skip
@config_options
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="gatys-lab")
def command(content: Path, style: Path | None, out: Path, quiet: bool, debug: bool, dump: bool, **options: Any) -> int:
    """Paint the photograph CONTENT in the manner of the picture STYLE.

    \b
    gatys-lab stylize photo.jpg painting.jpg -o out.png
    gatys-lab stylize photo.jpg painting.jpg -o out.png --size 1024 --balance 20
    gatys-lab stylize photo.jpg painting.jpg -o out.png --style-loss mmd-linear --style-loss mmd-gaussian
    gatys-lab stylize photo.jpg -s painting.jpg:0.7 -s other.jpg:0.3 -o out.png --style-scale 1 --style-scale 0.5
    """
    settle(options)
    if dump:
        click.echo(dumped(options), nl=False)
        return 0
    given, options = styles_given(style, options.pop("styles")), filled(options)
    own = _of_each_style(len(given), options)
    if not quiet:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    from gatys_lab.devices import keep_freed_memory
    from gatys_lab.images import check_writable, write
    from gatys_lab.job import prepare
    from gatys_lab.styles import Style

    keep_freed_memory()
    check_writable(out)
    styles = [Style(path, weight, **rest) for (path, weight), rest in zip(given, own, strict=True)]
    job = prepare(content, styles, **options)
    if not quiet:
        say_divided(given)
        click.echo(job.describe(), err=True)
    if quiet:
        result = job.run()
    else:
        with Bar(job.sizes, job.config.evaluations) as bar:
            result = job.run([bar])
    write(result.image, out)
    if not quiet:
        what = f"{result.image.width} x {result.image.height} px, loss {result.loss:.4g}, {result.reason}"
        click.echo(f"{out}  ({what}, {result.evaluations} evaluations, {result.seconds:.1f} s)", err=True)
    return {"interrupted": 130, "diverged": 1}.get(result.reason, 0)


def _of_each_style(styles: int, options: dict[str, Any]) -> list[dict[str, Any]]:
    """What the n-th style has of its own, by field of `styles.Style`, taken out of the options."""
    scales = options.pop("style_scale")
    if len(scales) == 1:
        options["style_scale"], scales = scales[0], ()
    own = {
        "scale": one_each("--style-scale", scales, styles),
        "content_mask": one_each("--content-mask", options.pop("content_mask"), styles),
        "style_mask": one_each("--style-mask", options.pop("style_mask"), styles),
    }
    return [{name: values[i] for name, values in own.items()} for i in range(styles)]
