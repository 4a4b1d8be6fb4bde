"""What is minimised: content + style + smoothness, built with + and *, fitted to the features of a photo and of styles.

>>> objective = content("relu4_2") + 5 * style("gram", ["relu1_1", "relu2_1"]) + 0.1 * smoothness()
>>> objective.layers
('relu4_2', 'relu1_1', 'relu2_1', 'input')

Gatys et al. 2016, eq. 7. Differs: every loss is a mean, and `balanced` measures the trade-off instead of tabulating it.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gatys_lab import catalog
from gatys_lab.types import Features, Image, Loss, Network, StyleLoss, Window
from gatys_lab.variation import KINDS, total_variation

CONTENT, SMOOTHNESS, STEADINESS = "content", "tv", "temporal"  # the groups that are no style loss
NOISE = 0.1  # standard deviation, of the pixel range, at the point where `balanced` measures


class Region(NamedTuple):
    """Where a style is painted, and which part of it counts: soft masks (1, 1, h, w) by layer. None is all of it."""

    where: Features | None = None
    what: Features | None = None


class Places(NamedTuple):
    """A region at one layer."""

    where: Tensor | None = None
    what: Tensor | None = None


@dataclass(frozen=True)
class AtLayer:
    """A loss at one layer, with its target, and where it is measured (1, 1, h, w)."""

    loss: Any
    target: Any
    where: Tensor | None = None

    def __call__(self, features: Tensor) -> Tensor:
        if self.where is None:
            return self.loss(features, self.target)
        return self.loss(features, self.target, self.where)

    @property
    def averaged(self) -> bool:
        """Whether it is a function of means over positions: see types.Averaged."""
        return hasattr(self.loss, "means")

    def part(self, window: Window) -> "AtLayer":
        """The same for some of the positions; what it says of them is no loss, but has means."""
        where = None if self.where is None else self.where[(..., *window)]
        return replace(self, target=self._target(window), where=where)

    def means(self, features: Tensor) -> Tensor:
        if self.where is None:
            return self.loss.means(features, self.target)
        return self.loss.means(features, self.target, self.where)

    def of_means(self, means: Tensor) -> Tensor:
        return self.loss.of_means(means, self.target)

    def _target(self, window: Window) -> Any:
        return self.loss.part(self.target, window) if hasattr(self.loss, "part") else self.target


@dataclass(frozen=True)
class Term:
    """One loss at one layer. `group` is what balance treats as one: "content", "tv", or a style loss's name."""

    group: str
    layer: str
    share: float  # of the layer within its group
    fit: Callable[[Tensor | None, Tensor | None, Places], Callable[[Tensor], Tensor]]  # content's, style's features
    factor: float = 1.0  # of the group within the objective: what * multiplies
    of: int = 0  # which of several styles it is fitted to
    sees: bool = True  # whether fitting it takes the content's features
    fit_means: Callable[[Callable[[AtLayer], Tensor], Places], AtLayer] | None = None  # to the style's means alone

    @property
    def name(self) -> str:
        return self.group if self.layer == "input" else f"{self.group} {self.layer}"

    def fitted(self, content: Features, style: Features | None, places: Places) -> Callable[[Tensor], Tensor]:
        """To the features of the pictures; to the style's means, where its features tell them (tiling.Looked)."""
        means = getattr(style, "means", None)
        if self.fit_means is not None and means is not None:
            return self.fit_means(partial(means, self.layer), places)
        seen = content.get(self.layer) if self.sees else None
        return self.fit(seen, None if style is None else style.get(self.layer), places)


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms, not yet fitted to pictures."""

    terms: tuple[Term, ...]

    def __add__(self, other: "Objective") -> "Objective":
        return Objective(self.terms + other.terms)

    def __mul__(self, factor: float) -> "Objective":
        return Objective(tuple(replace(term, factor=factor * term.factor) for term in self.terms))

    __rmul__ = __mul__

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(term.layer for term in self.terms))

    def layers_of(self, *, style: bool, of: int | None = None) -> tuple[str, ...]:
        """The layers that fitting needs of the style, or of the content (which some style losses see, too).

        `of`: of this one of several styles; None: of all.
        """
        terms = [t for t in self.terms if ((is_style(t.group) and of in (None, t.of)) if style else t.sees)]
        return tuple(dict.fromkeys(t.layer for t in terms))

    def fit(self, content: Features, *styles: Features, regions: Sequence[Region] = ()) -> "Fitted":
        """Summarise the pictures once. Nothing of them is differentiated. `regions`: one a style, or none.

        A style's weight in a region is as if the region were the whole picture: its mean over the region times the
        region's share of all cells, so that a cell inside is pulled as strongly as without a mask. Terms whose region
        is empty at their layer are left out.
        """
        terms, losses, weights, extents = [], [], [], []
        with torch.no_grad():
            for term in self.terms:
                look, places = None, Places()
                if is_style(term.group):
                    look = styles[term.of]
                    places = _at(regions[term.of], term.layer) if regions else places
                if any(place is not None and not place.max() > 0 for place in places):
                    continue
                terms.append(term)
                losses.append(term.fitted(content, look, places))
                share, extent = (1.0, 1.0) if places.where is None else _spread(places.where)
                weights.append(term.factor * term.share * share)
                extents.append(extent)
        if not terms:
            raise ValueError("the masks leave nothing at any of the layers; choose shallower layers, or a larger size")
        reads = tuple(term.layer for term in terms)
        return Fitted(tuple(terms), tuple(losses), tuple(weights), tuple(extents), reads)


@dataclass(frozen=True)
class Fitted:
    """An objective of features: `objective(features) -> Loss`."""

    terms: tuple[Term, ...]
    losses: tuple[Callable[[Tensor], Tensor], ...]
    weights: tuple[float, ...]
    extents: tuple[float, ...]  # root mean square of where each is measured, over all cells: 1 without masks
    reads: tuple[str, ...]  # what each takes of the features: its layer, or its means (see tiling.py)

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.reads))

    def __call__(self, features: Features) -> Loss:
        parts: dict[str, Tensor] = {}
        total = None
        for term, loss, weight, read in zip(self.terms, self.losses, self.weights, self.reads, strict=True):
            value = weight * loss(features[read])
            total = value if total is None else total + value
            parts[term.name] = parts[term.name] + value.detach() if term.name in parts else value.detach()
        assert total is not None, "an objective has terms"
        return Loss(total, parts)


def content(layers: str | Iterable[str] | Mapping[str, float]) -> Objective:
    """Mean squared distance of features to the content's. Gatys et al. 2016, eq. 1, a mean instead of half a sum."""

    def fit(content: Tensor | None, style: Tensor | None, places: Places) -> Callable[[Tensor], Tensor]:
        assert content is not None
        return AtLayer(_Distance(), content.detach())

    return Objective(tuple(Term(CONTENT, layer, weight, fit) for layer, weight in _weights(layers).items()))


