"""Pictures as the engine makes them: a pool of pictures on their way from a content (or noise) to a style.

Distilled on photographs alone, a small network is fooled by its own optimiser, which finds what the network gets
wrong. So the pool's pictures are optimised with the student as it is now, a few steps each time they are drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LIFETIME = 25  # mean number of times that a picture is drawn before a fresh one replaces it
MOVES = 4  # optimisation steps each time
STEP, HALVED_AT = 0.03, 30  # of the pixel range, and the age in steps at which it has halved
MOMENTUM, SQUARES = 0.9, 0.99


@dataclass
class Pool:
    """n pictures, their styles, and the state of their optimisers. All tensors, so that a checkpoint holds it."""

    image: Tensor  # (n, 3, s, s)
    style: Tensor  # (n, 3, s, s)
    momentum: Tensor  # (n, 3, s, s)
    squares: Tensor  # (n, 3, s, s)
    age: Tensor  # (n,) in moves; -1 for one that was never born

    @classmethod
    def empty(cls, count: int, size_px: int) -> "Pool":
        def blank() -> Tensor:
            return torch.zeros(count, 3, size_px, size_px)

        return cls(blank(), blank(), blank(), blank(), torch.full((count,), -1))

    def draw(self, contents: Tensor, styles: Tensor, generator: torch.Generator) -> Tensor:
        """Indices of as many distinct pictures as `contents` has; the worn and the unborn among them begin afresh."""
        items = torch.randperm(len(self.age), generator=generator)[: len(contents)]
        worn = torch.rand(len(items), generator=generator) < 1 / LIFETIME
        due = (self.age[items] < 0) | worn
        born = items[due]
        noise = torch.rand(contents.shape, generator=generator)[due]
        drowned = (torch.rand(len(items), 1, 1, 1, generator=generator) * 3 - 2).clamp(0, 1)[due]  # two in three: not
        self.image[born] = torch.lerp(contents[due], noise, drowned)
        self.style[born] = styles[due]
        self.momentum[born], self.squares[born], self.age[born] = 0, 0, 0
        return items

    def move(self, items: Tensor, gradient: Callable[[Tensor, Tensor], Tensor]) -> None:
        """A few descent steps along `gradient(images, styles)`; every second picture with one step size for all its
        pixels (as L-BFGS), the rest with one a pixel (as Adam)."""
        x, momentum, squares, age = self.image[items], self.momentum[items], self.squares[items], self.age[items]
        shared = (items % 2 == 0).view(-1, 1, 1, 1)
        for _ in range(MOVES):
            g = gradient(x, self.style[items])
            age = age + 1
            momentum, squares = torch.lerp(g, momentum, MOMENTUM), torch.lerp(g**2, squares, SQUARES)
            size = torch.where(shared, squares.mean((1, 2, 3), keepdim=True), squares)
            t = age.view(-1, 1, 1, 1)
            move = momentum / (1 - MOMENTUM**t) / (size / (1 - SQUARES**t)).sqrt().clamp_min(1e-12)
            x = (x - STEP / (1 + t / HALVED_AT) * move.clamp(-5, 5)).clamp(0, 1)
        self.image[items], self.momentum[items], self.squares[items], self.age[items] = x, momentum, squares, age
