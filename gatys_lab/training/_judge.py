"""How well a feed-forward model does what it approximates: the figures of its card, on pictures that it never saw.

Each measures the model's picture by the very objective that it was trained on, and the engine's beside it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from gatys_lab import catalog
from gatys_lab.engine import optimize
from gatys_lab.models import FeedForward, load_model
from gatys_lab.models.adaattn import LEVELS, AdaAttN
from gatys_lab.models.adain import AdaIN
from gatys_lab.models.inverse import LAYER, Inverse
from gatys_lab.objective import CONTENT, Fitted, content, is_style
from gatys_lab.training import adaattn as adaattn_recipe
from gatys_lab.training import adain as adain_recipe
from gatys_lab.training import inverse as inverse_recipe
from gatys_lab.training._fit import Recipe
from gatys_lab.types import Image, Network

Pair = tuple[Image, Image]  # content and style, (1, 3, H, W) each
EVALUATIONS, ADAM_STEPS = 50, 100  # of the engine, for AdaIN (its paper's figure 3) and for the swapped features


def judge(weights: str | Path, pairs: Sequence[Pair], rival: str | Path | None = None) -> dict[str, float]:
    """The figures of a model, means over the pairs. `rival`: an AdaIN whose local feature loss AdaAttN's is beside."""
    model = load_model(weights)
    if isinstance(model, AdaIN):
        return _mean(_adain, model, pairs)
    if isinstance(model, Inverse):
        return _mean(_inverse, model, pairs)
    assert isinstance(model, AdaAttN)
    return _mean(_adaattn, model, pairs) | (_mean(_local(model), load_model(rival), pairs) if rival else {})


def objective_of(model: FeedForward, photo: Image, painting: Image) -> Fitted:
    """What a model was trained to minimise, of this pair, (1, 3, H, W) each: the engine can minimise it, too."""
    if isinstance(model, AdaIN):
        return _fitted(adain_recipe.build(model), photo, painting)
    if isinstance(model, AdaAttN):
        return _fitted(adaattn_recipe.build(model), photo, painting)
    assert isinstance(model, Inverse)
    with torch.no_grad():
        target = model.swapped(model.features(photo)[LAYER], model.style_of(painting))
    return inverse_recipe.build(model).objective.fit({LAYER: target}, {})


def _mean(figures: Callable[..., dict[str, float]], model: FeedForward, pairs: Sequence[Pair]) -> dict[str, float]:
    rows = [figures(model, *pair) for pair in pairs]
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _adain(model: AdaIN, photo: Image, painting: Image) -> dict[str, float]:
    """The two losses of the model's picture, and of the engine's after `EVALUATIONS` from the photograph."""
    objective = objective_of(model, photo, painting)
    picture = model(photo, model.style_of(painting))
    optimizer = catalog.load("optimizers", "lbfgs")
    found = optimize(photo, model.encoder, objective, optimizer, evaluations=EVALUATIONS).image
    figures: dict[str, float] = {}
    for who, image in (("model", picture), ("engine", found), ("photo", photo)):
        parts = _parts(objective, model.encoder, image)
        figures[f"{who} style"] = sum(part for group, part in parts if is_style(group))
        figures[f"{who} content"] = sum(part for group, part in parts if group == CONTENT)
    return figures


def _inverse(model: Inverse, photo: Image, painting: Image) -> dict[str, float]:
    """The error of a photograph that goes through, and the objective of swapped features after the model's one pass
    and after `ADAM_STEPS` of the engine's from the photograph."""
    style, objective = model.style_of(painting), objective_of(model, photo, painting)
    found = optimize(photo, model.encoder, objective, catalog.load("optimizers", "adam"), evaluations=ADAM_STEPS).image
    return {
        "reconstruction error": float((model(photo, style, 0.0) - photo).abs().mean()),
        "model swapped": _total(objective, model.encoder, model(photo, style)),
        "engine swapped": _total(objective, model.encoder, found),
    }


def _adaattn(model: AdaAttN, photo: Image, painting: Image) -> dict[str, float]:
    figures = _local(model)(model, photo, painting)
    objective = _fitted(adaattn_recipe.build(model, content_weight=0.0), photo, painting)
    figures["model global"] = _total(objective, model.encoder, model(photo, model.style_of(painting)))
    return figures | {"photo global": _total(objective, model.encoder, photo)}


def _local(measure: AdaAttN) -> Callable[[FeedForward, Image, Image], dict[str, float]]:
    """The local feature loss, by AdaAttN's own targets, of any model's pictures."""

    def figures(model: FeedForward, photo: Image, painting: Image) -> dict[str, float]:
        seen, look = measure.features(photo), measure.features(painting)
        targets = adaattn_recipe.targets(measure, seen, look)
        picture = model(photo, model.style_of(painting))
        return {f"{model.name} local": _total(content(LEVELS).fit(targets, {}), measure.encoder, picture)}

    return figures


def _fitted(recipe: Recipe, photo: Image, painting: Image) -> Fitted:
    with torch.no_grad():
        _, seen, look = recipe.paint(photo, painting)
    return recipe.objective.fit(seen, look)


def _parts(objective: Fitted, network: Network, image: Image) -> list[tuple[str, float]]:
    """(group, weighted part) of every term."""
    with torch.no_grad():
        parts = objective(network(image, objective.layers)).parts
    return [(term.group, float(parts[term.name])) for term in objective.terms]


def _total(objective: Fitted, network: Network, image: Image) -> float:
    return sum(part for _, part in _parts(objective, network, image))
