"""`gatys-lab weights`: what weight files there are, where, and what they hold."""

from collections.abc import Iterator
from pathlib import Path

import click

from gatys_lab.cli._types import FILE, OUTPUT

NAMES = ("vgg19", "vgg16", "lite")
NAME = click.Choice(NAMES)


@click.group(short_help="Find, fetch, convert and check network weights.")
def command() -> None:
    """Find, fetch, convert and check the weights of the loss networks."""


@command.command(name="list")
def list_() -> None:
    """What is found for each network, where, and what it is; the first of a network is the one in use."""
    for name in NAMES:
        found = False
        for path in _candidates(name):
            click.echo(f"{name}  {path}: {_summary(name, path)}" + (" (not in use)" if found else ""))
            found = True
        if not found:
            remedy = "" if name == "lite" else f"; `gatys-lab weights fetch {name}` downloads it"
            click.echo(f"{name}  not found{remedy}")


@command.command()
@click.argument("name", type=NAME)
def path(name: str) -> None:
    """Where the weights of NAME are that would be used."""
    found = next(_candidates(name), None)
    if found is None:
        raise FileNotFoundError(f"no weights of {name} here; `gatys-lab weights fetch {name}` gets them")
    click.echo(found)


@command.command()
@click.argument("name", type=NAME)
def fetch(name: str) -> None:
    """Download the weights of NAME, if there are none yet, and say where they are."""
    from gatys_lab.networks import _weights

    found = next(_candidates(name), None)
    if found is None and name == "lite":
        raise FileNotFoundError("the embedded network is missing from this installation; install gatys-lab again")
    click.echo(found or _weights.fetch(name))


@command.command()
@click.argument("file", type=FILE)
@click.argument("out", type=OUTPUT)
@click.option("--preprocessing", help="torchvision, caffe, caffe-rgb or none, where FILE is mistaken for another.")
def convert(file: Path, out: Path, preprocessing: str | None) -> None:
    """Write the convolutions of FILE, in any form that is known, to OUT, a slim .safetensors file."""
    from gatys_lab.networks import _formats

    if out.suffix != ".safetensors":
        raise click.BadParameter(f"'{out}' must end in .safetensors", param_hint="OUT")
    stored = _formats.read(file, preprocessing)
    _formats.write(stored, out)
    click.echo(f"{out}: {stored.summary}")


@command.command()
@click.argument("file", type=FILE)
def verify(file: Path) -> None:
    """Say what FILE is: network, preprocessing, layers, SHA-256. Exit status 1 if it fits none."""
    from gatys_lab.networks import _formats, lite

    try:
        text = _formats.read(file).summary
    except ValueError as unfit:
        try:
            net = lite.build(file)
        except ValueError:
            raise unfit from None
        text = f"lite, layers {net.steps[0]} ... {net.steps[-1]}, padding {net.padding}"
    click.echo(f"{file}: {text}, SHA-256 {_formats.sha256(file)}")


def _candidates(name: str) -> Iterator[Path]:
    from gatys_lab.networks import _weights, lite

    if name != "lite":
        yield from _weights.candidates(name)
    elif lite.EMBEDDED.is_file():
        yield lite.EMBEDDED


def _summary(name: str, path: Path) -> str:
    """What a file that was found is, or what is wrong with it."""
    from gatys_lab.networks import _weights, lite

    try:
        if name == "lite":
            return f"embedded, preprocessing within, to {lite.build(path).steps[-1]}"
        return _weights.fitting(name, path).summary
    except (ValueError, OSError) as error:
        return f"unusable: {error}"
