"""What the options take: losses and layers, checked as they are typed. No torch here."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gatys_lab import catalog
from gatys_lab.config import STARTS
from gatys_lab.specs import parse_layers, parse_loss, parse_mixture, parse_name, parse_weighted

FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)


class Number(click.FloatRange):
    """A range without nan and infinity, which lie in every range of click's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


class Parsed(click.ParamType):
    """What a function of specs.py makes of a text; from a file of options it comes as that already."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


LOSS = Parsed("NAME[:WEIGHT][,KEY=VALUE...]", parse_loss)
MIXTURE = Parsed("NAME[:WEIGHT][,KEY=VALUE...][+...]", parse_mixture)
MODEL = Parsed("NAME[,KEY=VALUE...]", parse_name)  # and its options
LAYERS = Parsed("LAYER[:WEIGHT],...", parse_layers)


class WeightedFile(click.ParamType):
    """A file, and what follows the last colon as its weight if that is a number."""

    name = "FILE[:WEIGHT]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, float]:
        try:
            name, weight = parse_weighted(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return FILE.convert(name, param, ctx), weight


class Region(click.ParamType):
    """A point of the photo and one of the painting, in pixels."""

    name = "x,y:x,y"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            (x, y), (u, v) = ([int(number) for number in point.split(",")] for point in value.split(":"))
        except ValueError:
            self.fail(f"'{value}' is no pair of points; wanted x,y:x,y in pixels, of the photo and the painting")
        return (x, y), (u, v)


class Size(click.ParamType):
    """Width and height in pixels."""

    name = "PX|WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        sides = str(value).lower().split("x")
        if not 1 <= len(sides) <= 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
            self.fail(f"'{value}' is no size; wanted 512, or 640x384, in pixels", param, ctx)
        return int(sides[0]), int(sides[-1])


class Start(click.ParamType):
    """A word for where the picture begins, a model that paints the beginning, or a file (a picture, or a model)."""

    name = f"{'|'.join(STARTS)}|MODEL|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        known = (*STARTS, *catalog.names("models"))
        return value if value in known else str(FILE.convert(value, param, ctx))
