"""The walk that vgg19, vgg16 and lite share: convolution, ReLU, pooling, to the deepest layer asked for and no further.

Simonyan & Zisserman 2015, configurations D and E. Differs: pooling and padding can be chosen (Gatys et al. 2016 prefer
average pooling), and a network may carry *heads*: 1x1 convolutions that are read after a ReLU and that its own path
does not pass through (see lite.py).
"""

import copy
from collections.abc import Collection
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatys_lab.errors import UnknownName

DEPTHS = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}  # convolutions a block
POOLINGS = ("max", "avg", "l2")
PADDINGS = ("zeros", "reflect", "circular")
EPS = 1e-8  # inside the root of l2 pooling, whose gradient at 0 would be infinite


def plan(depths: tuple[int, ...]) -> tuple[str, ...]:
    """The layers in order: conv1_1, relu1_1, conv1_2, relu1_2, pool1, ..."""
    steps: list[str] = []
    for block, depth in enumerate(depths, start=1):
        for i in range(1, depth + 1):
            steps += [f"conv{block}_{i}", f"relu{block}_{i}"]
        steps.append(f"pool{block}")
    return tuple(steps)


def reach(depths: tuple[int, ...], convolutions: Collection[str]) -> tuple[str, ...]:
    """The layers in order, as far as these convolutions carry."""
    steps = plan(depths)
    missing = next((s for s in steps if s.startswith("conv") and s not in convolutions), None)
    return steps if missing is None else steps[: steps.index(missing)]


def check_option(option: str, value: str, known: Collection[str]) -> None:
    """Raises UnknownName if the option has no such value."""
    if value not in known:
        raise UnknownName(f"no {option} '{value}'; there are {', '.join(known)}")


class VGG(nn.Module):
    """A VGG whose parameters are named conv1_1.weight, conv1_1.bias, ..., and head1_1.weight ... where it has heads.

    `layers` names what it can compute ("input" is the image itself); it ends where `widths` says.
    """

    def __init__(
        self,
        name: str,
        widths: dict[str, int],
        *,
        depths: tuple[int, ...] = DEPTHS["vgg19"],
        heads: dict[str, int] | None = None,
        pooling: str = "max",
        padding: str = "zeros",
        ceil_mode: bool = False,
    ) -> None:
        """`widths`: output channels by convolution ("conv1_1": 64, ...); `heads`: outputs by ReLU ("relu1_1": 16)."""
        super().__init__()
        check_option("pooling", pooling, POOLINGS)
        check_option("padding", padding, PADDINGS)
        self.source = name  # which weights, for a person to read; set by whoever loads them
        self.name, self.pooling, self.padding, self.ceil_mode = name, pooling, padding, ceil_mode
        self.heads = dict(heads or {})
        self.lifts: dict[str, Tensor] = {}  # head -> columns (C, r) to its teacher's channels, where weights have them
        self.preprocess: nn.Conv2d | None = None  # a 1x1 convolution on RGB in [0, 1]; None: folded into conv1_1
        self.steps = reach(depths, widths)
        self.beyond = plan(depths)[len(self.steps) :]  # what the architecture has and these weights do not
        self.layers = ("input", *self.steps)
        channels = 3
        for step in self.steps:
            if step.startswith("conv"):
                self.add_module(step, nn.Conv2d(channels, widths[step], 3))
                channels = widths[step]
            elif step in self.heads:
                self.add_module(_head(step), nn.Conv2d(channels, self.heads[step], 1))

    def forward(self, image: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        """Features of an image (N, 3, H, W) by name, in the parameters' precision and channels_last."""
        self.check(layers)
        wanted = set(layers)
        out = {"input": image} if "input" in wanted else {}
        x = image.to(next(self.parameters()).dtype).contiguous(memory_format=torch.channels_last)
        if self.preprocess is not None and len(out) < len(wanted):
            x = self.preprocess(x)
        for step in self._walk(wanted):
            if len(out) == len(wanted):
                break
            x = self._do(step, x, in_place=step.replace("relu", "conv") not in wanted)
            if step in wanted:
                out[step] = getattr(self, _head(step))(x) if step in self.heads else x
        return out

    def _walk(self, wanted: set[str]) -> list[str]:
        """The steps in order; max-pooling comes before a ReLU that nobody reads: the same values, a quarter of them."""
        walk = list(self.steps)
        for i, pair in enumerate(pairwise(self.steps)):
            if self.pooling == "max" and pair[1].startswith("pool") and not wanted.intersection(pair):
                walk[i : i + 2] = reversed(pair)
        return walk

    def _do(self, step: str, x: Tensor, in_place: bool) -> Tensor:
        if step.startswith("conv"):
            return self._convolve(getattr(self, step), x)
        if step.startswith("relu"):
            return F.relu_(x) if in_place else F.relu(x)
        if self.pooling == "max":
            return F.max_pool2d(x, 2, ceil_mode=self.ceil_mode)
        if self.pooling == "avg":
            return F.avg_pool2d(x, 2, ceil_mode=self.ceil_mode)
        return (F.avg_pool2d(x * x, 2, ceil_mode=self.ceil_mode) + EPS).sqrt()

    def _convolve(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        if self.padding == "zeros":
            return F.conv2d(x, conv.weight, conv.bias, padding=1)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=self.padding), conv.weight, conv.bias)

    def check(self, layers: tuple[str, ...]) -> None:
        """Raises UnknownName, a ValueError, if a layer is not the network's own."""
        for layer in layers:
            if layer in self.beyond:
                raise UnknownName(f"no layer '{layer}'; these weights end at {self.steps[-1]} ({self.source})")
            if layer not in self.layers:
                raise UnknownName(f"no layer '{layer}'; {self.name} has input, {self.steps[0]} ... {self.steps[-1]}")

    def receptive_px(self, layer: str) -> int:
        """The side of the square of pixels that one cell of a layer depends on."""
        self.check((layer,))
        side, stride = 1, 1
        for step in self.steps[: self.layers.index(layer)]:
            if step.startswith("conv"):
                side += 2 * stride
            elif step.startswith("pool"):
                side, stride = side + stride, 2 * stride
        return side

    def stride_px(self, layers: tuple[str, ...]) -> int:
        """How far apart, in pixels, the cells of the deepest of these layers are."""
        self.check(layers)
        deepest = max(self.layers.index(layer) for layer in layers)
        return 2 ** sum(step.startswith("pool") for step in self.steps[:deepest])

    def around(self) -> "VGG":
        """The same network for pictures that go on where they end: circular padding. The weights are shared."""
        other = copy.copy(self)
        other.padding = "circular"
        return other

    def minimum_px(self, layers: tuple[str, ...]) -> int:
        """The smallest height or width of an image for which these layers can be computed."""
        self.check(layers)
        walk = self.steps[: max((self.layers.index(layer) for layer in layers), default=0)]
        pools = sum(step.startswith("pool") for step in walk[:-1])  # before the deepest convolution
        cells = 2 if self.padding == "reflect" and walk else 1  # a reflection needs a neighbour
        if self.ceil_mode:
            return (cells - 1) * 2**pools + 1
        ends_in_pool = bool(walk) and walk[-1].startswith("pool")  # a window needs two cells
        return max(cells, 2 if ends_in_pool else 1) * 2**pools


def _head(relu: str) -> str:
    return relu.replace("relu", "head")
