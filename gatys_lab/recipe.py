"""What a configuration asks for, as an objective: which losses at which layers, of which style, how strong."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gatys_lab import catalog
from gatys_lab.config import BALANCED_TV, STYLE_LAYERS, Config
from gatys_lab.objective import Objective, content, smoothness, style
from gatys_lab.specs import LossSpec, parse_loss, parse_name
from gatys_lab.styles import Losses, Style
from gatys_lab.types import Optimizer, StyleLoss

log = logging.getLogger(__name__)


def objective_of(config: Config, styles: Sequence[Style], *, tileable: bool = False) -> Objective:
    """The sum that a configuration asks for, of styles whose weights sum to 1. `tileable`: smooth across the edges.

    Style losses whose target carries the content (style-swap) get no content term when they are alone.
    """
    wanted = [(style, losses_of(style, config)) for style in styles]
    alone = all(getattr(loss, "carries_content", False) for _, losses in wanted for loss, _ in losses.values())
    alone = alone and config.strength is None
    raw = config.content_weight is not None or config.style_weight is not None
    if raw and config.strength is not None:
        raise ValueError("a strength goes with balance, not with raw weights; leave out the one or the others")
    kept, odds = _shares(config.strength)
    strength = (
        config.style_weight if config.style_weight is not None else 1.0 if raw or alone else config.balance * odds
    )
    terms = []
    for i, (one, losses) in enumerate(wanted):
        mixture = sum(weight for _, weight in losses.values())
        if not mixture > 0:
            raise ValueError("the weights of the style losses sum to 0; wanted at least one above 0")
        for name, (loss, weight) in losses.items():
            own = 1.0 if one.content_mask is not None else one.weight  # masks have the weights in them: masks.claims
            factor, layers = strength * weight / mixture * own, config.style_layers or _usual_layers(loss)
            group = name if len(styles) == 1 else f"{name} of style {i + 1}"
            terms.append(factor * style(loss, layers, name=group, of=i))
    if alone:
        names = ", ".join(dict.fromkeys(name for _, losses in wanted for name in losses))
        log.info("the target of %s carries the content: no content term, and no balance", names)
    else:
        terms.append(
            (kept if config.content_weight is None else config.content_weight) * content(config.content_layers)
        )
    tv = config.tv if config.tv is not None else 0.0 if raw else BALANCED_TV * min(odds, 1)
    if tv > 0:
        terms.append(tv * smoothness(config.tv_kind, around=tileable))
    counted = [term for objective in terms for term in objective.terms if term.factor * term.share > 0]
    if not counted:
        raise ValueError("the weights of all losses and layers are 0; wanted at least one above 0")
    return Objective(tuple(counted))


def optimizer_of(config: Config) -> Optimizer:
    """The optimiser, with its options: "lbfgs,history=100"."""
    name, options = parse_name(config.optimizer)
    return catalog.load("optimizers", name, **options)


def needs_32_bits(config: Config, styles: Sequence[Style]) -> bool:
    """Whether a loss asks for 32 bits (style-swap does)."""
    wanted = (losses_of(style, config) for style in styles)
    return any(getattr(loss, "needs_32_bits", False) for losses in wanted for loss, _ in losses.values())


def _shares(strength: float | None) -> tuple[float, float]:
    """What strength multiplies content and balance by: half changes nothing, 0 leaves the content, 1 the style."""
    if strength is None:
        return 1.0, 1.0
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength:g}; wanted 0 (the photo) to 1 (the style alone)")
    return (0.0, 1.0) if strength == 1 else (1.0, strength / (1 - strength))


def _usual_layers(loss: StyleLoss) -> dict[str, float]:
    """Where a loss is measured unless the user says otherwise: a loss may have layers of its own (style-swap's)."""
    return getattr(loss, "usual_layers", STYLE_LAYERS)


def losses_of(style: Style, config: Config) -> dict[str, tuple[StyleLoss, float]]:
    """What a style is measured by, with weights, by name."""
    return _losses(config.style_loss if style.loss is None else style.loss)


def _losses(given: Losses) -> dict[str, tuple[StyleLoss, float]]:
    """Style losses with their weights, under names that tell them apart."""
    items: Iterable[tuple[Any, float]]
    if isinstance(given, Mapping):
        items = given.items()
    elif isinstance(given, Sequence) and not isinstance(given, str):
        items = [(item, 1.0) for item in given]
    else:
        items = [(given, 1.0)]
    losses: dict[str, tuple[StyleLoss, float]] = {}
    for item, weight in items:
        spec = parse_loss(item) if isinstance(item, str) else item
        if isinstance(spec, LossSpec):
            name, loss, weight = spec.name, catalog.load("losses", spec.name, **spec.options), weight * spec.weight
        else:
            name, loss = type(spec).__name__, spec
        count = sum(known.split("#")[0] == name for known in losses)
        losses[name if not count else f"{name}#{count + 1}"] = (loss, weight)
    return losses
