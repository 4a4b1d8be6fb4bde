"""scipy's L-BFGS-B (Byrd, Lu, Nocedal & Zhu 1995): the image stays in its box. The reference for our own lbfgs.

Differs from scipy's defaults: no tolerances and no limits, since the engine keeps the budget. The algorithm runs in
float64 on the CPU; images are evaluated in their own precision and on their own device. Where it gives up, or meets a
loss that is not finite, it begins anew from its last iterate.
"""

import math
import sys
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch import Tensor

from gatys_lab.types import Evaluate


@dataclass
class LBFGSBState:
    """The iterate and counts: scipy's memory ends with `step`."""

    x: Tensor
    failures: int = 0  # runs in a row that ended at once, at a loss that was not finite
    restarts: int = 0  # in a row that ended at once in another way
    dropped: int = 0  # in all
    average: None = None
    reason: Literal["converged", "stalled", "diverged"] | None = None


@dataclass(frozen=True)
class LBFGSB:
    """`history`: pairs kept. `max_retries`: runs of scipy's in a row that may end where they begin."""

    history: int
    bounds: tuple[float, float] | None
    max_retries: int

    def start(self, x: Tensor) -> LBFGSBState:
        """`x` of any shape, in float32 or float64."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        return LBFGSBState(x.detach().to(dtype, memory_format=torch.contiguous_format, copy=True))

    def step(self, evaluate: Evaluate, state: LBFGSBState) -> LBFGSBState:
        """A whole run, until scipy ends it or `evaluate` raises."""

        def objective(vector: np.ndarray) -> tuple[float, np.ndarray]:
            loss, gradient = evaluate(torch.tensor(vector, dtype=state.x.dtype, device=state.x.device).view_as(state.x))
            value, slope = float(loss), _vector(gradient)
            if not (math.isfinite(value) and np.isfinite(slope).all()):
                raise _NotFinite
            return value, slope

        before = state.x.clone()
        try:
            end = self._run(objective, state.x)
            if end.success:
                state.reason = "converged"
                return state
            state.dropped += 1
            state.restarts = 0 if not torch.equal(state.x, before) else state.restarts + 1
        except _NotFinite:
            state.failures = 0 if not torch.equal(state.x, before) else state.failures + 1
        if max(state.failures, state.restarts) > self.max_retries:
            state.reason = "diverged" if state.failures > self.max_retries else "stalled"
        return state

    def drafting(self) -> "LBFGSB":
        """The same."""
        return self

    def smaller(self, x: Tensor) -> "LBFGSB | None":
        """Half the history."""
        return replace(self, history=self.history // 2) if self.history > 1 else None

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


def build(history: int = 10, bounds: tuple[float, float] | None = (0.0, 1.0), max_retries: int = 5) -> LBFGSB:
    """`history`: pairs kept. `bounds`: the box, or None. `max_retries`: failures in a row before it gives up."""
    if history < 1 or max_retries < 0:
        raise ValueError(f"history {history}, max_retries {max_retries}; wanted at least 1 and 0")
    return LBFGSB(history, bounds, max_retries)
