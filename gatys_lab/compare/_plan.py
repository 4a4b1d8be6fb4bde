"""What is compared: ways to paint, in rows. A way is a mixture of losses with options of the job, or a model.

A grid varies one thing: an option of the job, or, by any other name, an option of the losses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gatys_lab import catalog
from gatys_lab.config import COMPARED, STARTS
from gatys_lab.errors import UnknownName
from gatys_lab.specs import Grid, LossSpec, parse_layers, parse_value

Mixture = tuple[LossSpec, ...]
ALIASES = {"sigma": "bandwidth"}  # s, as the papers write it


@dataclass(frozen=True)
class Way:
    """One way to paint. `label` names it in tables, `caption` below its picture, where what all share is left out."""

    label: str
    caption: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)  # fields of config.Config
    model: LossSpec | None = None  # a feed-forward model, by name and options


def _number(text: str, least: float, open_end: bool = False) -> float:
    value = parse_value(text)
    if isinstance(value, bool | str) or not (value > least if open_end else value >= least) or value == float("inf"):
        raise ValueError(f"'{text}'; wanted a number {'above' if open_end else 'of at least'} {least:g}")
    return value


def _whole(text: str, least: int) -> int:
    value = parse_value(text)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"'{text}'; wanted a whole number of at least {least}")
    return value


def _layers(text: str) -> dict[str, float]:
    return parse_layers(text.replace("+", ","))


def _one_of(text: str, known: Sequence[str]) -> str:
    if text not in known:
        raise ValueError(f"'{text}'; wanted {' or '.join(known)}")
    return text


def _start(text: str) -> str:
    known = (*STARTS, *catalog.names("models"))
    if text not in known and not Path(text).is_file():
        raise ValueError(f"'{text}'; wanted {', '.join(known)}, or a file")
    return text


JOB: dict[str, tuple[str, Callable[[str], Any]]] = {  # what a grid may call an option of the job -> field, parser
    "balance": ("balance", lambda text: _number(text, 0)),
    "layers": ("style_layers", _layers),
    "content-layers": ("content_layers", _layers),
    "tv": ("tv", lambda text: _number(text, 0)),
    "style-scale": ("style_scale", lambda text: _number(text, 0, open_end=True)),
    "evaluations": ("evaluations", lambda text: _whole(text, 2)),
    "optimizer": ("optimizer", str),
    "network": ("network", str),
    "pooling": ("pooling", str),
    "precision": ("precision", lambda text: _one_of(text, ("fp32", "bf16"))),
    "init": ("init", _start),
    "seed": ("seed", lambda text: _whole(text, 0)),
}


def plan(
    losses: Sequence[Mixture] | None, models: Sequence[LossSpec] = (), grids: Sequence[Grid] = ()
) -> tuple[tuple[Way, ...], ...]:
    """Rows of ways. Without a grid there is one; else a row for each value of the first of two grids (or none), for
    each mixture, whose columns are the last grid's values; models have a row of their own.

    `losses` None: each of `COMPARED` alone, as far as the grids mean something to it; if to none, the catalogue's.
    """
    if len(grids) > 2 or len({grid.key for grid in grids}) < len(grids):
        raise ValueError(f"grids over {', '.join(g.key for g in grids)}; wanted one, or two that differ")
    alone = losses is None
    mixtures = list(losses or ())
    if alone:
        mixtures = _usual(COMPARED, grids) or _usual(catalog.names("losses"), grids)
        if not mixtures:
            raise UnknownName(f"no loss takes {' and '.join(g.key for g in grids)}; there are {', '.join(_known())}")
    rows: list[tuple[Way, ...]] = [(_way(mixture, captioned=not grids or len(mixtures) > 1),) for mixture in mixtures]
    for grid in grids[:-1]:
        rows = [(_varied(row[0], grid.key, value),) for row in rows for value in grid.values]
    for grid in grids[-1:]:
        rows = [tuple(_varied(row[0], grid.key, value) for value in grid.values) for row in rows]
    painters = tuple(_model(spec) for spec in models)
    table = tuple(rows) if grids else (tuple(way for row in rows for way in row) + painters,)
    table = tuple(row for row in ((*table, painters) if grids else table) if row)
    if not table:
        raise ValueError("nothing to compare; wanted at least one loss or model")
    labels = [way.label for row in table for way in row]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ValueError(f"'{twice}' twice; name each loss, mixture and model once")
    return table


def _usual(names: Sequence[str], grids: Sequence[Grid]) -> list[Mixture]:
    """Each of these losses alone, if all grids mean something to it."""
    mixtures: list[Mixture] = [(LossSpec(name),) for name in names]
    return [mixture for mixture in mixtures if all(varies(mixture, grid.key) for grid in grids)]


def _way(mixture: Mixture, captioned: bool) -> Way:
    label = " + ".join(map(str, mixture))
    return Way(label, label if captioned else "", {"style_loss": mixture})


def _model(spec: LossSpec) -> Way:
    if spec.name not in catalog.names("models"):
        raise UnknownName(f"no model '{spec.name}'; there are {', '.join(catalog.names('models'))}")
    if spec.weight != 1:
        raise ValueError(f"'{spec.name}:{spec.weight:g}'; a model has no weight: wanted {spec.name},alpha=0.5")
    alpha = spec.options.get("alpha", 1.0)
    if isinstance(alpha, bool | str) or not 0 <= alpha <= 1:
        raise ValueError(f"{spec.name},alpha={alpha}; wanted 0 (the photo) to 1 (the style)")
    return Way(str(spec), str(spec), model=spec)


def _varied(way: Way, key: str, text: str) -> Way:
    mixture: Mixture = way.options["style_loss"]
    value = f"{key} {text.replace('+', ' + ')}"
    label, caption = f"{way.label}, {value}", f"{way.caption}, {value}".removeprefix(", ")
    if not varies(mixture, key):
        reason = "its target carries the content" if key == "balance" else f"it has no option '{key}'"
        raise UnknownName(f"a grid over {key} changes nothing of {way.label}: {reason}; leave one of them out")
    if key in JOB:
        name, parse = JOB[key]
        try:
            return replace(way, label=label, caption=caption, options={**way.options, name: parse(text)})
        except ValueError as error:
            raise ValueError(f"--grid {key}: {error}") from None
    option = ALIASES.get(key, key).replace("-", "_")
    changed = tuple(
        replace(spec, options={**spec.options, option: parse_value(text)}) if _takes(spec, option) else spec
        for spec in mixture
    )
    return replace(way, label=label, caption=caption, options={**way.options, "style_loss": changed})


def varies(mixture: Mixture, key: str) -> bool:
    """Whether a mixture paints another picture when this is varied."""
    if key == "balance":
        return not all(getattr(built(spec), "carries_content", False) for spec in mixture)
    return key in JOB or any(_takes(spec, ALIASES.get(key, key).replace("-", "_")) for spec in mixture)


def built(spec: LossSpec) -> Any:
    return catalog.load("losses", spec.name, **spec.options)


def _takes(spec: LossSpec, option: str) -> bool:
    return option in catalog.options_of("losses", spec.name)


def _known() -> list[str]:
    own = {option for name in catalog.names("losses") for option in catalog.options_of("losses", name)}
    return [*JOB, *sorted(own)]
