"""The page that --help prints: options under headings, in an order that is told once, here, for all commands.

A new option gets a place in `PAGE`, or a test says so. No torch here.
"""

from typing import Any

import click

PAGE = {
    "The picture": "out name redo missing more size tileable region init tv tv-kind start end fps",
    "Presets": "preset config dump-config",
    "Style": "style strength balance alpha model style-loss own-loss style-layers style-scale style-size style-mask "
    "style-weight",
    "Content": "content pairs layers content-layers content-weight content-mask",
    "Colour": "colour",
    "What is compared": "grid judge zoom",
    "How it is optimised": "evaluations optimizer tolerance single-scale smallest steady seed",
    "Network and machine": "network encoder weights pooling padding preprocessing device precision tile "
    "threads workers cluster max-pixels",
    "Runs you can trust": "plan checkpoint checkpoint-every resume no-manifest",
    "Watching": "preview preview-file frames timelapse frames-every plot report",
    "Besides": "quiet debug version help",
}
SHORT = {
    "INTEGER RANGE": "N",
    "INTEGER": "N",
    "FLOAT RANGE": "X",
    "TEXT": "NAME",
    "DIRECTORY": "DIR",
}  # what click calls kinds of values
WIDTH, LEFT = 100, 26  # columns of a line, and of an option with its value


class Page(click.Command):
    """A command whose options stand under headings."""

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        return super().make_context(*arguments, **{"max_content_width": WIDTH, **extra})

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = {word(param): param for param in self.get_params(ctx) if isinstance(param, click.Option)}
        for heading, names in PAGE.items():
            rows = [_row(options[name], ctx) for name in names.split() if name in options]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows, col_max=LEFT)


def word(option: click.Option) -> str:
    """What the user types, without dashes."""
    return max(option.opts, key=len).lstrip("-")


def _row(option: click.Option, ctx: click.Context) -> tuple[str, str]:
    """An option with the kind of its value, and what it does."""
    names = ", ".join(sorted((*option.opts, *option.secondary_opts), key=len))
    kind = "" if option.is_flag or option.count else option.make_metavar(ctx)
    kind = kind.strip("[]") if isinstance(option.type, click.Choice) else SHORT.get(kind, kind)
    told = option.get_help_extra(ctx)
    mark = "[required]" if option.required else f"[default: {told['default']}]" if "default" in told else ""
    return f"{names} {kind}".strip(), " ".join(f"{option.help or ''} {mark}".split())
