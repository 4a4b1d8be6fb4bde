"""What optimisers are tried on (quadratics, Rosenbrock, a Gram objective), and other people's to compare them with."""

from collections.abc import Callable
from itertools import count
from math import inf
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.networks._vgg import VGG
from gatys_lab.types import Evaluate, Optimizer

Problem = tuple[Evaluate, Tensor]  # what to minimise, and where to start


class Spent(Exception):
    """Raised by a counted `evaluate` when its budget is spent."""


class Counted:
    """An `evaluate` with a budget that remembers the losses it gave."""

    def __init__(self, evaluate: Evaluate, budget: int = 10**9, target: float = -inf) -> None:
        self.evaluate, self.budget, self.target, self.losses = evaluate, budget, target, list[float]()

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if len(self.losses) >= self.budget or (self.losses and self.losses[-1] <= self.target):
            raise Spent
        loss, gradient = self.evaluate(x)
        self.losses.append(float(loss))
        return loss, gradient


def quadratic(condition: float, seed: int, size: int = 1000) -> Problem:
    """Eigenvalues from 1 to `condition`, evenly in the logarithm. Its least value is 0."""
    draw = torch.Generator().manual_seed(seed)
    centre, start = torch.randn(2, size, generator=draw, dtype=torch.float64)
    curvature = torch.logspace(0, np.log10(condition), size, dtype=torch.float64)
    return lambda x: ((curvature * (x - centre).square()).sum() / 2, curvature * (x - centre)), start


def bowl(dtype: torch.dtype = torch.float64) -> Problem:
    """A quadratic whose minimum lies inside [0, 1], of an image's shape; its gradients come in channels_last."""
    draw = torch.Generator().manual_seed(0)
    centre, start = torch.rand(2, 1, 3, 8, 6, generator=draw, dtype=torch.float64).to(dtype)
    curvature = torch.logspace(0, 1, centre.numel(), dtype=torch.float64).to(dtype).view_as(centre)

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        gradient = curvature * (x - centre)
        return (gradient * (x - centre)).sum() / 2, gradient.contiguous(memory_format=torch.channels_last)

    return evaluate, start


def raising(evaluate: Evaluate, at: int) -> Evaluate:
    """Ends the run at one evaluation, the first being number 1."""
    return Counted(evaluate, at - 1)


def rosenbrock(seed: int, size: int = 1000) -> Problem:
    """Every coordinate coupled to the next. Starts at (-1.2, 1, -1.2, 1, ...) plus half a standard normal."""
    noise = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    start = torch.tensor([-1.2, 1.0] * (size // 2), dtype=torch.float64) + noise / 2
    return differentiated(lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()), start


def gram(seed: int, size_px: int = 128, dtype: torch.dtype = torch.float32, noise: bool = False) -> Problem:
    """Style transfer with a small VGG of random weights; starts from the content, or from noise."""
    net, layers = _network(dtype), ("relu1_1", "relu2_1", "relu3_1")
    draw = torch.Generator().manual_seed(seed)
    style, content = (_picture(size_px, draw).to(dtype) for _ in range(2))
    targets = {layer: _gram(f) for layer, f in net(style, layers).items()}
    kept = net(content, layers)
    scales = {layer: (_gram(f) - targets[layer]).square().sum() for layer, f in kept.items()}

    def loss(x: Tensor) -> Tensor:
        features = net(x, layers)
        styles = [(_gram(features[k]) - targets[k]).square().sum() / scales[k] for k in layers]
        return torch.stack(styles).sum() + 0.05 * F.mse_loss(features["relu3_1"], kept["relu3_1"])

    return differentiated(loss), torch.rand(content.shape, generator=draw).to(dtype) if noise else content


def differentiated(function: Callable[[Tensor], Tensor]) -> Evaluate:
    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            loss = function(leaf)
            (gradient,) = torch.autograd.grad(loss, leaf)
        return loss.detach(), gradient

    return evaluate


def _network(dtype: torch.dtype) -> VGG:
    draw = torch.Generator().manual_seed(0)
    net = VGG("small", {"conv1_1": 8, "conv1_2": 8, "conv2_1": 16, "conv2_2": 16, "conv3_1": 32}, padding="reflect")
    for parameter in net.requires_grad_(False).parameters():
        fan_in = parameter[0].numel()  # 1 for a bias
        spread = (2 / fan_in) ** 0.5 if fan_in > 1 else 0.05
        parameter.copy_(spread * torch.randn(parameter.shape, generator=draw))
    return net.to(dtype)


def _picture(size_px: int, draw: torch.Generator) -> Tensor:
    """Noise of several scales, in [0, 1]."""
    shape = (size_px, size_px)
    scales = [torch.randn(1, 3, k, k, generator=draw) / k**0.5 for k in (4, 16, 64)]
    x = torch.stack([F.interpolate(scale, size=shape, mode="bilinear") for scale in scales]).sum(0)
    return (x - x.amin()) / (x.amax() - x.amin())


def _gram(f: Tensor) -> Tensor:
    f = f.flatten(2)  # (N, C, P)
    return f @ f.mT / f.shape[2]


def run(optimizer: Optimizer, evaluate: Evaluate, start: Tensor) -> Any:
    """The last state: of a run that ended by itself, or whose budget is spent."""
    return go_on(optimizer, evaluate, optimizer.start(start))


def go_on(optimizer: Optimizer, evaluate: Evaluate, state: Any) -> Any:
    """From a state instead of a start."""
    try:
        while state.reason is None:
            state = optimizer.step(evaluate, state)
    except Spent:
        pass
    return state


def run_scipy(evaluate: Evaluate, start: Tensor, history: int = 10) -> None:
    """L-BFGS-B without bounds or tolerances, until it ends by itself or the budget is spent."""

    def objective(vector: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = evaluate(torch.tensor(vector, dtype=start.dtype).view_as(start))
        return float(loss), gradient.double().contiguous().view(-1).numpy()

    limits = {"maxiter": 10**9, "maxfun": 10**9, "ftol": 0.0, "gtol": 0.0}
    try:
        vector = start.double().contiguous().view(-1).numpy()
        minimize(objective, vector, jac=True, method="L-BFGS-B", options={"maxcor": history, **limits})
    except Spent:
        pass


def run_torch(evaluate: Evaluate, start: Tensor, history: int = 10) -> None:
    """torch.optim.LBFGS with its strong Wolfe line search and without tolerances, until the budget is spent."""
    x = start.clone(memory_format=torch.contiguous_format).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [x],
        max_iter=10**9,
        max_eval=10**9,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        history_size=history,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        loss, gradient = evaluate(x.detach())
        x.grad = gradient.contiguous()
        return loss

    try:
        for _ in count():
            optimizer.step(closure)
    except Spent:
        pass
