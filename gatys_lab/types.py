"""The words that every room of the house uses: images, features, losses, solutions.

An *image* is a float tensor (N, 3, H, W): sRGB as stored in files (not linear light), channels R, G, B, range [0, 1].
*Features* map a layer's name to a tensor (N, C, h, w); the name "input" stands for the image itself.
Letters in shape comments: N batch, C channels, H W pixels, h w cells of a feature map, P = h*w positions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from torch import Tensor

Image = Tensor
Features = Mapping[str, Tensor]
Window = tuple[slice, slice]  # rows and columns of cells
Reason = Literal["budget", "converged", "stalled", "diverged", "interrupted", "memory"]
UNFINISHED: tuple[Reason, ...] = ("interrupted", "diverged", "memory")  # of a picture that is not what was asked for
T = TypeVar("T")


class Loss(NamedTuple):
    """What an objective returns: the scalar to differentiate, and its weighted, detached parts for logs and plots."""

    total: Tensor  # ()
    parts: Mapping[str, Tensor]  # each ()


class StyleLoss(Protocol[T]):
    """A distance between two feature maps as sets of positions, or to a target made from them."""

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> T:
        """Summarise the style's features (1, C, h, w) once, detached. `content` has the result's shape (1, C, h', w').

        `weights` (1, 1, h, w), non-negative: a soft mask over the style's positions.
        """
        ...

    def __call__(self, features: Tensor, target: T, weights: Tensor | None = None) -> Tensor:
        """The loss () of `features` (1, C, h', w'), a mean over positions; `weights` (1, 1, h', w') a soft mask."""
        ...


class Averaged(StyleLoss[T], Protocol):
    """A style loss that is a function of means over positions, which can be taken of a picture part by part.

    `loss(f, target, weights) == loss.of_means(loss.means(f, target, weights), target)`, up to rounding. A target that
    has the positions of the content needs a method `part(target, (rows, columns)) -> target` besides. Where the target
    is a function of `m = means(style, None, weights)` alone, a method `fit_means(m) -> target` says so: then no map of
    the style is held either.
    """

    def means(self, features: Tensor, target: T, weights: Tensor | None = None) -> Tensor:
        """Means over these positions, in 32 bits or better, in any shape that does not depend on their number."""
        ...

    def of_means(self, means: Tensor, target: T) -> Tensor:
        """The loss () of a picture that has these means."""
        ...


class Network(Protocol):
    """A loss network: an image in, named features out. It computes no layer below the deepest one asked for."""

    @property
    def name(self) -> str: ...

    @property
    def layers(self) -> tuple[str, ...]: ...

    def __call__(self, image: Image, layers: tuple[str, ...]) -> dict[str, Tensor]: ...

    def minimum_px(self, layers: tuple[str, ...]) -> int:
        """The smallest height or width of an image for which these layers can be computed."""
        ...

    def receptive_px(self, layer: str) -> int:
        """The side of the square of pixels that one cell of a layer depends on. Asked for by masks and tiles."""
        ...

    def stride_px(self, layers: tuple[str, ...]) -> int:
        """How far apart, in pixels, the cells of the deepest of these layers are. Asked for by tiles."""
        ...


class Through:
    """What looks through a network in a way of its own, and is one, too."""

    network: Network

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def layers(self) -> tuple[str, ...]:
        return self.network.layers

    def minimum_px(self, layers: tuple[str, ...]) -> int:
        return self.network.minimum_px(layers)

    def receptive_px(self, layer: str) -> int:
        return self.network.receptive_px(layer)

    def stride_px(self, layers: tuple[str, ...]) -> int:
        return self.network.stride_px(layers)


Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]  # x -> loss (), gradient (like x), both detached


class State(Protocol):
    """Where an optimiser stands. What else it holds is its own business, as long as it is tensors and numbers."""

    x: Tensor  # the current iterate
    average: Tensor | None  # what the optimiser would deliver instead of the best iterate seen
    reason: Literal["converged", "stalled", "diverged"] | None  # set when it cannot go on
    dropped: int  # how often it began anew from `x`, without its memory, since the loss no longer fell


class Optimizer(Protocol):
    """One iteration after another; `evaluate` may raise to end the run in the middle of one."""

    def start(self, x: Tensor) -> Any: ...

    def step(self, evaluate: Evaluate, state: Any) -> Any: ...

    def drafting(self) -> "Optimizer":
        """The same for a size that a larger one follows, where the large shapes count."""
        ...

    def smaller(self, x: Tensor) -> "Optimizer | None":
        """The same in less memory, for vectors like x; None where there is no such thing."""
        ...


@dataclass(frozen=True)
class Step:
    """One evaluation, as callbacks see it. `image` is the iterate, unclamped and not a copy: clone what you keep."""

    evaluation: int  # 1, 2, ... within this scale
    evaluations: int  # this scale's budget
    size_px: int  # longest side
    loss: Tensor  # (), detached: float() of it waits for the device
    parts: Mapping[str, Tensor]
    seconds: float  # since the scale began
    image: Image


@dataclass(frozen=True)
class Solution:
    """The delivered image, clamped to [0, 1], and the loss of exactly that image.

    Where that cannot be computed any more (it is not finite, or there is no memory) the loss is the one seen before.
    `notes`: what went wrong and how it went on, a line each, for a person.
    """

    image: Image
    loss: float
    evaluations: int
    reason: Reason
    notes: tuple[str, ...] = ()
