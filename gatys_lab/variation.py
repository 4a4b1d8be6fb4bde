"""Total variation of a picture: the mean squared length ("l2") or the mean length ("l1") of its gradient.

The length is that of both directions together (Rudin et al. 1992): absolute differences would make steps of edges
that are not upright. It is taken in bands of rows, and again on the way back: no copy of a large picture is held.

>>> ramp = torch.arange(4.0).expand(1, 3, 5, 4)
>>> total_variation(ramp), total_variation(ramp, "l1")
(tensor(1.), tensor(1.))
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

KINDS = ("l2", "l1")
EPS = 1e-8  # inside the root of L1 total variation; a hundredth of an 8-bit level
BAND = 1 << 22  # numbers that are taken at a time


def total_variation(x: Tensor, kind: str = "l2", *, around: bool = False) -> Tensor:
    """() of x (N, C, H, W). `around`: the last row and column are neighbours of the first."""
    if around:
        x = F.pad(x, (0, 1, 0, 1), mode="circular")
    found: Tensor = _ByBands.apply(x, kind, around or kind == "l1")
    return found


class _ByBands(torch.autograd.Function):
    """`both`: only places are counted that have a neighbour to the right and one below."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: str, both: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.how = x.shape, kind, both
        return torch.stack([_share(band, last, *ctx.how) for band, last in _bands(x)]).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        out = torch.zeros_like(x)
        for (band, last), (place, _) in zip(_bands(x), _bands(out), strict=True):
            leaf = band.detach().requires_grad_()
            with torch.enable_grad():
                value = _share(leaf, last, *ctx.how)
            place.add_(torch.autograd.grad(value, leaf, gradients[0])[0])
        return out, None, None


def _bands(x: Tensor) -> Iterator[tuple[Tensor, bool]]:
    """Rows of x, each band with the row below it; the last band has none."""
    rows = max(1, BAND // x[:, :, 0].numel())
    for start in range(0, x.shape[2], rows):
        yield x[:, :, start : start + rows + 1], start + rows >= x.shape[2]


def _share(band: Tensor, last: bool, shape: torch.Size, kind: str, both: bool) -> Tensor:
    """What a band adds to the mean over a picture of this shape."""
    dx, dy = band.diff(dim=3), band.diff(dim=2)
    if both or not last:
        dx = dx[:, :, :-1]
    if both:
        dy = dy[..., :-1]
    planes, height, width = shape[0] * shape[1], shape[2], shape[3]
    across = planes * max(1, height - both) * max(1, width - 1)
    down = planes * max(1, height - 1) * max(1, width - both)
    if kind == "l1":
        return (dx.square() + dy.square() + EPS).sqrt().sum() / across
    return dx.square().sum() / across + dy.square().sum() / down
