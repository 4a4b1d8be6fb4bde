"""`gatys-lab`: one file a command. Options only live here; torch is imported inside the commands.

Errors are one line on standard error. Exit status: 0 done, 2 what is wrong in the command line, 130 interrupted,
1 everything else.
"""

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from gatys_lab._version import __version__


class _Folder(click.Group):
    """The commands are the files of this folder, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(f.stem.replace("_", "-") for f in Path(__file__).parent.glob("*.py") if f.stem[0] != "_")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"gatys_lab.cli.{cmd_name.replace('-', '_')}").command
        command.name = cmd_name
        return command


@click.group(cls=_Folder, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="gatys-lab")
def group(debug: bool) -> None:
    """Neural style transfer: a photograph, painted in the manner of a painting."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and turn whatever goes wrong into one line and an exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(given))


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    try:
        return group.main(arguments, prog_name="gatys-lab", standalone_mode=False) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        where = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
        return _fail(error.format_message() + where, 2, debug)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code, debug)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", 130, debug=False)
    except Exception as error:
        from gatys_lab.errors import UnknownName, memory_wanted

        status = 2 if isinstance(error, UnknownName) else 1
        known = isinstance(error, ValueError | OSError | MemoryError)
        text = str(error) or type(error).__name__
        need = memory_wanted(error)
        if need is not None and "--size" not in text:
            known, text = True, f"{need}; choose a smaller --size"
        return _fail(text if known else f"{type(error).__name__}: {text} (--debug shows where)", status, debug)


def _fail(message: str, status: int, debug: bool) -> int:
    if debug:
        click.echo(traceback.format_exc(), err=True)
    click.echo("gatys-lab: " + " ".join(message.split()), err=True)
    return status
