"""How near two pictures' colours are, wherever they stand. `a` (N, 3, H, W) and `b` (N, 3, h, w) may differ in size."""

import torch
from torch import Tensor

from gatys_lab.types import Image

BINS = 8  # a channel: 512 colours
FRAMES = 8  # of three directions each: 1 % from the value of 1,000, at most 6 % (4 photographs x 5 paintings)


def colour_histogram(a: Image, b: Image, bins: int = BINS) -> Tensor:
    """The share (N,) of one picture's pixels whose colour the other lacks, 0 ... 1, in `bins` levels a channel.

    1 less the histogram intersection of Swain & Ballard 1991, in RGB where they take opponent colours.
    """
    return (_histograms(a, bins) - _histograms(b, bins)).abs().sum(1) / 2


def sliced_wasserstein(a: Image, b: Image, frames: int = FRAMES, seed: int = 0) -> Tensor:
    """How far colours must move (N,) to make one palette the other, root mean square, of the pixel range.

    Sliced Wasserstein-2 distance of Rabin et al. 2011. Differs: directions come three at a time, orthogonal, and are
    summed over the three, so that a palette shifted by v is |v| away, exactly.
    """
    draw = torch.randn(frames, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    directions = torch.linalg.qr(draw).Q.flatten(0, 1)  # (3 frames, 3)
    return torch.stack([_distance(x, y, directions) for x, y in zip(a, b, strict=True)])


def _distance(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """() of images (3, H, W) and (3, h, w)."""
    ours, theirs = (directions.to(picture) @ picture.flatten(1) for picture in (x, y))
    squares = [squared_wasserstein(u, v) for u, v in zip(ours, theirs, strict=True)]  # one at a time: sorting is large
    return (3 * torch.stack(squares).mean()).sqrt()


def squared_wasserstein(u: Tensor, v: Tensor) -> Tensor:
    """The squared 2-Wasserstein distance () of two sets of numbers (n,) and (m,), exact also where n is not m."""
    (n, m), u, v = (len(u), len(v)), u.sort().values, v.sort().values
    if n == m:
        return (u - v).square().mean()
    ends = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).to(u.device).sort().values
    shares = ends.diff(prepend=ends.new_zeros(1))  # of n m, on which both quantile functions are constant
    gaps = u[(ends - 1) // m] - v[(ends - 1) // n]
    return (gaps.square() * shares).sum() / (n * m)


def _histograms(images: Image, bins: int) -> Tensor:
    """Shares (N, bins^3) of the colours."""
    levels = (images * bins).long().clamp(0, bins - 1)  # (N, 3, H, W)
    colours = ((levels[:, 0] * bins + levels[:, 1]) * bins + levels[:, 2]).flatten(1)
    counts = torch.stack([row.bincount(minlength=bins**3) for row in colours])
    return counts.to(images.dtype) / colours.shape[1]
