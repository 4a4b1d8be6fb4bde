"""Pictures of any size: a network that sees them tile by tile, in the memory of a tile, and is the same function.

A tile is looked at with a margin as wide as the deepest layer sees, so that its own cells are what they are in the
whole picture; tiles begin at multiples of that layer's stride, so that every cell is one tile's own. In a first pass,
without gradients, the cells are put together, or, where a loss is a function of means over positions (types.Averaged),
summed: then no map of the whole picture is ever held. The losses see the whole picture and are differentiated as a
whole. In a second pass every tile is run again and handed the gradient of its own cells; what comes of it at its
pixels, the margin's included, is added up. There is no approximation in it, and no seam to hide. Several processes
(processes.py) take a share of the tiles each; maps, sums and gradients are then added up between them.

Published work keeps the inner part of each tile's gradient instead, and needs a wider overlap to come near.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gatys_lab import memory, processes
from gatys_lab.errors import UnknownName
from gatys_lab.objective import AtLayer, Fitted
from gatys_lab.optimizers import lbfgs
from gatys_lab.types import Features, Image, Network, Through, Window

LEAST = 32  # px of a tile that anybody may ask for
SMALL, LARGE = 256, 2048  # px of a tile that is chosen; beyond, margins take less than 15 % of it
SHARE = 0.8  # of the memory that is free, which is used
GROWS = 1.5  # peak over what autograd keeps: gradients, copies; .9 to 1.45 for lite and vgg19, 512 and 1,024 px
IMAGE_BYTES, IMAGES = 12, 9  # of a pixel in 32 bits; pictures that a run holds at most besides what L-BFGS remembers


class Span(NamedTuple):
    """A tile along one side, in pixels."""

    first: int  # that is looked at, the margin's
    start: int  # of its own
    stop: int | None  # of its own; None: as far as there are cells
    last: int  # that is looked at, and one

    def cells(self, stride: int) -> slice:
        """Its own, among those that are looked at."""
        stop = None if self.stop is None else (self.stop - self.first) // stride
        return slice((self.start - self.first) // stride, stop)


Tile = tuple[Span, Span]  # rows, columns


@dataclass(frozen=True)
class Means:
    """What a tiled network gives a loss instead of a layer: the means over all of its positions."""

    layer: str
    loss: AtLayer

    def of(self, features: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        """The means over some positions, and how much those count ()."""
        part, exact = self.loss.part(window), _exact(features.device)
        cells = features.new_tensor(features[0, 0].numel(), dtype=exact)
        return part.means(features), cells if part.where is None else part.where.sum(dtype=exact)


@dataclass(frozen=True)
class Tiled(Through):
    """A network that sees a picture in tiles of `tile_px` a side, and gives its layers, or means over them."""

    network: Network
    tile_px: int
    means: Mapping[str, Means] = field(default_factory=dict)

    def __call__(self, image: Image, layers: tuple[str, ...]) -> dict[str, Tensor]:
        reads = tuple(layer for layer in layers if layer != "input")
        out = {"input": image} if len(reads) < len(layers) else {}
        return out | dict(zip(reads, _Seen.apply(image, self, reads), strict=True)) if reads else out

    def layers_of(self, reads: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.means[read].layer if read in self.means else read for read in reads))

    def tiles(self, image: Image, layers: tuple[str, ...]) -> list[Tile]:
        step, margin = self.network.stride_px(layers), margin_px(self.network, layers)
        size = max(step, self.tile_px // step * step)
        rows, columns = (_spans(side, size, step, margin) for side in image.shape[2:])
        return [(row, column) for row in rows for column in columns]

    def own(self, part: Image, tile: Tile, reads: Sequence[str]) -> Iterator[tuple[str, Tensor, Window]]:
        """Of the pixels of a tile, what is read: its own cells of the layer, and where they lie in the whole map."""
        features = self.network(part, self.layers_of(reads))
        for read in reads:
            (layer,) = self.layers_of([read])
            stride = self.network.stride_px((layer,))
            rows, columns = tile
            own = features[layer][..., rows.cells(stride), columns.cells(stride)]
            top, left = rows.start // stride, columns.start // stride
            yield read, own, (slice(top, top + own.shape[2]), slice(left, left + own.shape[3]))


class _Seen(torch.autograd.Function):
    """The layers of an image, or means over them, tile by tile; on the way back every tile is run again."""

    @staticmethod
    def forward(ctx: Any, image: Image, tiled: Tiled, reads: tuple[str, ...]) -> tuple[Tensor, ...]:
        found: dict[str, Tensor] = {}
        counts = dict.fromkeys(tiled.means, image.new_zeros(()))
        last, *others = reversed(tiled.tiles(image, tiled.layers_of(reads)))
        for tile in [last, *processes.share(others)]:  # the last one knows how large the maps are: all look at it
            counted = tile is not last or processes.leads()
            for read, own, window in tiled.own(_pixels(image, tile), tile, reads):
                if read in tiled.means:
                    means, count = tiled.means[read].of(own, window)
                    count = count if counted else torch.zeros_like(count)
                    found[read] = found.get(read, 0) + count * means.to(count)
                    counts[read] = counts[read] + count
                else:
                    if read not in found:
                        found[read] = _room(own, window)
                    found[read][(..., *window)] = own if counted else 0
        for read in reads:
            processes.add(found[read])
            if read in counts:
                processes.add(counts[read])
        for read in found.keys() & counts.keys():
            found[read] = (found[read] / counts[read]).to(torch.promote_types(image.dtype, torch.float32))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(image)
        ctx.tiled, ctx.reads, ctx.counts = tiled, reads, counts
        return tuple(found[read] for read in reads)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, None, None]:
        (image,), tiled = ctx.saved_tensors, ctx.tiled
        by = {read: g for read, g in zip(ctx.reads, gradients, strict=True) if g is not None}
        total = torch.zeros_like(image, memory_format=torch.contiguous_format)
        for tile in processes.share(tiled.tiles(image, tiled.layers_of(tuple(by)))):
            leaf = _pixels(image, tile).detach().requires_grad_()
            outputs, handed = [], []
            with torch.enable_grad():
                for read, own, window in tiled.own(leaf, tile, tuple(by)):
                    if read in tiled.means:
                        means, count = tiled.means[read].of(own, window)
                        outputs.append(means)
                        handed.append(by[read] * (count / ctx.counts[read]).to(means))
                    else:
                        outputs.append(own)
                        handed.append(by[read][(..., *window)])
            _pixels(total, tile).add_(torch.autograd.grad(outputs, leaf, handed)[0])
        return processes.add(total), None, None


@dataclass(frozen=True)
class Looked(Mapping[str, Tensor]):
    """The features of a picture, each computed when it is asked for, and kept by nobody."""

    network: Network
    image: Image
    layers: tuple[str, ...]

    def __getitem__(self, layer: str) -> Tensor:
        if layer not in self.layers:
            raise KeyError(layer)
        with torch.no_grad():
            return self.network(self.image, (layer,))[layer]

    def means(self, layer: str, loss: AtLayer) -> Tensor:
        """What a loss without a target takes of the means of a layer: no map is held."""
        if not isinstance(self.network, Tiled):
            return loss.means(self[layer])
        read = f"means of {layer}"
        with torch.no_grad():
            return replace(self.network, means={read: Means(layer, loss)})(self.image, (read,))[read]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


def chosen(
    asked: str | int, network: Network, layers: Sequence[str], shape: tuple[int, int], device: torch.device
) -> int | None:
    """How large the tiles of a picture (height, width) are: None for one that is seen at once.

    `auto` takes tiles where what an evaluation needs, untiled, is more than there is: `memory.per_px` a pixel, times
    GROWS, and IMAGES copies of the picture besides L-BFGS's memory. They are then as large as half of the rest allows:
    the maps of losses that are no functions of means may take the other half. Raises UnknownName for another word,
    ValueError for a number that is too small, or a network that cannot see in tiles.
    """
    if asked == "off":
        return None
    obstacle = _obstacle(network)
    if asked != "auto":
        if not str(asked).isdecimal():
            raise UnknownName(f"no tile '{asked}'; there are auto, off, or the side of a square in pixels")
        if int(asked) < LEAST:
            raise ValueError(f"tiles of {asked} px; wanted at least {LEAST}, or auto, or off")
        if obstacle is not None:
            raise ValueError(f"no tiles with this network: {obstacle}; leave them out, or give off")
        return int(asked)
    free = memory.available(device)
    if free is None or obstacle is not None:
        return None
    reads = tuple(layer for layer in layers if layer != "input")
    each = GROWS * memory.per_px(network, reads) if reads else 0.0
    pixels = shape[0] * shape[1]
    pairs = lbfgs.build().pairs(IMAGE_BYTES * pixels)
    left = SHARE * free - (IMAGES + 2 * pairs) * IMAGE_BYTES * pixels
    if each * pixels <= left:
        return None
    side = max(left / 2 / each, 0) ** 0.5 - 2 * margin_px(network, reads)
    return min(max(SMALL, int(side) // SMALL * SMALL), LARGE)


def _obstacle(network: Network) -> str | None:
    if getattr(network, "padding", None) == "circular":
        return "its padding joins every edge to the opposite one"
    return None if hasattr(network, "stride_px") else f"{network.name} has no stride_px()"


def tiled(network: Network, tile_px: int | None, image: Image) -> Network:
    """The network for this image: itself, if there are to be no tiles, or one is enough."""
    return network if tile_px is None or max(image.shape[2:]) <= tile_px else Tiled(network, tile_px)


def look(network: Network, image: Image, layers: tuple[str, ...]) -> Features:
    """The features of an image, without gradients; through tiles, each when it is asked for."""
    if isinstance(network, Tiled):
        return Looked(network, image, layers)
    with torch.no_grad():
        return network(image, layers)


def by_means(objective: Fitted, network: Tiled) -> tuple[Fitted, Tiled]:
    """The same objective, of means instead of layers wherever its losses allow it, and the network that gives them."""
    means, losses, reads = {}, list(objective.losses), list(objective.reads)
    for i, (term, loss) in enumerate(zip(objective.terms, objective.losses, strict=True)):
        if isinstance(loss, AtLayer) and loss.averaged and term.layer != "input":
            reads[i] = f"means {i} of {term.layer}"
            means[reads[i]] = Means(term.layer, loss)
            losses[i] = loss.of_means
    return replace(objective, losses=tuple(losses), reads=tuple(reads)), replace(network, means=means)


def margin_px(network: Network, layers: Sequence[str]) -> int:
    """How far around a tile its cells at these layers see, in whole steps of the deepest."""
    step = network.stride_px(tuple(layers))
    around = max((network.receptive_px(layer) - network.stride_px((layer,)) + 1) // 2 for layer in layers)
    return -(-around // step) * step


def _spans(side: int, size: int, step: int, margin: int) -> list[Span]:
    starts = list(range(0, max(1, side - step + 1), size))  # what is left of less than a step has no cell of its own
    stops = [*starts[1:], None]
    return [
        Span(max(0, start - margin), start, stop, side if stop is None else min(side, stop + margin))
        for start, stop in zip(starts, stops, strict=True)
    ]


def _pixels(image: Image, tile: Tile) -> Image:
    rows, columns = (slice(span.first, span.last) for span in tile)
    return image[..., rows, columns]


def _room(own: Tensor, window: Window) -> Tensor:
    """A map (1, C, h, w) of zeros that ends where the last tile's own cells do."""
    size = (*own.shape[:2], *(side.stop for side in window))
    empty = torch.empty(size, dtype=own.dtype, device=own.device, memory_format=torch.channels_last)
    return empty.zero_()


def _exact(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # mps has no 64 bits