class _Distance:
    """The mean squared distance of features to a target of the same shape."""

    def __call__(self, features: Tensor, target: Tensor) -> Tensor:
        return (features - target).square().mean(dtype=torch.promote_types(features.dtype, torch.float32))

    means = __call__

    def of_means(self, means: Tensor, target: Tensor) -> Tensor:
        return means

    def part(self, target: Tensor, window: Window) -> Tensor:
        return target[(..., *window)]


def style(
    loss: str | StyleLoss,
    layers: str | Iterable[str] | Mapping[str, float],
    name: str | None = None,
    *,
    of: int = 0,
    **options: Any,
) -> Objective:
    """A style loss, by name with its `build()` options or as an object, at each of the layers.

    `name` is what logs call it; losses of one name are balanced as one. `of`: of several styles, the one it is fitted
    to, in the order in which `Objective.fit` gets them.
    """
    built = catalog.load("losses", loss, **options) if isinstance(loss, str) else loss
    group = name or (loss if isinstance(loss, str) else type(loss).__name__)
    sees = getattr(built, "needs_content", True)

    def check(places: Places) -> None:
        if any(place is not None for place in places) and "weights" not in inspect.signature(built.fit).parameters:
            raise ValueError(f"{group} takes no masks; give its fit() and its __call__() an argument `weights`")

    def fit(content: Tensor | None, style: Tensor | None, places: Places) -> Callable[[Tensor], Tensor]:
        assert style is not None and (content is not None or not sees)
        content = style.new_empty(0) if content is None else content
        check(places)
        target = built.fit(style, content) if places.what is None else built.fit(style, content, places.what)
        return AtLayer(built, target, places.where)

    def fit_means(means: Callable[[AtLayer], Tensor], places: Places) -> AtLayer:
        check(places)
        return AtLayer(built, of_means(means(AtLayer(built, None, places.what))), places.where)

    of_means: Any = getattr(built, "fit_means", None)
    term = Term(group, "", 1.0, fit, of=of, sees=sees, fit_means=fit_means if of_means else None)
    return Objective(tuple(replace(term, layer=layer, share=share) for layer, share in _weights(layers).items()))


