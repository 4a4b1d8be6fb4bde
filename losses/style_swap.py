"""Style swap: every patch of the content's features becomes the style's most similar patch; the result is the target.

Chen & Schmidt 2016, eq. 1 and 2. Similar means the largest normalised cross-correlation; overlapping patches are
averaged. Differs: the search is exact but cheaper (`_patches`), and the distance is a mean, not a sum.
`candidates=N` searches N style patches instead of all.

>>> import torch
>>> style, content = torch.rand(1, 8, 12, 10), torch.rand(1, 8, 9, 7)
>>> loss = build()
>>> target = loss.fit(style, content)
>>> loss(target, target).item(), loss(content, target).item() > 0
(0.0, True)
>>> torch.allclose(loss.fit(style, style), style)
True
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gatys_lab.losses import _moments
from gatys_lab.losses._patches import Patches, Style, checked, one_by_one
from gatys_lab.types import Window


@dataclass(frozen=True)
class StyleSwap:
    """The target is the swapped content (1, C, h', w'): it carries the content too, and needs no content term."""

    usual_layers: ClassVar[dict[str, float]] = {"relu3_1": 1.0}
    carries_content: ClassVar[bool] = True
    needs_32_bits: ClassVar[bool] = True  # of the network: in 16 other patches match, and 1.2 % more is left

    patch: int = 3
    stride: int = 1
    candidates: int | None = None  # style patches that are searched; None: all

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> Tensor:
        """`weights`: style patches may be chosen whose cells all weigh at least half of what the heaviest one does.

        Raises ValueError if there is none.
        """
        searched, cells, best = self._search(style, content, weights)
        swapped = Patches(self.patch, self.stride).rebuild(cells, searched.cells, best).cells
        return swapped.view_as(cells).permute(2, 0, 1)[None]

    def matches(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> Tensor:
        """Which style patch each content patch becomes (rows, columns): the index of its first cell, row by row."""
        return self._search(style, content, weights)[2]

    def _search(self, style: Tensor, content: Tensor, weights: Tensor | None) -> tuple[Style, Tensor, Tensor]:
        """The style as it is searched, the content's cells (h', w', C), and what `matches` returns."""
        patches = Patches(self.patch, self.stride)
        searched = patches.style(style.detach(), weights, self.candidates)
        patches.check_size("content", content)
        cells = one_by_one(content.detach())[0]
        return searched, cells, patches.matches(cells, searched)

    def __call__(self, features: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        if features.shape[1:] != target.shape[1:]:
            came, wanted = (" x ".join(str(n) for n in t.shape[1:]) for t in (features, target))
            raise ValueError(f"features of {came} for a target of {wanted}; fit the target to this size")
        x, p = _moments.positions(features), _moments.normalised(weights, features)
        return _moments.mean((x - _moments.positions(target)).square(), p).mean()

    means = __call__  # it is one

    def of_means(self, means: Tensor, target: Tensor) -> Tensor:
        return means

    def part(self, target: Tensor, window: Window) -> Tensor:
        return target[(..., *window)]


def build(patch: int = 3, stride: int = 1, candidates: int | None = None) -> StyleSwap:
    """`patch` and `stride` in cells; `candidates`: search so many style patches instead of all.

    Raises ValueError if a stride would leave cells between patches.
    """
    return StyleSwap(*checked(patch, stride, candidates))
