"""Distil a loss network: `gatys-lab train lite`. See networks/lite.py for what is learnt and why.

One step looks at pairs of a picture (fresh from the disk, or on its way in the pool) and a style, and asks three things
of the student: the teacher's features in principal coordinates (as FitNets, Romero et al. 2015), the teacher's Gram
matrices, and the direction of the gradient of the teacher's Gram loss with respect to the picture, layer by layer, fine
and coarse (after Sobolev training, Czarnecki et al. 2017; the direction only: a scale would teach it to shrink).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.config import STYLE_LAYERS
from gatys_lab.files import check_target
from gatys_lab.networks import _rounding, lite
from gatys_lab.networks._vgg import VGG
from gatys_lab.training import _loop
from gatys_lab.training._checkpoint import save_weights
from gatys_lab.training._descent import Descent, follow
from gatys_lab.training._loop import Progress
from gatys_lab.training._pictures import Crops
from gatys_lab.training._pool import Pool
from gatys_lab.training._slim import cut, graft, moments, solve_heads

RELUS = tuple(step.replace("conv", "relu") for step in lite.WIDTHS)
STYLE = tuple(STYLE_LAYERS)
# To a layer's feature error; relu1_1's is small, and its channels are not many.
ATTENTION = dict.fromkeys(RELUS, 0.1) | dict.fromkeys(STYLE, 1.0) | {"relu1_1": 4.0, "relu4_2": 0.5}
DEPTH = torch.tensor([0.04, 0.10, 0.22, 0.32, 0.32])  # how often a style layer's gradient is compared
SLOPE = 2.0  # weight of the gradient's direction against features and Gram matrices
EPS = 1e-12


@dataclass(frozen=True)
class Settings:
    """How to train. `steps` may be changed when a run is resumed: the rate falls over the last `decay` of them."""

    steps: int = 20_000
    fresh: int = 1  # pairs from the disk in a step
    drawn: int = 3  # pairs from the pool
    size_px: int = 128
    pool: int = 32
    rate: float = 1e-3
    decay: float = 0.9
    average: float = 0.999
    moment_batches: int = 24
    seed: int = 0
    every: int = 500  # steps between checkpoints


@dataclass(frozen=True)
class Lesson:
    """What the teacher says of pictures and their styles, (2N, ...) each, and its gradient on the pictures."""

    coordinates: dict[str, Tensor]  # (2N, r, h, w)
    grams: dict[str, Tensor]  # (2N, C, C)
    gradient: Tensor  # (N, 3, s, s)


def gram(f: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C, C), the mean over positions; multiplied in the features' precision, summed in 32 bits."""
    f = f.permute(0, 2, 3, 1).flatten(1, 2)  # (N, P, C)
    return (f.mT @ f).float() / f.shape[1]


def _square(x: Tensor) -> Tensor:
    return x.flatten(1).square().sum(1)  # (N,)


def _relative_error(found: Tensor, wanted: Tensor, full_gram: Tensor | None) -> Tensor:
    """Squared, (N,); relative to the teacher's whole energy, which its Gram's trace gives, else to the wanted's own."""
    error = (found.float() - wanted).square().mean((2, 3)).sum(1)
    if full_gram is None:
        return error / (wanted.square().mean((2, 3)).sum(1) + EPS)
    return error / (full_gram.diagonal(dim1=1, dim2=2).sum(1) + EPS)