def smoothness(kind: str = "l2", *, around: bool = False) -> Objective:
    """Total variation of the picture, "l2" or "l1": see variation.py."""
    if kind not in KINDS:
        raise ValueError(f"no total variation '{kind}'; there are {', '.join(KINDS)}")

    def loss(x: Tensor) -> Tensor:
        return total_variation(x, kind, around=around)

    return Objective((Term(SMOOTHNESS, "input", 1.0, lambda content, style, places: loss, sees=False),))


def steadiness(before: Image, trust: Tensor) -> Objective:
    """Mean squared distance to the last painted frame, warped (1, 3, H, W), where `trust` (1, 1, H, W) has it.

    The temporal loss of Ruder et al. 2016, eq. 7.
    """

    def loss(x: Tensor) -> Tensor:
        return ((x - before.to(x)).square() * trust.to(x)).mean()

    return Objective((Term(STEADINESS, "input", 1.0, lambda content, style, places: loss, sees=False),))


def is_style(group: str) -> bool:
    return group not in (CONTENT, SMOOTHNESS, STEADINESS)


def balanced(objective: Fitted, network: Network, photo: Image, seed: int = 0) -> Fitted:
    """Give every term the gradient norm 1 on the image, so that the factors written with * and the shares are left.

    Then `content(...) + 5 * style(...)` means the same whatever the loss, network or size. Measured at one fixed point:
    the photo plus N(0, NOISE^2), clamped (at the photo itself the content has no gradient). Layer by layer, a group's
    shares made to sum to 1: brought to a norm as a whole, a style loss is its strongest layer's alone, and lions
    stay grey where they should turn to candy. A term that is measured in a region gets the norm that it would have
    there as a part of the whole picture.
    """
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(seed)).to(photo)
    point = noise.mul_(NOISE).add_(photo).clamp_(0, 1).requires_grad_()
    features = network(point, objective.layers)
    whole: dict[str, float] = {}
    for term in objective.terms:
        whole[term.group] = whole.get(term.group, 0.0) + term.share
    weights = []
    fitted = zip(objective.terms, objective.losses, objective.extents, objective.reads, strict=True)
    for term, loss, extent, read in fitted:
        norm = float(torch.linalg.vector_norm(*torch.autograd.grad(loss(features[read]), point, retain_graph=True)))
        if not 0 < norm < float("inf"):
            raise ValueError(f"cannot balance '{term.name}': its gradient on this picture is {norm}; give raw weights")
        weights.append(term.factor * term.share / whole[term.group] / norm * extent)
    return replace(objective, weights=tuple(weights))


def _at(region: Region, layer: str) -> Places:
    return Places(*(None if masks is None else masks[layer] for masks in region))


def _spread(where: Tensor) -> tuple[float, float]:
    """The mean and the root mean square of a mask."""
    return float(where.mean()), float(where.square().mean().sqrt())


def _weights(layers: str | Iterable[str] | Mapping[str, float]) -> dict[str, float]:
    if isinstance(layers, str):
        return {layers: 1.0}
    return dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0)
