"""`gatys-lab train adain`: Huang & Belongie 2017, eq. 11 to 13, on the engine's terms.

content(relu4_1) + 10 * style("bn", relu1_1 ... relu4_1): the content term is fitted to t, the features that AdaIN made
(eq. 12), and `bn` is the published code's mean squared form of eq. 13. Besides, where asked for: total variation; and a
random *shift*, by which photographs and pictures are cut at the left and above before they are looked at, so that no
texture pays that is seen in the grid of the pooling alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gatys_lab.models._base import Shares
from gatys_lab.models.adain import LAYER, AdaIN
from gatys_lab.objective import content, smoothness, style
from gatys_lab.training import _fit
from gatys_lab.types import Features, Image

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
STYLE_WEIGHT = 10.0


@dataclass(frozen=True)
class Recipe(_fit.Recipe):
    """The content of the ablation `concat` is the photograph's own: it has no t."""

    model: AdaIN
    shift_px: int = 0  # at most

    @property
    def _seen(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*STYLE_LAYERS, *self.model.layers)))

    def paint(self, contents: Image, styles: Image) -> tuple[Image, Features, Features]:
        seen, look = (self.model.encoder(images, self._seen) for images in (contents, styles))
        summary = [self.model.summarise(look, None)]
        shares = Shares([1.0], None)
        picture = self.model.decode(seen, summary, shares, 1.0)
        if self.shift_px:
            y, x = torch.randint(self.shift_px + 1, (2,)).tolist()
            picture, seen = picture[..., y:, x:], self.model.encoder(contents[..., y:, x:], (LAYER,))
        target: Tensor = seen[LAYER] if self.model.concatenates else self.model.target(seen[LAYER], summary, shares)
        return picture, {LAYER: target}, look


def build(
    model: AdaIN,
    content_weight: float = 1.0,
    style_weight: float = STYLE_WEIGHT,
    tv_weight: float = 0.0,
    shift_px: int = 0,
) -> Recipe:
    """Weights of the losses, and how far pictures are shifted at most. Raises ValueError for a shift beyond a cell."""
    if not 0 <= shift_px < _fit.CELL_PX:
        raise ValueError(f"a shift of {shift_px} px; wanted 0 to {_fit.CELL_PX - 1}: then the pooling's grid repeats")
    objective = content_weight * content(LAYER) + style_weight * style("bn", STYLE_LAYERS)
    return Recipe(model, objective + tv_weight * smoothness() if tv_weight else objective, shift_px=shift_px)
