"""`gatys-lab batch CONTENTS ... --style STYLES -o FOLDER`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click

from gatys_lab.cli._cluster import clustered
from gatys_lab.cli._config import Configured, config_options, dumped, filled, settle
from gatys_lab.cli._engine import hear, said
from gatys_lab.cli._progress import Whole, became
from gatys_lab.cli._types import FILE
from gatys_lab.cli.stylize import command as stylize
from gatys_lab.config import OF_MANY, Config

PLACE = click.Path(exists=True, readable=True, path_type=Path)
KNOWN = {field.name for field in fields(Config)}


@click.command(cls=Configured, short_help="Paint many photographs in the manner of many paintings.")
@click.argument("contents", nargs=-1, type=PLACE)
@click.option("-s", "--style", "styles", type=PLACE, multiple=True,
              help="A painting, or a folder of them; once or more. Every photo is painted like every one.")  # fmt: skip
@click.option("--pairs", type=FILE, metavar="FILE.csv",
              help="Only these pairs: a table with the columns content,style; paths from its folder.")  # fmt: skip
@click.option("-o", "--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="The folder to write to.")  # fmt: skip
@click.option(
    "--name", default=OF_MANY, show_default=True, help="Of each picture; {style}/{content}.jpg makes folders."
)
@click.option("--redo", is_flag=True, help="Paint anew what is there but was made with other options or files.")
@clustered
@config_options
@said
def command(
    contents: tuple[Path, ...],
    styles: tuple[Path, ...],
    pairs: Path | None,
    out: Path,
    name: str,
    redo: bool,
    workers: int | None,
    cluster: str | None,
    quiet: bool,
    debug: bool,
    dump: bool,
    **options: Any,
) -> int:
    """Paint CONTENTS, photographs or folders of them, each in the manner of every style.

    \b
    gatys-lab batch photos/ --style paintings/ -o painted/
    gatys-lab batch a.jpg b.jpg --style ink.png --style oil.jpg -o painted/ --size 1024 --preset fine
    gatys-lab batch --pairs list.csv -o painted/ --name "{style}/{content}.jpg"
    gatys-lab batch photos/ --style paintings/ -o painted/ --workers 8

    Started again after an interruption it does only what is missing. A picture that is there and was made with other
    options or files is never replaced unless you say --redo. What cannot be painted is told and left out; then the
    exit status is 1.
    """
    settle(options)
    if dump:
        click.echo(dumped(options), nl=False)
        return 0
    scales = options.pop("style_scale")
    if len(scales) > 1:
        raise click.UsageError("each picture has one style here; give --style-scale once")
    if (pairs is not None) == bool(contents or styles) or bool(contents) != bool(styles):
        raise click.UsageError("give CONTENTS and --style, or --pairs, but not both")
    hear(quiet)
    from gatys_lab import batch

    asked = batch.named(batch.read_pairs(pairs) if pairs is not None else batch.cross(contents, styles), out, name)
    job = batch.template(**filled(options), style_scale=scales[0])
    found = batch.survey(job, asked)
    if found.other and not redo:
        raise click.UsageError(
            f"'{found.other[0].out}' {_others(len(found.other) - 1)}made with other options or files, or not by "
            f"gatys-lab; choose another folder or name, or paint them anew with --redo"
        )
    wanted = tuple(pair for pair in asked if pair not in found.done)
    batch.check(wanted)
    if not quiet:
        click.echo(f"to paint: {len(wanted)}, found finished: {len(found.done)}; {job.describe()}", err=True)
    if not wanted or (workers is None and cluster is None):
        return _paint(partial(batch.paint, job), wanted, len(asked), out, quiet)
    with batch.crew(job, out, len(wanted), workers, cluster) as crew:
        if not quiet:
            click.echo(str(crew), err=True)
        return _paint(lambda pairs, watch: batch.paint_together(crew, pairs), wanted, len(asked), out, quiet)


def _paint(paint: Callable[..., Iterable[Any]], wanted: Sequence[Any], asked: int, out: Path, quiet: bool) -> int:
    """Paint them, say how it goes; the exit status."""
    painted, failed = 0, 0
    try:
        with Whole(len(wanted), quiet) as whole:
            for number, done in enumerate(paint(wanted, whole.watch)):
                painted, failed = painted + done.fine, failed + (not done.fine)
                if done.error is not None:
                    click.echo(f"gatys-lab: {done.error}", err=True)
                whole.tell(number, _told(done))
    except KeyboardInterrupt:
        left = f"{painted} painted, {len(wanted) - painted} left: the same command goes on"
        click.echo(f"gatys-lab: interrupted; {left}", err=True)
        return 130
    if not quiet:
        rest = f", {failed} could not be painted" if failed else ""
        click.echo(f"{out}  ({asked - failed} of {asked} pictures{rest})", err=True)
    return 1 if failed else 0


def _told(done: Any) -> str:
    result = done.result
    if result is None:
        return f"{done.pair.out}: not painted"
    return f"{done.pair.out}  ({became(result)}, {result.seconds:.1f} s)"


def _others(count: int) -> str:
    return "is there, " if count == 0 else f"and {count} other{'s' if count > 1 else ''} are there, "


command.params += [option for option in stylize.params if option.name in KNOWN]
