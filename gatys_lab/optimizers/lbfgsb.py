"""scipy's L-BFGS-B (Byrd, Lu, Nocedal & Zhu 1995): the image stays in its box. The reference for our own lbfgs.

Differs from scipy's defaults: no tolerances and no limits, since the engine keeps the budget. The algorithm runs in
float64 on the CPU; images are evaluated in their own precision and on their own device.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch import Tensor

from gatys_lab.types import Evaluate


@dataclass
class LBFGSBState:
    """Only the iterate: scipy's memory ends with `step`."""

    x: Tensor
    average: None = None
    reason: Literal["converged", "stalled", "diverged"] | None = None


@dataclass(frozen=True)
class LBFGSB:
    """`history`: pairs kept."""

    history: int
    bounds: tuple[float, float] | None

    def start(self, x: Tensor) -> LBFGSBState:
        """`x` of any shape, in float32 or float64."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        return LBFGSBState(x.detach().to(dtype, memory_format=torch.contiguous_format, copy=True))

    def step(self, evaluate: Evaluate, state: LBFGSBState) -> LBFGSBState:
        """The whole run, until scipy ends it or `evaluate` raises. A loss that is not finite ends it: "diverged"."""

        def objective(vector: np.ndarray) -> tuple[float, np.ndarray]:
            loss, gradient = evaluate(torch.tensor(vector, dtype=state.x.dtype, device=state.x.device).view_as(state.x))
            value, slope = float(loss), _vector(gradient)
            if not (math.isfinite(value) and np.isfinite(slope).all()):
                raise _NotFinite
            return value, slope

        try:
            end = self._run(objective, state.x)
            state.reason = "converged" if end.success else "stalled"
        except _NotFinite:
            state.reason = "diverged"
        return state

    def _run(self, objective: Any, x: Tensor) -> Any:
        """Minimise, and after each iteration copy it into `x`."""
        limits = {"maxiter": sys.maxsize, "maxfun": sys.maxsize, "ftol": 0.0, "gtol": 0.0}
        return minimize(
            objective,
            _vector(x),
            jac=True,
            method="L-BFGS-B",
            bounds=None if self.bounds is None else Bounds(*self.bounds),
            callback=lambda vector: x.copy_(torch.from_numpy(vector).view_as(x)),
            options={"maxcor": self.history, **limits},
        )


class _NotFinite(Exception):
    """scipy's line search cannot go on from there."""


def _vector(x: Tensor) -> np.ndarray:
    return x.detach().to("cpu", torch.float64, copy=True).contiguous().view(-1).numpy()  # (n,)


def build(history: int = 10, bounds: tuple[float, float] | None = (0.0, 1.0)) -> LBFGSB:
    """`history`: pairs kept. `bounds`: the box, None for no box."""
    if history < 1:
        raise ValueError(f"history {history}; wanted at least 1")
    return LBFGSB(history, bounds)
