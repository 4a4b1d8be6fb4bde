"""How a user writes losses and layers in one string: `mmd-poly:0.5,degree=3` and `relu1_1:2,relu2_1`. No torch here.

A mixture is joined by +, `gram+bn:0.5`; a grid lists the values of one key, `balance=0.3,1,3`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Value = int | float | bool | str


@dataclass(frozen=True)
class LossSpec:
    """NAME[:WEIGHT][,key=value...]; the name is a file of losses/, or the path of a .py file with a build()."""

    name: str
    weight: float = 1.0
    options: dict[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [f"{key}={value}" for key, value in self.options.items()]
        return " ".join([*([] if self.weight == 1 else [f"{self.weight:g}"]), self.name, *words])


@dataclass(frozen=True)
class Grid:
    """KEY=VALUE,VALUE,...: what is varied, and the values as they were typed."""

    key: str
    values: tuple[str, ...]


def parse_loss(text: str) -> LossSpec:
    """
    >>> parse_loss("mmd-poly:0.5,degree=3")
    LossSpec(name='mmd-poly', weight=0.5, options={'degree': 3})
    """
    head, *pairs = text.split(",")
    name, weight = _name_and_weight(head, text)
    options: dict[str, Value] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"'{pair}' in '{text}' is no option; wanted NAME[:WEIGHT][,key=value...]")
        options[key.strip().replace("-", "_")] = parse_value(value.strip())
    return LossSpec(name, weight, options)


def parse_mixture(text: str) -> tuple[LossSpec, ...]:
    """
    >>> [str(spec) for spec in parse_mixture("gram:0.5+mmd-gaussian,bandwidth=1e+2")]
    ['0.5 gram', 'mmd-gaussian bandwidth=100.0']
    """
    return tuple(parse_loss(part) for part in re.split(r"\+(?!\d)", text))  # the + of 1e+2 joins nothing


def parse_grid(text: str) -> Grid:
    """
    >>> parse_grid("balance=0.3,1,3")
    Grid(key='balance', values=('0.3', '1', '3'))
    """
    key, equals, values = text.partition("=")
    each = tuple(value.strip() for value in values.split(","))
    if not equals or not key.strip() or "" in each:
        raise ValueError(f"'{text}' is no grid; wanted KEY=VALUE,VALUE,... such as balance=0.3,1,3")
    twice = next((value for value in each if each.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} twice in '{text}'; give each value once")
    return Grid(key.strip().replace("_", "-"), each)


def parse_point(text: str) -> tuple[float, float]:
    """
    >>> parse_point("0.5,0.2")  # half of the width from the left, a fifth of the height from the top
    (0.5, 0.2)
    """
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError:
        x = y = -1.0
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f"'{text}' is no place; wanted X,Y, shares of width and height from 0 to 1, such as 0.5,0.2")
    return x, y


def parse_value(text: str) -> Value:
    """
    >>> parse_value("3"), parse_value("0.5"), parse_value("true"), parse_value("exact")
    (3, 0.5, True, 'exact')
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def parse_layers(text: str) -> dict[str, float]:
    """
    >>> parse_layers("relu1_1:2,conv4_2")
    {'relu1_1': 2.0, 'conv4_2': 1.0}
    """
    layers: dict[str, float] = {}
    for item in text.split(","):
        name, weight = _name_and_weight(item.strip(), text)
        if name in layers:
            raise ValueError(f"layer '{name}' twice in '{text}'; give each layer once, with its weight")
        layers[name] = weight
    return layers


def parse_weighted(text: str) -> tuple[str, float]:
    """
    >>> parse_weighted("painting.jpg:0.7"), parse_weighted("painting.jpg")
    (('painting.jpg', 0.7), ('painting.jpg', 1.0))
    """
    return _name_and_weight(text, text)


def parse_name(text: str) -> tuple[str, dict[str, Value]]:
    """
    >>> parse_name("lbfgs,history=20")
    ('lbfgs', {'history': 20})
    """
    spec = parse_loss(text)
    if text.partition(",")[0] != spec.name:
        raise ValueError(f"'{text}' has a weight, which means nothing here; wanted NAME[,key=value...]")
    return spec.name, spec.options


def loss_text(spec: LossSpec) -> str:
    """What `parse_loss` makes the spec of.

    >>> loss_text(LossSpec("mmd-poly", 0.5, {"degree": 3}))
    'mmd-poly:0.5,degree=3'
    """
    options = "".join(f",{key}={value}" for key, value in spec.options.items())
    return f"{spec.name}:{_short(spec.weight)}{options}"


def layers_text(layers: Mapping[str, float]) -> str:
    """What `parse_layers` makes the layers of.

    >>> layers_text({"relu1_1": 2.0, "conv4_2": 1.0})
    'relu1_1:2,conv4_2'
    """
    return ",".join(name if weight == 1 else f"{name}:{_short(weight)}" for name, weight in layers.items())


def _short(number: float) -> str:
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)


def _name_and_weight(item: str, text: str) -> tuple[str, float]:
    name, colon, number = item.rpartition(":")
    try:
        weight = float(number) if colon else 1.0
    except ValueError:  # the colon belongs to the name, as in C:\loss.py
        name, colon, weight = item, "", 1.0
    name = name if colon else item
    if not name:
        raise ValueError(f"no name in '{text}'; wanted NAME or NAME:WEIGHT, separated by commas")
    if not 0 <= weight < float("inf"):
        raise ValueError(f"the weight of {name} is {weight:g}; wanted a number of at least 0")
    return name, weight
