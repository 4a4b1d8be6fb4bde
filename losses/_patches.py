"""Patches of a feature map, and which of the style's looks most like each: what style swap and MRF losses share.

Similar means the largest normalised cross-correlation (Chen & Schmidt 2016, eq. 1; Li & Wand 2016, eq. 3). The score of
two patches is the sum, over their cells, of inner products of cells, so one product of all cells serves every patch (9
times fewer multiplications at 3 x 3), and it is taken a tile of the content at a time, so that memory grows with the
number of positions, not with its square. Where 16-bit products are fast, whole patches are compared in them, and the
best four in 32 bits. Patches that would hang over the border when the stride does not fit are moved inside, so that
every cell is covered.

Few patches may stand for all: k-means (of patches of length 1, projected at random to `NUMBERS`) groups them, and the
patch nearest to each centre stands for its group. How far they are apart is logged.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.losses import _moments, _options
from gatys_lab.losses._search import padded, quick, shortlist
from gatys_lab.losses._thinning import stand_ins

log = logging.getLogger(__name__)
NUMBERS, SAMPLE, CHUNK = 128, 32, 4096  # that a patch is grouped by; patches looked at a candidate; and at a time
TILE = 896  # content patches that are sought at a time in 16 bits; malloc hands out fresh pages, slowly, from 32 MiB on
TILE_BYTES = 64 << 20  # of inner products of cells; about three such tiles live at once


@dataclass(frozen=True)
class Style:
    """The style's cells, and where the patches begin that may be chosen."""

    cells: Tensor  # (h, w, C)
    chosen: Tensor  # (h - patch + 1, w - patch + 1), bool
    few: Tensor | None  # first cells (n,) of those that stand for all


class Rebuilt(NamedTuple):
    """Patches laid over one another."""

    cells: Tensor  # (H * W, C), averaged where they overlap
    cover: Tensor  # (H * W, 1): the weight of the patches that lie there


