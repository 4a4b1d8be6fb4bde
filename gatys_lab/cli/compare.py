"""`gatys-lab compare CONTENT STYLE -o SHEET`."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gatys_lab import catalog
from gatys_lab.cli._engine import POSITIVE, said
from gatys_lab.cli._page import Page
from gatys_lab.cli._progress import Bar
from gatys_lab.cli._types import FILE, MIXTURE, OUTPUT, Parsed
from gatys_lab.cli.stylize import command as stylize
from gatys_lab.config import COMPARED, DEFAULTS, Config
from gatys_lab.specs import parse_grid, parse_loss, parse_point

MORE = [name for name in catalog.names("losses") if name not in COMPARED]
OTHERS = ("style_loss", "style_scale", "content_weight", "style_weight")  # that it has in another form, or not at all
KNOWN = {field.name for field in fields(Config)}.difference(OTHERS)
SHARED = [option for option in stylize.params if option.name in KNOWN]  # what is the same for all


@click.command(cls=Page, short_help="Paint in several ways and score each by every style loss.")
@click.argument("content", type=FILE)
@click.argument("style", type=FILE)
@click.option("-o", "--out", required=True, type=OUTPUT,
              help="The contact sheet (.png); beside it .html, .csv, .json and, for the runs, .compare/.")  # fmt: skip
@click.option("--content", "contents", type=FILE, multiple=True, help="More photographs.")
@click.option("--style", "styles", type=FILE, multiple=True, help="More paintings.")
@click.option("--style-loss", "losses", type=MIXTURE, multiple=True,
              help="Each alone; + makes a mixture, gram+bn:0.5.  "
                   f"[default: {', '.join(COMPARED)}; also: {', '.join(MORE)}]")  # fmt: skip
@click.option("--model", "models", type=Parsed("NAME[,alpha=...]", parse_loss), multiple=True,
              help=f"Feed-forward models beside them: {', '.join(catalog.names('models'))}.")  # fmt: skip
@click.option("--grid", "grids", type=Parsed("KEY=VALUE,...", parse_grid), multiple=True,
              help="Vary balance, tv, layers (relu1_1,relu1_1+relu2_1), optimizer, network, ..., or an option of the "
                   "losses (sigma, degree, ...); two make a table.")  # fmt: skip
@click.option("--style-scale", type=POSITIVE, default=DEFAULTS.style_scale, show_default=True,
              help="The styles' longest side over the result's.")  # fmt: skip
@click.option("--judge", help="The network that scores: lite, vgg16, vgg19.  [default: the one that paints]")
@click.option("--zoom", type=Parsed("X,Y", parse_point), multiple=True,
              help="What is magnified, up to two points, such as 0.5,0.2.  [default: where the detail is]")  # fmt: skip
@said
@click.pass_context
def command(ctx: click.Context, content: Path, style: Path, out: Path, quiet: bool, debug: bool, **options: Any) -> int:
    """Paint CONTENT in the manner of STYLE in several ways, under the same conditions; a sheet, a page and a table.

    \b
    gatys-lab compare photo.jpg painting.jpg -o sheet.png
    gatys-lab compare photo.jpg painting.jpg -o sheet.png --style-loss gram --style-loss bn+mmd-linear --model adain
    gatys-lab compare photo.jpg painting.jpg -o sheet.png --style-loss gram --grid balance=0.3,1,3 --grid tv=0,1

    Ctrl-C keeps what is done; the same command again does what is missing.
    """
    own = {name: options.pop(name) for name in ("contents", "styles", "losses", "models", "grids", "judge", "zoom")}
    if len(own["zoom"]) > 2:
        raise click.UsageError(f"{len(own['zoom'])} times --zoom; there is room for two")
    given = {k: v for k, v in options.items() if ctx.get_parameter_source(k) is not ParameterSource.DEFAULT}
    if not quiet:
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    from gatys_lab.compare import compare, targets
    from gatys_lab.devices import keep_freed_memory

    keep_freed_memory()
    targets(out)
    folder = out.with_suffix(".compare")
    try:
        found = compare(
            [content, *own["contents"]], [style, *own["styles"]], losses=own["losses"] or None, models=own["models"],
            grids=own["grids"], judge=own["judge"], folder=folder, **given, **({} if quiet else {"watch": _watch}),
        )  # fmt: skip
    except KeyboardInterrupt:
        click.echo(f"gatys-lab: interrupted; what is done is kept in '{folder}': the same command goes on", err=True)
        return 130
    files = found.write(out, own["zoom"])
    if not quiet:
        click.echo(found.text())
        click.echo("  ".join(map(str, files)), err=True)
    return 0


@contextmanager
def _watch(number: int, count: int, task: Any) -> Iterator[Any]:
    """A line a run, and the engine's bar."""
    click.echo(f"{number}/{count}  {task.title}", err=True)
    if task.model is not None:
        yield ()
        return
    with Bar(task.job.budgets) as bar:
        yield (bar,)


command.params += SHARED
