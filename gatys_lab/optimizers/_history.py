"""The last m steps and changes of the gradient, and the quasi-Newton direction that they define.

Byrd, Nocedal & Schnabel 1994, theorem 2.2: H g = c g + S (R^-T (D + c Y'Y) R^-1 S'g - c R^-T Y'g) - c Y R^-1 S'g, with
R the upper triangle of S'Y, D its diagonal, and c g the guess where nothing is known. S and Y, which are large, are
written once a step and read twice: once times the newest y, once for the direction. What is small stays on the CPU, in
float64. Differs: the vectors are rows, and a new pair overwrites the oldest where it stands; no row ever moves, since
R^-1 is kept instead of R: it loses a pair with a row and a column, and gains one with a column. The small algebra is
numpy's, on the same memory: torch needs longer to call a function than numpy to do the work.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass
class History:
    """Pairs of a step s and the change y of the gradient along it; where there is none yet, zeros."""

    pairs: Tensor  # (2, m, n) S, Y
    inverse: Tensor  # (m, m) R^-1, zero in the rows and columns of what was forgotten
    sy: Tensor  # (m,) s_i . y_i
    yy: Tensor  # (m, m) y_i . y_j
    slopes: Tensor  # (2, m) S g, Y g for the current gradient g
    seen: int = 0  # pairs so far: the next goes to this row, modulo their number


def empty(size: int, like: Tensor) -> History:
    """Room for `size` pairs of vectors `like` (n,)."""
    inverse, yy = torch.zeros(2, size, size, dtype=torch.float64)
    sy, slopes = torch.zeros(size, dtype=torch.float64), torch.zeros(2, size, dtype=torch.float64)
    return History(like.new_zeros(2, size, like.numel()), inverse, sy, yy, slopes)


def forget(history: History) -> None:
    """Start anew. The large matrices may stay: nothing refers to them."""
    for each in (history.inverse, history.sy, history.yy, history.slopes):
        each.zero_()


def products(history: History, y: Tensor) -> Tensor:
    """S y, Y y: what `turn` and `add` want of the newest y (n,). On the device, (2m,)."""
    return history.pairs.flatten(0, 1) @ y


def turn(history: History, against: np.ndarray) -> None:
    """The gradient changed by y. `against` (2m,): `products` with y."""
    history.slopes.numpy()[...] += against.reshape(2, -1)


def add(history: History, s: Tensor, y: Tensor, own: tuple[float, float, float, float], against: np.ndarray) -> None:
    """Write down a pair, after `turn`. `own`: s.y, y.y, s.g, y.g; `against` (2m,): `products` with y."""
    row = history.seen % len(history.sy)
    history.pairs[0, row], history.pairs[1, row] = s, y
    inverse, sy, yy, slopes = (each.numpy() for each in (history.inverse, history.sy, history.yy, history.slopes))
    inverse[row] = inverse[:, row] = 0
    inverse[:, row] = inverse @ against[: len(sy)] / -own[0]
    inverse[row, row] = 1 / own[0]
    yy[row] = yy[:, row] = against[len(sy) :]
    sy[row], yy[row, row], slopes[0, row], slopes[1, row] = own
    history.seen += 1


def direction(history: History, gradient: Tensor, squared: float, scale: float) -> tuple[Tensor, float]:
    """-H g (n,) and the slope -g'H g. `squared` is g'g, `scale` is c. Waits for no device."""
    inverse, sy, yy, slopes = (each.numpy() for each in (history.inverse, history.sy, history.yy, history.slopes))
    p = inverse @ slopes[0]
    q = inverse.T @ (sy * p + scale * (yy @ p - slopes[1]))
    weights = np.concatenate([q, -scale * p])  # (2m,) of S, Y
    on_device = torch.from_numpy(weights).to(gradient.dtype).to(gradient.device, non_blocking=True)
    d = torch.mul(gradient, -scale).addmv_(history.pairs.flatten(0, 1).T, on_device, alpha=-1)
    return d, -scale * squared - float(weights @ slopes.ravel())
