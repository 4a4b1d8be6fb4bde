"""How weights move: by Adam, or convolutions by Muon (Jordan et al. 2024), each as a matrix (outputs, rest).

Tried on the first 180 steps of `lite`: at the end the loss was 5.55 with Muon and 6.35 with Adam on everything, and an
Adam step cost as much.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

OPTIMIZERS = ("adam", "muon")


class Descent:
    """Steps for parameters, which must be contiguous and stay where they are. `muon` leaves biases to Adam."""

    def __init__(self, parameters: Sequence[nn.Parameter], optimizer: str) -> None:
        if optimizer not in OPTIMIZERS:
            raise ValueError(f"no optimiser '{optimizer}' for training; there are {', '.join(OPTIMIZERS)}")
        if optimizer == "muon" and not hasattr(torch.optim, "Muon"):
            raise ValueError(f"torch {torch.__version__} has no Muon; wanted 2.9 or newer, or another optimiser")
        self.weights = [p for p in parameters if optimizer == "muon" and p.ndim == 4]
        self.matrices = [nn.Parameter(p.detach().view(len(p), -1)) for p in self.weights]  # the same memory
        rest = [p for p in parameters if optimizer == "adam" or p.ndim < 4]
        self.optimizers: list[torch.optim.Optimizer] = []
        if self.matrices:
            self.optimizers.append(torch.optim.Muon(self.matrices, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"))
        if rest:
            self.optimizers.append(torch.optim.Adam(rest, betas=(0.9, 0.99)))

    def step(self, rate: float) -> None:
        """Move every parameter along its `grad`; `rate` is the size of a step as Adam counts it."""
        for matrix, weight in zip(self.matrices, self.weights, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.reshape(matrix.shape)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()

    def state(self) -> list[dict[str, Any]]:
        """Tensors and numbers only."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def restore(self, state: list[dict[str, Any]]) -> None:
        for optimizer, saved in zip(self.optimizers, state, strict=True):
            optimizer.load_state_dict(saved)


def follow(average: Iterable[Tensor], weights: Iterable[Tensor], memory: float, step: int) -> None:
    """Move a running average of weights after a step (0, 1, ...); at the beginning it forgets faster."""
    keep = min(memory, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, now in zip(average, weights, strict=True):
            mean.lerp_(now, 1 - keep)
