"""`gatys-lab plan CONTENT STYLE`: `stylize --plan`."""

from dataclasses import fields
from typing import Any

import click

from gatys_lab.cli._config import Configured, config_options
from gatys_lab.cli._engine import WATCHING, said
from gatys_lab.cli.stylize import command as stylize
from gatys_lab.config import Config

OF_STYLIZE = {"content", "style", "styles", "content_mask", "style_mask", "own_loss"}
KNOWN = {field.name for field in fields(Config)} | OF_STYLIZE
OTHERS = ("checkpoint", "checkpoint_every", "resume", *WATCHING)


@click.command(cls=Configured, short_help="Tell how much time and memory stylize would take.")
@config_options
@said
def command(**options: Any) -> int:
    """Tell, before a run, how much time and memory `gatys-lab stylize` with these options takes on this machine.

    \b
    gatys-lab plan photo.jpg painting.jpg --size 2048
    gatys-lab plan photo.jpg painting.jpg --size 1024 --network vgg19 --precision fp32

    It tries the very job on small pictures for a second or two. The exit status is 1 if the memory is not there.
    """
    assert stylize.callback is not None
    without = {"out": None, "no_manifest": True, "plan": True, **dict.fromkeys(OTHERS), "resume": False}
    return int(stylize.callback(**options, **without))


command.params += [option for option in stylize.params if option.name in KNOWN]