@dataclass(frozen=True)
class Patches:
    """Squares of `patch` cells, every `stride` cells."""

    patch: int
    stride: int

    def style(self, style: Tensor, weights: Tensor | None, candidates: int | None) -> Style:
        """What is searched of features (1, C, h, w) with a mask: all patches, or so many `candidates`."""
        self.check_size("style", style)
        cells = one_by_one(style)[0]
        chosen = self._candidates(cells, weights, style)
        if candidates is None or candidates >= int(chosen.sum()):
            return Style(cells, chosen, None)
        return Style(cells, chosen, self._thin(cells, chosen, candidates))

    def matches(self, content: Tensor, style: Style) -> Tensor:
        """The best match (rows, columns) of each patch of the content (H, W, C), by its first cell in the style."""
        if style.few is not None:
            return self._matches_few(content, style.cells, style.few)
        if content.dtype == torch.float32 and quick(content.device):
            return self._matches_in_16_bits(content, style.cells, style.chosen)
        return self._matches(content, style.cells, style.chosen)

    def check_size(self, name: str, features: Tensor) -> None:
        h, w = features.shape[-2:]
        if min(h, w) < self.patch:
            wanted = f"patches of {self.patch} x {self.patch}"
            remedy = "choose a larger size, a shallower layer or a smaller patch"
            raise ValueError(f"the {name}'s features have {h} x {w} cells, too few for {wanted}; {remedy}")

    def _starts(self, size: int) -> Tensor:
        """Where patches begin along a side: every `stride` cells, and at the last place that fits."""
        return torch.tensor(sorted({*range(0, size - self.patch + 1, self.stride), size - self.patch}))

    def _places(self, features: Tensor) -> Tensor:
        """The first cells (n,) of all patches of features (h, w, C), row by row."""
        h, w = features.shape[:2]
        return (self._starts(h)[:, None] * w + self._starts(w)).flatten().to(features.device)

    def rebuild(self, content: Tensor, style: Tensor, best: Tensor, weights: Tensor | None = None) -> Rebuilt:
        """The content (H, W, C) from the style patches that begin at `best` (rows, columns) of the style (h, w, C).

        `weights` (rows * columns,) of the patches; None: 1 each.
        """
        total, cover = torch.zeros_like(content).flatten(0, 1), content.new_zeros(content[..., 0].numel(), 1)
        for at, chosen in self._layers(content, style, best):
            picked = style.flatten(0, 1)[chosen]
            total[at] += picked if weights is None else picked * weights[:, None]
            cover[at] += 1 if weights is None else weights[:, None]
        return Rebuilt(total / cover.clamp(min=torch.finfo(cover.dtype).tiny), cover)

    def spread(self, rebuilt: Tensor, content: Tensor, style: Tensor, best: Tensor, weights: Tensor) -> Tensor:
        """How far the patches are from `rebuilt` (H * W, C), their mean: the sum of squares (), weighted by patch."""
        total = content.new_zeros(())
        for at, chosen in self._layers(content, style, best):
            total += (style.flatten(0, 1)[chosen] - rebuilt[at]).square().sum(1) @ weights
        return total

    def lightest(self, p: Tensor, content: Tensor) -> Tensor:
        """Of weights (1, P) of the content's cells (H, W, C), the least in each patch (n,), row by row."""
        least = -F.max_pool2d(-p.view(1, *content.shape[:2]), self.patch, 1)[0]
        rows, columns = (self._starts(size) for size in content.shape[:2])
        return least[rows[:, None], columns].flatten()

    def _layers(self, content: Tensor, style: Tensor, best: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """For each cell of a patch: where it lies in the content, and in the style, for all patches (n,), (n,)."""
        first, (width, w) = self._places(content), (content.shape[1], style.shape[1])
        for dy in range(self.patch):
            for dx in range(self.patch):
                yield first + (dy * width + dx), best.flatten() + (dy * w + dx)

    def _candidates(self, style: Tensor, weights: Tensor | None, features: Tensor) -> Tensor:
        """Which style patches may be chosen, by their first cell (h - patch + 1, w - patch + 1), bool."""
        (h, w), n = style.shape[:2], self.patch - 1
        chosen = torch.zeros(h - n, w - n, dtype=torch.bool, device=style.device)
        chosen[self._starts(h)[:, None], self._starts(w)] = True
        p = _moments.normalised(weights, features)
        if p is not None:
            inside = (p > 0) & (p >= p.max() / 2)
            chosen &= -F.max_pool2d(-inside.to(p.dtype).view(1, h, w), self.patch, 1)[0] > 0
        if not chosen.any():
            left = f"no patch of {self.patch} x {self.patch} in {h} x {w} cells"
            raise ValueError(f"the style's mask leaves {left}; choose a larger region, a shallower layer or patch=1")
        return chosen

    def _thin(self, style: Tensor, chosen: Tensor, candidates: int) -> Tensor:
        """Of the chosen patches, the first cells (n,) of those that stand for all: at most `candidates`."""
        generator, first = torch.Generator().manual_seed(0), _firsts(chosen, style)
        sample = torch.randperm(len(first), generator=generator)[: SAMPLE * candidates].sort().values
        first = first[sample.to(first.device)]
        axes = torch.randn(style.shape[2] * self.patch**2, NUMBERS, generator=generator).to(style)
        points = torch.cat([F.normalize(self._patches(style, part), dim=1) @ axes for part in first.split(CHUNK)])
        kept, error = stand_ins(F.normalize(points, dim=1), candidates)
        log.info("%d of %d style patches, %.2f apart", len(kept), int(chosen.sum()), error)
        return first[kept]

    def _matches_few(self, content: Tensor, style: Tensor, first: Tensor) -> Tensor:
        """As `_matches`, among the style patches that begin at these cells (n,)."""
        (height, width), channels = content.shape[:2], content.shape[2]
        patches = F.normalize(self._patches(style, first), dim=1)  # (n, patch * patch * C)
        kernels = patches.view(len(first), self.patch, self.patch, channels).permute(0, 3, 1, 2)
        image, n = content.permute(2, 0, 1)[None], self.patch - 1
        rows = max(1, TILE_BYTES // (len(first) * width * content.element_size()))
        best = [F.conv2d(image[:, :, top : top + rows + n], kernels)[0].argmax(0) for top in range(0, height - n, rows)]
        return first[torch.cat(best)[self._starts(height)][:, self._starts(width)]]

    def _matches_in_16_bits(self, content: Tensor, style: Tensor, chosen: Tensor) -> Tensor:
        """As `_matches`: a patch's best few are sought in bfloat16, and decided among in 32 bits."""
        first = _firsts(chosen, style)
        energy = F.avg_pool2d(style.square().sum(2)[None], self.patch, 1, divisor_override=1)[0][chosen]
        scale = energy.clamp(min=torch.finfo(energy.dtype).tiny).rsqrt()  # (m,)
        rough, rough_style = content.bfloat16(), style.bfloat16()

        def keys(part: Tensor) -> Tensor:
            return self._patches(rough_style, first[part]) * scale[part, None].bfloat16()

        every = torch.arange(len(first), device=first.device)
        middle = keys(every[:: max(1, len(every) // 1024)]).float().mean(0).bfloat16()  # what all products share
        queries = self._places(content)
        values, indices = [], []
        for part in every.split(16 * TILE):
            those = padded(keys(part) - middle)
            lists = [shortlist(self._patches(rough, tile), those, len(part)) for tile in queries.split(TILE)]
            values.append(torch.cat([v for v, _ in lists]))
            indices.append(part[0] + torch.cat([i for _, i in lists]))
        top = torch.cat(values, 1).topk(values[0].shape[1], 1).indices
        few = torch.cat(indices, 1).gather(1, top)  # (queries, k)
        best = [
            self._decide(content, style, *pair, first, scale)
            for pair in zip(queries.split(TILE), few.split(TILE), strict=True)
        ]
        return torch.cat(best).view(len(self._starts(len(content))), -1)

    def _decide(
        self, content: Tensor, style: Tensor, queries: Tensor, few: Tensor, first: Tensor, scale: Tensor
    ) -> Tensor:
        """The first cells (n,) of the best among the style patches `few` (n, k) for content patches (n,)."""
        patches = self._patches(style, first[few.flatten()]).view(*few.shape, -1)
        scores = (patches @ self._patches(content, queries)[:, :, None])[..., 0] * scale[few]
        return first[few.gather(1, scores.argmax(1, keepdim=True))[:, 0]]

    def _patches(self, features: Tensor, first: Tensor) -> Tensor:
        """Patches (n, patch * patch * C) of features (h, w, C) by their first cells (n,)."""
        cells = torch.arange(self.patch, device=features.device)
        offsets = (cells[:, None] * features.shape[1] + cells).flatten()
        rows = features.flatten(0, 1).index_select(0, (first[:, None] + offsets).flatten())
        return rows.view(len(first), -1)

    def _matches(self, content: Tensor, style: Tensor, candidates: Tensor) -> Tensor:
        """Each content patch's best match (rows, columns), as the index of its first cell in the style."""
        (height, width), (h, w), n = content.shape[:2], style.shape[:2], self.patch - 1
        energy = F.avg_pool2d(style.square().sum(2)[None], self.patch, 1)[0]
        scale = energy.clamp(min=torch.finfo(energy.dtype).tiny).rsqrt()  # a dead patch scores 0
        best = torch.empty(height - n, width - n, dtype=torch.long, device=content.device)
        for rows, columns in self._tiles(height - n, width - n, h * w * style.element_size()):
            scores = self._scores(content[rows.start : rows.stop + n, columns.start : columns.stop + n], style)
            scores = scores.mul_(scale).masked_fill_(~candidates, -torch.inf)
            best[rows, columns] = scores.flatten(2).argmax(2)
        best = best[self._starts(height)][:, self._starts(width)]
        return best // (w - n) * w + best % (w - n)

    def _scores(self, content: Tensor, style: Tensor) -> Tensor:
        """Inner products (rows, columns, h - patch + 1, w - patch + 1) of the patches of a tile and of the style."""
        products = (content.flatten(0, 1) @ style.flatten(0, 1).T).view(*content.shape[:2], *style.shape[:2])
        return self._slide(self._slide(products, 1, 3), 0, 2)

    def _slide(self, products: Tensor, content_dim: int, style_dim: int) -> Tensor:
        """The sum of products[.. i + d .. j + d ..] over the cells d of a patch along one side."""
        sizes = [products.shape[dim] - self.patch + 1 for dim in (content_dim, style_dim)]
        shifted = (products.narrow(content_dim, d, sizes[0]).narrow(style_dim, d, sizes[1]) for d in range(self.patch))
        total = next(shifted).clone(memory_format=torch.contiguous_format)
        for part in shifted:
            total += part
        return total

    def _tiles(self, height: int, width: int, cell_bytes: int) -> Iterator[tuple[slice, slice]]:
        """Whole rows of patches if they fit into TILE_BYTES with the cells that they share, else parts of one row."""
        cells, n = TILE_BYTES // cell_bytes, self.patch - 1
        rows = max(1, cells // (width + n) - n)
        columns = min(width, max(1, cells // (rows + n) - n))
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                yield slice(top, min(top + rows, height)), slice(left, min(left + columns, width))


def checked(patch: int, stride: int, candidates: int | None) -> tuple[int, int, int | None]:
    """The options of a loss of patches. Raises ValueError if a stride would leave cells between patches."""
    patch, stride = _options.whole("patch", patch, 1), _options.whole("stride", stride, 1)
    if stride > patch:
        raise ValueError(f"stride={stride} leaves gaps between patches of {patch}; wanted at most {patch}")
    return patch, stride, None if candidates is None else _options.whole("candidates", candidates, 1)


def one_by_one(features: Tensor) -> Tensor:
    """Features (N, C, h, w) as cells (N, h, w, C), in 32 bits or better."""
    return _moments.positions(features).unflatten(1, features.shape[-2:])


def _firsts(chosen: Tensor, style: Tensor) -> Tensor:
    """The first cells (n,) of the chosen patches (rows, columns) of a style (h, w, C)."""
    rows, columns = chosen.nonzero(as_tuple=True)
    return rows * style.shape[1] + columns
