"""Train a feed-forward model: its decoder learns to paint what the engine would have to optimise.

The loss of a step is an `Objective` of the very terms that `stylize` minimises, fitted to a batch of photographs and
paintings, of the pictures that the model makes of them. A *recipe* (adain.py, adaattn.py, inverse.py beside this file)
says which terms, and what they are fitted to.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from gatys_lab.models._base import FeedForward
from gatys_lab.objective import Objective
from gatys_lab.training._descent import Descent, follow
from gatys_lab.training._pictures import Crops
from gatys_lab.types import Features, Image, Loss

CELL_PX = 16  # of relu5_1
HOPELESS = 100  # steps in a row without a finite gradient


@dataclass(frozen=True)
class Recipe:
    """What is peculiar to a model."""

    model: FeedForward
    objective: Objective

    @property
    def layers(self) -> tuple[str, ...]:
        """What `loss` looks at."""
        return self.objective.layers

    def paint(self, contents: Image, styles: Image) -> tuple[Image, Features, Features]:
        """Pictures, not clamped, and the content's and style's features that the objective is fitted to."""
        raise NotImplementedError

    def loss(self, found: Features, content: Features, style: Features) -> Loss:
        """Of the pictures' features."""
        return self.objective.fit(content, style)(found)


@dataclass(frozen=True)
class Settings:
    """How to train. `steps` may be changed when a run is resumed."""

    steps: int = 160_000
    batch: int = 8  # pairs, of all processes together
    size_px: int = 256
    optimizer: str = "adam"  # or muon
    rate: float = 1e-4
    decay: float = 5e-5  # rate / (1 + decay * step), as the published code; where `falling`, a straight line to 0
    falling: bool = False
    clip: float = 10.0  # the gradient's norm
    average: float = 0.999
    precision: str = "fp32"  # or bf16: convolutions only
    seed: int = 0
    every: int = 500  # steps between checkpoints


class Lesson(nn.Module):
    """The loss of a batch, and its parts; a module, so that DistributedDataParallel can stand around it."""

    def __init__(self, recipe: Recipe, precision: str) -> None:
        super().__init__()
        self.model, self.recipe, self.precision = recipe.model, recipe, precision

    def forward(self, contents: Image, styles: Image) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(contents.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            picture, content, style = self.recipe.paint(contents, styles)
            found = self.model.encoder(picture.float(), self.recipe.layers)
        exact = [{k: f.float() for k, f in features.items()} for features in (found, content, style)]
        loss = self.recipe.loss(*exact)
        groups: dict[str, Tensor] = {}
        for name, part in loss.parts.items():
            group = name.split(" ")[0]
            groups[group] = groups.get(group, torch.zeros_like(part)) + part
        return loss.total, groups


class Training:
    """The state of a run: see _loop.Run. Where torch.distributed is initialised, each process takes its share."""

    def __init__(self, recipe: Recipe, contents: Crops, styles: Crops, settings: Settings) -> None:
        self.recipe, self.contents, self.styles, self.settings = recipe, contents, styles, settings
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        if settings.batch % self.world:
            raise ValueError(f"a batch of {settings.batch} for {self.world} processes; wanted a multiple of them")
        if settings.size_px % CELL_PX:
            raise ValueError(f"crops of {settings.size_px} px; wanted a multiple of {CELL_PX}, as decoders double")
        lesson = Lesson(recipe, settings.precision)
        self.lesson: nn.Module = nn.parallel.DistributedDataParallel(lesson) if self.world > 1 else lesson
        self.weights = [p for p in recipe.model.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self.weights]
        self.descent = Descent(self.weights, settings.optimizer)
        self.done, self.skipped = 0, 0

    def begin(self) -> None:
        """Nothing: the weights are random."""

    def fetch(self, step: int) -> tuple[Tensor, Tensor]:
        s = self.settings
        mine = slice(self.rank, None, self.world)
        return (
            self.contents.draw(s.batch, s.seed, 2 * step)[mine],
            self.styles.draw(s.batch, s.seed, 2 * step + 1)[mine],
        )

    def step(self, contents: Tensor, styles: Tensor) -> dict[str, Tensor]:
        device = self.weights[0].device
        self.recipe.model.train()
        with torch.random.fork_rng([]):  # chance is the step's own, whether the run was resumed or not
            torch.manual_seed(hash((self.settings.seed, self.done)))
            total, parts = self.lesson(contents.to(device), styles.to(device))
        for weight in self.weights:
            weight.grad = None
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.weights, self.settings.clip)
        self.skipped = 0 if math.isfinite(norm) else self.skipped + 1
        if self.skipped >= HOPELESS:
            raise ValueError(f"{HOPELESS} steps without a finite gradient: try a smaller rate, or precision fp32")
        if self.skipped == 0:
            self.descent.step(self.rate())
        follow(self.average, self.weights, self.settings.average, self.done)
        self.done += 1
        return self._of_all({"total": total.detach(), **parts})

    def _of_all(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Their mean over the processes."""
        if self.world > 1:
            for loss in losses.values():
                dist.all_reduce(loss)
                loss /= self.world
        return losses

    def rate(self) -> float:
        """The learning rate of the step to come."""
        s = self.settings
        if s.falling:
            return s.rate * min(1.0, (self.done + 1) / 100) * (1 - self.done / s.steps)
        return s.rate / (1 + s.decay * self.done)

    @contextmanager
    def averaged(self) -> Iterator[FeedForward]:
        """The model with the running average of its weights, for as long as the block lasts."""
        now = [weight.detach().clone() for weight in self.weights]
        _copy(self.average, self.weights)
        try:
            yield self.recipe.model.eval()
        finally:
            _copy(now, self.weights)

    def state(self) -> dict[str, Any]:
        return {
            "model": {k: v for k, v in self.recipe.model.state_dict().items() if not k.startswith("encoder.")},
            "average": self.average,
            "descent": self.descent.state(),
            "done": self.done,
        }

    def restore(self, state: dict[str, Any]) -> None:
        missing = self.recipe.model.load_state_dict(state["model"], strict=False).missing_keys
        assert all(key.startswith("encoder.") for key in missing), missing
        _copy(state["average"], self.average)
        self.descent.restore(state["descent"])
        self.done = state["done"]


def _copy(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for new, old in zip(source, target, strict=True):
            old.copy_(new)
