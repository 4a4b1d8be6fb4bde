"""Options from files: --preset, --config, and --dump-config, which writes such a file. No torch here."""

import copy
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gatys_lab import presets
from gatys_lab.cli._page import Page
from gatys_lab.cli._types import FILE
from gatys_lab.config import DEFAULTS

DUMP, PLAN = "--dump-config", "--plan"
SEVERAL = ("style_loss", "style_scale")  # options that may be given more than once


class Configured(Page):
    """A command whose options may also come from files.

    Asked for what they are, it needs no pictures; asked what it would need itself, it needs no place to write to.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta.update({flag: flag in args for flag in (DUMP, PLAN)})
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        free = {param.name for param in params} if ctx.meta.get(DUMP) else {"out"} if ctx.meta.get(PLAN) else set()
        return [_voluntary(param) if param.name in free else param for param in params]


def config_options(command: Any) -> Any:
    """Adds --preset, --config and --dump-config."""
    known = ", ".join(presets.names())
    for decorator in (
        click.option(DUMP, "dump", is_flag=True, help="Print all options as a file for --config; do nothing else."),
        click.option("--config", type=FILE, is_eager=True, expose_value=False, callback=_config,
                     help="Options from a file of your own; the command line beats it, and it beats the preset."),
        click.option("--preset", metavar="NAME", is_eager=True, expose_value=False, callback=_preset,
                     help=f"Options that belong together: {known}."),
    ):  # fmt: skip
        command = decorator(command)
    return command


def settle(options: dict[str, Any]) -> None:
    """Drop the weights from files that the command line's are of another kind than, and fill in the balance."""
    ctx = click.get_current_context()
    told = {name for name in options if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    from_files = {name for name in options if name not in told and options[name] is not None}
    for name in from_files.intersection(presets.outweighed(told, from_files)):
        options[name] = None
    measured, raw = ([name for name in kind if options[name] is not None] for kind in (presets.MEASURED, presets.RAW))
    if measured and raw:
        first, second = (f"--{names[0].replace('_', '-')}" for names in (measured, raw))
        raise click.UsageError(f"{first} excludes {second}: give one kind of weight")


def filled(options: dict[str, Any]) -> dict[str, Any]:
    """The options with the balance that holds where nothing is said."""
    return options | {"balance": DEFAULTS.balance if options["balance"] is None else options["balance"]}


def dumped(options: dict[str, Any]) -> str:
    """The file of options that has the same effect."""
    raw = any(options[name] is not None for name in presets.RAW)
    options = options if raw else filled(options)
    scales = options["style_scale"]
    if len(scales) > 1:
        raise click.UsageError("a file has one style-scale for all styles; give --style-scale once")
    return presets.dump(options | {"style_scale": scales[0]})


def _preset(ctx: click.Context, param: click.Parameter, name: str | None) -> None:
    _use(ctx, "preset", {} if name is None else presets.load(name))


def _config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    _use(ctx, "config", {} if path is None else presets.read(path))


def _use(ctx: click.Context, which: str, options: dict[str, Any]) -> None:
    ctx.meta[which] = options
    merged = presets.merge(ctx.meta.get("preset", {}), ctx.meta.get("config", {}))
    repeated = {name: [merged[name]] for name in SEVERAL if name in merged and not isinstance(merged[name], list)}
    ctx.default_map = merged | repeated


def _voluntary(param: click.Parameter) -> click.Parameter:
    param = copy.copy(param)
    param.required = False
    return param
