"""`gatys-lab train inverse`: Chen & Schmidt 2016, eq. 3, on the engine's terms.

content(relu3_1) + 1e-6 * smoothness(): the features of what the network paints against those that it was given. It is
given photographs, paintings, and every swap of them (of several processes, each swaps its own), since swapped features
are no picture's own.
"""

from dataclasses import dataclass

import torch

from gatys_lab.models.inverse import LAYER, Inverse
from gatys_lab.objective import content, smoothness
from gatys_lab.training import _fit
from gatys_lab.types import Features, Image

TV_WEIGHT = 1e-6  # the published number; of a mean over pixels in [0, 1] it does next to nothing


@dataclass(frozen=True)
class Recipe(_fit.Recipe):
    """`swaps` False is the ablation of the paper's figure 3: photographs and paintings alone."""

    model: Inverse
    swaps: bool

    def paint(self, contents: Image, styles: Image) -> tuple[Image, Features, Features]:
        both = torch.cat([contents, styles])
        with torch.no_grad():
            f = self.model.encoder(both, (LAYER,))[LAYER].float()
            if self.swaps:
                photos, paintings = f.chunk(2)
                f = torch.cat([f, *(self.model.swapped(photos, {"features": s}) for s in paintings.split(1))])
        return self.model.decoder(f), {LAYER: f}, {}


def build(model: Inverse, tv_weight: float = TV_WEIGHT, swaps: bool = True) -> Recipe:
    """`tv_weight` 0 leaves the smoothness out."""
    objective = content(LAYER)
    return Recipe(model, objective + tv_weight * smoothness() if tv_weight > 0 else objective, swaps)
