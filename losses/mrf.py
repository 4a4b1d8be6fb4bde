"""The MRF loss: every patch of the picture close to the style's most similar patch, whichever that is by now.

Li & Wand 2016, "Combining Markov random fields and convolutional neural networks for image synthesis", eq. 2 and 3:
the sum over patches of ||Psi_i(x) - Psi_NN(i)(s)||^2, 3 x 3 cells at relu3_1 and relu4_1, the match by normalised
cross-correlation, sought again at every evaluation (style swap seeks once, with the photo's patches). The sum is over
patches, but its gradient takes each cell to the mean of the patches that lie there, so it is taken over cells, and what
overlapping patches disagree about is added: no patch is written out. Differs: it is a mean over patches and their
cells; the style is not turned or scaled to give more patches.

Every evaluation costs a search. `candidates=N` searches N style patches instead of all. A patch of the picture weighs
what its lightest cell does; one that is dead in every channel correlates with none, and gets the first.

>>> import torch
>>> style, content = torch.rand(1, 8, 12, 10), torch.rand(1, 8, 9, 7)
>>> loss = build()
>>> target = loss.fit(style, content)
>>> loss(style, target).item() < 1e-9, loss(style[..., 2:9, 3:], target).item() < 1e-9  # a part has no other patches
(True, True)
>>> loss(content, target).item() > 0
True
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gatys_lab.losses import _moments
from gatys_lab.losses._patches import Patches, Style, checked, one_by_one


@dataclass(frozen=True)
class MRF:
    """The target is the style's cells and which of its patches may be chosen."""

    usual_layers: ClassVar[dict[str, float]] = {"relu3_1": 1.0, "relu4_1": 1.0}
    needs_content: ClassVar[bool] = False
    needs_32_bits: ClassVar[bool] = True  # of the network, as of style swap's: in 16 other patches match

    patch: int = 3
    stride: int = 1
    candidates: int | None = None  # style patches that are searched; None: all

    def fit(self, style: Tensor, content: Tensor, weights: Tensor | None = None) -> Style:
        """`weights` choose style patches as they do for style swap. Raises ValueError if they leave none."""
        return Patches(self.patch, self.stride).style(style.detach(), weights, self.candidates)

    def __call__(self, features: Tensor, target: Style, weights: Tensor | None = None) -> Tensor:
        Patches(self.patch, self.stride).check_size("picture", features)
        p = _moments.normalised(weights, features)
        return torch.stack([self._distance(cells, p, target) for cells in one_by_one(features)]).mean()

    def _distance(self, cells: Tensor, p: Tensor | None, target: Style) -> Tensor:
        """() of cells (H, W, C): the mean squared difference to the best patches."""
        patches = Patches(self.patch, self.stride)
        with torch.no_grad():
            best = patches.matches(cells.detach(), target)
            weights = cells.new_ones(best.numel()) if p is None else patches.lightest(p, cells)
            weights = weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
            goal, cover = patches.rebuild(cells, target.cells, best, weights)
            rest = patches.spread(goal, cells, target.cells, best, weights)
        left = ((cells.flatten(0, 1) - goal).square() * cover).sum()
        return (left + rest) / (self.patch**2 * cells.shape[2])


def build(patch: int = 3, stride: int = 1, candidates: int | None = None) -> MRF:
    """`patch` and `stride` in cells; `candidates`: search so many style patches instead of all.

    Raises ValueError if a stride would leave cells between patches.
    """
    return MRF(*checked(patch, stride, candidates))
