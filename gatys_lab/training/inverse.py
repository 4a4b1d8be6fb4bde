"""`gatys-lab train inverse`: Chen & Schmidt 2016, eq. 3, on the engine's terms.

content(relu3_1) + 1e-6 * smoothness(): the features of what the network paints against those that it was given. It is
given photographs, paintings, and every swap of them (of several processes, each swaps its own), since swapped features
are no picture's own. Differs where `pixel_weight` is not 0: content(input) on the photographs and paintings, whose
pixels are known. Features alone let the pixels go astray as they come nearer.
"""

from dataclasses import dataclass

import torch

from gatys_lab.models.inverse import LAYER, Inverse
from gatys_lab.objective import Objective, content, smoothness
from gatys_lab.training import _fit
from gatys_lab.types import Features, Image, Loss

TV_WEIGHT = 1e-6  # the published number; of a mean over pixels in [0, 1] it does next to nothing


@dataclass(frozen=True)
class Recipe(_fit.Recipe):
    """`swaps` False is the ablation of the paper's figure 3: photographs and paintings alone."""

    model: Inverse
    swaps: bool
    pixels: Objective | None  # of what is no swap

    def paint(self, contents: Image, styles: Image) -> tuple[Image, Features, Features]:
        both = torch.cat([contents, styles])
        with torch.no_grad():
            f = self.model.encoder(both, (LAYER,))[LAYER].float()
            if self.swaps:
                photos, paintings = f.chunk(2)
                f = torch.cat([f, *(self.model.swapped(photos, {"features": s}) for s in paintings.split(1))])
        return self.model.decoder(f), {LAYER: f, "input": both}, {}

    @property
    def layers(self) -> tuple[str, ...]:
        return self.objective.layers if self.pixels is None else (LAYER, "input")

    def loss(self, found: Features, content: Features, style: Features) -> Loss:
        loss = super().loss(found, content, style)
        if self.pixels is None:
            return loss
        genuine = {"input": found["input"][: len(content["input"])]}
        near = self.pixels.fit(content, {})(genuine)
        return Loss(loss.total + near.total, {**loss.parts, "pixels": near.total.detach()})


def build(model: Inverse, tv_weight: float = TV_WEIGHT, swaps: bool = True, pixel_weight: float = 0.0) -> Recipe:
    """A weight of 0 leaves its term out."""
    objective = content(LAYER)
    if tv_weight > 0:
        objective += tv_weight * smoothness()
    return Recipe(model, objective, swaps, pixel_weight * content("input") if pixel_weight > 0 else None)
