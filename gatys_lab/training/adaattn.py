"""`gatys-lab train adaattn`: Liu et al. 2021, eq. 7 to 10, on the engine's terms.

3 * content(relu3_1, relu4_1, relu5_1) + 10 * style("bn", relu2_1 ... relu5_1): the content term is the local feature
loss, fitted to AdaAttN* of the pictures' own features (attention without f, g and h; in the channels of VGG-19 where
the encoder has heads, whose coordinates may not be normalised one by one); `bn` is the global one in the published
code's mean squared form. For video, 100 * `image_similarity` (eq. 13) compares two frames of a clip; they are made of
one photograph, which moves a little.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gatys_lab.models import _attention
from gatys_lab.models._base import Shares
from gatys_lab.models._moments import normalise
from gatys_lab.models.adaattn import LAYERS, LEVELS, AdaAttN
from gatys_lab.objective import Objective, content, style
from gatys_lab.training import _fit
from gatys_lab.types import Features, Image, Loss

STYLE_LAYERS = ("relu2_1", "relu3_1", "relu4_1", "relu5_1")
STYLE_WEIGHT, LOCAL_WEIGHT = 10.0, 3.0
SIMILAR = ("relu2_1", "relu3_1", "relu4_1")
MOTION, GOLDEN = 1 / 16, 2.4  # how much of a side leaves the picture; the golden angle, between directions
ROWS = 1024  # of a similarity matrix at a time


@dataclass(frozen=True)
class Recipe(_fit.Recipe):
    """`local` False is the ablation whose content term is the photograph's own features.

    With `similarity`, the weight of L_is, every photograph is painted twice, as two frames of a clip would show it.
    """

    model: AdaAttN
    local: bool
    similarity: float

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*super().layers, *(SIMILAR if self.similarity else ()))))

    def paint(self, contents: Image, styles: Image) -> tuple[Image, Features, Features]:
        if self.similarity:
            contents, styles = torch.cat([contents, moved(contents)]), torch.cat([styles, styles])
        seen, look = (self.model.encoder(images, LAYERS) for images in (contents, styles))
        summary = [self.model.summarise(look, None)]
        picture = self.model.decode(seen, summary, Shares([1.0], None), 1.0)
        wanted = targets(self.model, seen, look) if self.local else {}
        frames = {f"frames {k}": seen[k] for k in SIMILAR} if self.similarity else {}
        return picture, {**seen, **wanted, **frames}, look

    def loss(self, found: Features, content: Features, style: Features) -> Loss:
        loss = super().loss(found, content, style)
        if not self.similarity:
            return loss
        parts = {f"similarity {k}": self._similarity(content[f"frames {k}"], found[k]) for k in SIMILAR}
        total = loss.total + torch.stack(list(parts.values())).sum()
        return Loss(total, {**loss.parts, **{k: part.detach() for k, part in parts.items()}})

    def _similarity(self, content: Tensor, found: Tensor) -> Tensor:
        """The first frames are the first half of a batch; a mean over them."""
        pairs = [zip(*(half.split(1) for half in f.chunk(2)), strict=True) for f in (content, found)]
        return self.similarity * torch.stack([image_similarity(a, b) for a, b in zip(*pairs, strict=True)]).mean()


def moved(images: Image) -> Image:
    """The next frames: the n-th picture a little nearer, the camera turned in the n-th direction."""
    height, width = images.shape[2:]
    frames = []
    for i, image in enumerate(images.split(1)):
        angle, dy, dx = GOLDEN * i, height * MOTION, width * MOTION
        top, left = round(dy / 2 * (1 + math.sin(angle))), round(dx / 2 * (1 + math.cos(angle)))
        window = image[..., top : top + height - round(dy), left : left + width - round(dx)]
        frames.append(F.interpolate(window, (height, width), mode="bilinear", align_corners=False))
    return torch.cat(frames)


@torch.no_grad()
def targets(model: AdaAttN, seen: Features, look: Features) -> Features:
    """AdaAttN* of every level, in 32 bits: what the local feature loss asks for, from the encoder's LAYERS.

    Seen by an encoder with heads it is VGG-19's as the heads' coordinates have it: there by their lifts, and back.
    """
    lifts = {k: model.encoder.lifts[k].to(f.device) for k, f in seen.items() if k in model.encoder.lifts}
    seen, look = ({k: _through(lifts.get(k), f) for k, f in features.items()} for features in (seen, look))
    found = {level: target(model, seen, look, level) for level in LEVELS}
    return {k: _through(lifts[k].T if k in lifts else None, f) for k, f in found.items()}


def target(model: AdaAttN, seen: Features, look: Features, level: str) -> Tensor:
    """AdaAttN* of one level (N, C, h, w), of these very features: attention without anything learnt."""
    form = _attention.FORMS["cosine" if model.form == "cosine" else "softmax"]
    f = seen[level].float()
    query, key = (model.known(features, level).flatten(2) for features in (seen, look))
    mean, std = (m.view_as(f) for m in form(query, key, look[level].float().flatten(2)))
    return std * normalise(f, unbiased=model.unbiased) + mean


def _through(matrix: Tensor | None, features: Tensor) -> Tensor:
    """Features (N, r, h, w) in other channels, by a matrix (C, r), in 32 bits; as they are without one."""
    f = features.float()
    return f if matrix is None else F.conv2d(f, matrix[:, :, None, None])


def image_similarity(content: tuple[Tensor, Tensor], result: tuple[Tensor, Tensor]) -> Tensor:
    """L_is of one layer (eq. 13): features (1, C, h, w) of two frames and of their results; a mean, ().

    Each column of cosine distances between the two frames is divided by its sum; `ROWS` columns of the matrix are held
    at a time (and made again on the way back).
    """
    a, b, c, d = (F.normalize(f[0].flatten(1).float(), dim=0) for f in (*content, *result))  # (C, P)

    def difference(b_part: Tensor, d_part: Tensor) -> Tensor:
        wanted, found = (1 - x.T @ y for x, y in ((a, b_part), (c, d_part)))  # (P, columns)
        wanted, found = (m / m.sum(0, keepdim=True).clamp_min(1e-12) for m in (wanted, found))
        return (wanted - found).abs().sum()

    parts = zip(b.split(ROWS, 1), d.split(ROWS, 1), strict=True)
    total = torch.stack([checkpoint(difference, *part, use_reentrant=False) for part in parts]).sum()
    return total / (a.shape[1] * b.shape[1])


def build(
    model: AdaAttN,
    content_weight: float = LOCAL_WEIGHT,
    style_weight: float = STYLE_WEIGHT,
    local: bool = True,
    similarity_weight: float = 0.0,
) -> Recipe:
    """Weights of the local, the global and the image-similarity loss; a weight of 0 leaves a loss out."""
    if content_weight + style_weight <= 0:
        raise ValueError("both weights are 0; wanted at least one loss")
    terms = [w * t for w, t in ((content_weight, content(LEVELS)), (style_weight, style("bn", STYLE_LAYERS))) if w > 0]
    objective = Objective(tuple(t for term in terms for t in term.terms))
    return Recipe(model, objective, local, similarity_weight)
