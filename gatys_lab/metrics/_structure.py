"""What is kept of a picture's structure, in pixels. `a` and `b` are images (N, 3, H, W) of one size."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.color import LUMA
from gatys_lab.types import Image

WINDOW, SIGMA = 11, 1.5  # px, as published
C1, C2 = 0.01**2, 0.03**2  # as published, for a range of 1
FLAT = 1e-12  # of the steepness squared: pictures without edges have a correlation of 0, not 0/0


def ssim(a: Image, b: Image) -> Tensor:
    """Structural similarity of the luma (N,), 1 for equal pictures. Wang et al. 2004, eq. 13, Gaussian windows.

    The mean over windows that lie wholly in the picture. Raises ValueError for pictures below 11 px a side.
    """
    _check_same(a, b)
    if min(a.shape[2:]) < WINDOW:
        height, width = a.shape[2:]
        raise ValueError(f"pictures of {width} x {height} px; SSIM needs {WINDOW} px a side: enlarge them")
    x, y = _luma(a), _luma(b)
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return (light * (2 * covariance + C2) / (var_x + var_y + C2)).mean((1, 2, 3))


def psnr(a: Image, b: Image) -> Tensor:
    """Peak signal to noise ratio (N,) in dB: -10 log10 of the mean squared error; inf for equal pictures."""
    _check_same(a, b)
    return -10 * torch.log10((a - b).square().mean((1, 2, 3)))


def edges(a: Image, b: Image) -> Tensor:
    """Correlation (N,) of the two lumas' steepness, -1 ... 1: 1 where the edges are the same, 0 without any.

    Sattar et al. 1997, the edge preservation index. Differs: the steepness is Sobel's, not a Laplacian's, which sees
    the grain of a brush before it sees the contours of a photograph.
    """
    _check_same(a, b)
    x, y = (steepness(picture).flatten(1) for picture in (a, b))  # (N, P)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    energy = x.square().sum(1) * y.square().sum(1)
    return (x * y).sum(1) / energy.clamp(min=FLAT).sqrt()


def steepness(image: Image) -> Tensor:
    """Sobel's gradient magnitude of the luma (N, 1, H - 2, W - 2), per px."""
    slope = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(image) / 8
    both = F.conv2d(_luma(image), torch.stack([slope, slope.T])[:, None])  # (N, 2, H - 2, W - 2)
    return both.square().sum(1, keepdim=True).sqrt()


def _luma(image: Image) -> Tensor:
    return (image * image.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _blur(x: Tensor) -> Tensor:
    """Weighted means (N, 1, H - 10, W - 10) of the Gaussian windows of x (N, 1, H, W)."""
    at = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    weights = torch.exp(-at.square() / (2 * SIGMA**2))
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(x, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))


def _check_same(a: Image, b: Image) -> None:
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3:
        raise ValueError(
            f"pictures of shapes {tuple(a.shape)} and {tuple(b.shape)}; wanted two (N, 3, H, W): resize one"
        )
