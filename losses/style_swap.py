"""Style swap: every patch of the content's features becomes the style's most similar patch; the result is the target.

Chen & Schmidt 2016, eq. 1 and 2. Similar means the largest normalised cross-correlation; overlapping patches are
averaged. Differs: the score of two patches is the sum, over their cells, of inner products of cells, so one product of
all cells serves every patch (9 times fewer multiplications at 3 x 3), and it is taken a tile of the content at a time,
so that memory grows with the number of positions, not with its square. The distance is a mean, not a sum. Patches
that would hang over the border when the stride does not fit are moved inside, so that every cell is covered.

>>> import torch
>>> style, content = torch.rand(1, 8, 12, 10), torch.rand(1, 8, 9, 7)
>>> loss = build()
>>> target = loss.fit(style, content)
>>> loss(target, target).item(), loss(content, target).item() > 0
(0.0, True)
>>> torch.allclose(loss.fit(style, style), style)
True
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.losses import _moments, _options

TILE_BYTES = 64 << 20  # of inner products of cells; about three such tiles live at once


@dataclass(frozen=True)
class StyleSwap:
    """The target is the swapped content (1, C, h', w'): it carries the content too, and needs no content term."""

    usual_layers: ClassVar[dict[str, float]] = {"relu3_1": 1.0}
    carries_content: ClassVar[bool] = True

    patch: int = 3
    stride: int = 1

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> Tensor:
        """`weights`: style patches whose cells all have a weight above 0 may be chosen. Raises ValueError if none."""
        for name, features in (("style", style), ("content", content)):
            self._check_size(name, features)
        c, s = (_cells(features.detach()) for features in (content, style))
        candidates = self._candidates(s, weights, style)
        return self._rebuild(c, s, self._matches(c, s, candidates)).permute(2, 0, 1)[None]

    def __call__(self, features: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        if features.shape[1:] != target.shape[1:]:
            came, wanted = (" x ".join(str(n) for n in t.shape[1:]) for t in (features, target))
            raise ValueError(f"features of {came} for a target of {wanted}; fit the target to this size")
        x, p = _moments.positions(features), _moments.normalised(weights, features)
        return _moments.mean((x - _moments.positions(target)).square(), p).mean()

    def _check_size(self, name: str, features: Tensor) -> None:
        h, w = features.shape[-2:]
        if min(h, w) < self.patch:
            wanted = f"patches of {self.patch} x {self.patch}"
            remedy = "choose a larger size, a shallower layer or a smaller patch"
            raise ValueError(f"the {name}'s features have {h} x {w} cells, too few for {wanted}; {remedy}")

    def _starts(self, size: int) -> Tensor:
        """Where patches begin along a side: every `stride` cells, and at the last place that fits."""
        return torch.tensor(sorted({*range(0, size - self.patch + 1, self.stride), size - self.patch}))

    def _candidates(self, style: Tensor, weights: Tensor | None, features: Tensor) -> Tensor:
        """Which style patches may be chosen, by their first cell (h - patch + 1, w - patch + 1), bool."""
        (h, w), n = style.shape[:2], self.patch - 1
        chosen = torch.zeros(h - n, w - n, dtype=torch.bool, device=style.device)
        chosen[self._starts(h)[:, None], self._starts(w)] = True
        p = _moments.normalised(weights, features)
        if p is not None:
            chosen &= -F.max_pool2d(-p.view(1, h, w), self.patch, 1)[0] > 0
        if not chosen.any():
            left = f"no patch of {self.patch} x {self.patch} in {h} x {w} cells"
            raise ValueError(f"the style's mask leaves {left}; choose a larger region, a shallower layer or patch=1")
        return chosen

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

    def _rebuild(self, content: Tensor, style: Tensor, best: Tensor) -> Tensor:
        """The content (H, W, C) from style patches, averaged where they overlap."""
        (height, width, channels), w = content.shape, style.shape[1]
        first = (self._starts(height)[:, None] * width + self._starts(width)).flatten().to(best.device)
        total, count = content.new_zeros(height * width, channels), content.new_zeros(height * width, 1)
        for dy in range(self.patch):
            for dx in range(self.patch):
                at = first + (dy * width + dx)
                total[at] += style.flatten(0, 1)[best.flatten() + (dy * w + dx)]
                count[at] += 1
        return (total / count).view_as(content)


def build(patch: int = 3, stride: int = 1) -> StyleSwap:
    """`patch` and `stride` in cells. Raises ValueError if a stride would leave cells between patches."""
    patch, stride = _options.whole("patch", patch, 1), _options.whole("stride", stride, 1)
    if stride > patch:
        raise ValueError(f"stride={stride} leaves gaps between patches of {patch}; wanted at most {patch}")
    return StyleSwap(patch, stride)


def _cells(features: Tensor) -> Tensor:
    """Features (1, C, h, w) as (h, w, C)."""
    return _moments.positions(features)[0].view(*features.shape[-2:], -1)
