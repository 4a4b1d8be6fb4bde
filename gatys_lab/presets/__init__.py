"""Presets, and files of options that a user writes: TOML in the words of the command line, without its dashes.

A preset is a file of this folder; its name is what the user types. What is stronger beats what is weaker: the command
line a file of options, that the preset, that the defaults. No torch here.

>>> from gatys_lab import stylize
>>> stylize("photo.jpg", "painting.jpg", **load("poster")).image.save("out.png")  # doctest: +SKIP
>>> names()
('default', 'fast', 'fine', 'neural-style', 'poster', 'sketch')
"""

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from gatys_lab.config import Config
from gatys_lab.errors import UnknownName
from gatys_lab.files import check_ordinary
from gatys_lab.specs import LossSpec, layers_text, loss_text, parse_layers, parse_loss

Options = dict[str, Any]  # by field of Config
KEYS = {field.name.removesuffix("_px").replace("_", "-"): field.name for field in fields(Config)}
HINTS = get_type_hints(Config)
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text in quotes"}
MEASURED, RAW = ("balance", "strength"), ("content_weight", "style_weight")  # ways to weigh; one excludes the other


def names() -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in Path(__file__).parent.glob("*.toml")))


def load(name: str) -> Options:
    """The options of a preset, by field of Config. Raises UnknownName (a ValueError) for one that does not exist."""
    if name not in names():
        raise UnknownName(f"no preset '{name}'; there are {', '.join(names())}")
    return read(Path(__file__).parent / f"{name}.toml")


def read(path: str | Path) -> Options:
    """The options in a file. Raises a one-line ValueError or OSError for what cannot be read, or is no option."""
    check_ordinary(Path(path), "a file of options")
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no TOML, no text, or nothing but brackets
        raise ValueError(f"'{path}' is no TOML file ({error}); wanted lines such as size = 1024") from None
    return options_of(given, path)


def options_of(given: Mapping[str, Any], path: str | Path) -> Options:
    """What a file says, by its own keys, as options. Raises ValueError as `read` does."""
    options = {}
    for key, value in given.items():
        if key not in KEYS:
            raise UnknownName(f"no option '{key}' in '{path}'; there are {', '.join(KEYS)}")
        options[KEYS[key]] = _checked(key, value, path)
    return options


def merge(*stronger_last: Mapping[str, Any]) -> Options:
    """One set of options of several; a weight drops weaker ones of the other kind: `outweighed`."""
    merged: Options = {}
    for options in stronger_last:
        merged = {name: value for name, value in merged.items() if name not in outweighed(options, merged)}
        merged.update(options)
    return merged


def outweighed(stronger: Collection[str], weaker: Collection[str]) -> tuple[str, ...]:
    """Which weaker options a weight of the other kind among the stronger ones drops: the weights, and tv with them."""
    for kind, other in ((MEASURED, RAW), (RAW, MEASURED)):
        if any(name in stronger for name in kind) and any(name in weaker for name in other):
            return (*other, "tv")
    return ()


def dump(options: Mapping[str, Any]) -> str:
    """The file that `read` makes these options of; those that are None have no line."""
    lines = [f"{key} = {_text(options[name])}" for key, name in KEYS.items() if options.get(name) is not None]
    return "\n".join(lines) + "\n"


def _checked(key: str, value: Any, path: str | Path) -> Any:
    """The value as Config has it."""
    hint = HINTS[KEYS[key]]
    types = [part for part in (get_args(hint) if type(None) in get_args(hint) else (hint,)) if part is not type(None)]
    wanted = types[0] if types[0] in WORDS else str  # layers are written as on the command line
    several = key == "style-loss" and isinstance(value, list)
    for item in value if several else [value]:
        if not (type(item) is wanted or (wanted is float and type(item) is int)):
            raise ValueError(f"{key} = {json.dumps(item, default=str)} in '{path}'; wanted {WORDS[wanted]}")
    try:
        if key == "style-loss":
            return [parse_loss(item) for item in (value if several else [value])]
        return value if types[0] in WORDS else parse_layers(value)
    except ValueError as error:
        raise ValueError(f"{key} in '{path}': {error}") from None


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return json.dumps(layers_text(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    if isinstance(value, LossSpec):
        return json.dumps(loss_text(value), ensure_ascii=False)
    if isinstance(value, bool | str | Path):
        return json.dumps(value if isinstance(value, bool) else str(value), ensure_ascii=False)
    return repr(value)