def _angle(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - cosine, a mean over the batch."""
    return 1 - F.cosine_similarity(found.flatten(1), wanted.flatten(1), eps=EPS).mean()


def _distances(features: dict[str, Tensor], style: dict[str, Tensor]) -> Tensor:
    """Squared distances of Gram matrices, (N, layers)."""
    return torch.stack([_square(gram(features[k]) - gram(style[k])) for k in STYLE], 1)


class Distillation:
    """The state of a training run: student, its running average, optimiser, pool. `step()` is one step."""

    def __init__(
        self, teacher: VGG, contents: Crops, styles: Crops, settings: Settings, start: dict[str, Tensor] | None = None
    ) -> None:
        self.teacher, self.contents, self.styles, self.settings = teacher, contents, styles, settings
        self.start = start  # an earlier student's tensors, as `lite.read` gives them
        self.student = lite.create()
        self.average = lite.create()
        self.lifts: dict[str, Tensor] = {}
        self.descent = Descent(list(self.student.parameters()), "muon")
        self.pool = Pool.empty(settings.pool, settings.size_px)
        self.done = 0

    def begin(self) -> None:
        """The closed-form start, from the teacher's second moments; with `start`, from that student's convolutions."""
        s = self.settings
        batches = [
            crops.draw(8, s.seed, 10**9 + i) for i in range(s.moment_batches) for crops in (self.contents, self.styles)
        ]
        with torch.no_grad():
            self.lifts = cut(self.teacher, self.student, moments(self.teacher, batches, RELUS))
            if self.start is not None:
                graft(self.student, self.start)
                solve_heads(self.teacher, self.student, self.lifts, batches)
        self.teacher = self.teacher.bfloat16()
        self.average.load_state_dict(self.student.state_dict())

    def fetch(self, step: int) -> tuple[Tensor, Tensor]:
        """Contents and styles for a step; every fifth time the paintings are contents and the photographs styles."""
        contents, styles = (self.contents, self.styles) if step % 5 else (self.styles, self.contents)
        count, seed = self.settings.fresh + self.settings.drawn, self.settings.seed
        return contents.draw(count, seed, 2 * step), styles.draw(count, seed, 2 * step + 1)

    def step(self, contents: Tensor, styles: Tensor) -> dict[str, Tensor]:
        """One step of training, then a few of the drawn pictures' own optimisation."""
        s = self.settings
        generator = torch.Generator().manual_seed(s.seed * 1_000_003 + self.done)
        items = self.pool.draw(contents[s.fresh :], styles[s.fresh :], generator)
        pictures = torch.cat([contents[: s.fresh], self.pool.image[items]])
        styles = torch.cat([styles[: s.fresh], self.pool.style[items]])
        layer = F.one_hot(torch.multinomial(DEPTH, len(pictures), replacement=True, generator=generator), len(STYLE))
        losses = self._study(pictures, styles, layer, self._teach(pictures, styles, layer))
        self._update(losses["total"])
        self.pool.move(items, self._slope)
        self.done += 1
        return {name: loss.detach() for name, loss in losses.items()}

    def _teach(self, pictures: Tensor, styles: Tensor, layer: Tensor) -> Lesson:
        leaf = pictures.clone().requires_grad_()
        seen = self.teacher(leaf, RELUS)
        with torch.no_grad():
            style = self.teacher(styles, RELUS)
        grams = {k: (gram(seen[k]), gram(style[k])) for k in STYLE}
        distance = torch.stack([_square(a - b) for a, b in grams.values()], 1)  # (N, layers)
        (gradient,) = torch.autograd.grad((distance * layer).sum(), leaf)
        with torch.no_grad():
            coordinates = {k: torch.cat([self._project(k, f) for f in (seen[k], style[k])]) for k in RELUS}
            return Lesson(coordinates, {k: torch.cat(pair) for k, pair in grams.items()}, gradient)

    def _project(self, layer: str, features: Tensor) -> Tensor:
        lift = self.lifts[layer].T[:, :, None, None].to(features.dtype)  # (r, C, 1, 1)
        return F.conv2d(features, lift).float()

    def _study(self, pictures: Tensor, styles: Tensor, layer: Tensor, lesson: Lesson) -> dict[str, Tensor]:
        leaf = pictures.clone().requires_grad_()
        with torch.autocast(leaf.device.type, torch.bfloat16):
            seen = self.student(torch.cat([leaf, styles]), RELUS)
        feature = {k: _relative_error(seen[k], lesson.coordinates[k], lesson.grams.get(k)).mean() for k in RELUS}
        grams = {k: gram(seen[k]) for k in STYLE}
        wanted = {k: self.lifts[k].T @ lesson.grams[k] @ self.lifts[k] for k in STYLE}
        likeness = [(_square(grams[k] - wanted[k]) / (_square(lesson.grams[k]) + EPS)).mean() for k in STYLE]
        distance = torch.stack([_square(a - b) for a, b in (g.chunk(2) for g in grams.values())], 1)
        (gradient,) = torch.autograd.grad((distance * layer).sum(), leaf, create_graph=True)
        losses = {
            "feature": torch.stack([ATTENTION[k] * feature[k] for k in RELUS]).sum(),
            "gram": torch.stack(likeness).sum(),
            "fine": SLOPE * _angle(gradient, lesson.gradient),
            "coarse": SLOPE * _angle(F.avg_pool2d(gradient, 4), F.avg_pool2d(lesson.gradient, 4)),
        }
        return {"total": torch.stack(list(losses.values())).sum()} | losses | {k: feature[k].sqrt() for k in STYLE}

    def _slope(self, pictures: Tensor, styles: Tensor) -> Tensor:
        """The gradient by which the pool's pictures move: the student's style loss, a layer relative to the style."""
        leaf = pictures.clone().requires_grad_()
        with torch.autocast(leaf.device.type, torch.bfloat16):
            seen = self.student(leaf, STYLE)
            with torch.no_grad():
                style = self.student(styles, STYLE)
        scale = torch.stack([_square(gram(style[k])) for k in STYLE], 1) + EPS
        return torch.autograd.grad((_distances(seen, style) / scale).sum(), leaf)[0]

    def _update(self, loss: Tensor) -> None:
        s = self.settings
        left = (s.steps - self.done) / max(1, s.decay * s.steps)
        self.student.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        if math.isfinite(norm):
            self.descent.step(s.rate * min(1.0, left, (self.done + 1) / 100))
        follow(self.average.parameters(), self.student.parameters(), s.average, self.done)

    def state(self) -> dict:
        """All that a resumed run needs, tensors and numbers only."""
        return {
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "descent": self.descent.state(),
            "lifts": self.lifts,
            "pool": vars(self.pool),
            "done": self.done,
        }

    def restore(self, state: dict) -> None:
        self.student.load_state_dict(state["student"])
        self.average.load_state_dict(state["average"])
        self.descent.restore(state["descent"])
        self.lifts, self.pool, self.done = state["lifts"], Pool(**state["pool"]), state["done"]
        self.teacher = self.teacher.bfloat16()


def weights_of(run: Distillation) -> dict[str, Tensor]:
    """What is shipped, at 8 bits: the averaged network, and the lifts that map its heads to the teacher."""
    lifts = {f"{k.replace('relu', 'lift')}.weight": run.lifts[k] for k in RELUS if ATTENTION[k] >= 0.5}
    return _rounding.pack(run.average.state_dict() | lifts)


def train(run: Distillation, out: Path, report: Callable[[Progress], None]) -> None:
    """Train and leave the network at `out`; `out`.checkpoint beside it lets an interrupted run go on where it stood."""

    def save() -> None:
        save_weights(weights_of(run), out, {"steps": str(run.done), "name": "lite"})

    check_target(out, ".safetensors")
    _loop.train(run, out.with_suffix(".checkpoint"), save, report)
