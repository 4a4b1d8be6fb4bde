"""Mean and standard deviation of every channel, in 32 bits. Huang & Belongie 2017, eq. 6 and 7. Of colours, mean and
covariance."""

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-5  # added to the variance of flat channels, as in the published code
COLOUR_EPS = 1e-4  # added to the variances of colours: a deviation of 2.5 levels of 255
GREY_FIRST = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -2.0]], dtype=torch.float64)
GREY_FIRST /= GREY_FIRST.norm(dim=1, keepdim=True)  # rows: orthonormal axes of colour, the first from black to white


def mean_std(features: Tensor, mask: Tensor | None = None, *, unbiased: bool = False) -> tuple[Tensor, Tensor]:
    """(N, C, h, w) -> two of (N, C, 1, 1). `mask` (N, 1, h, w): soft weights; where it is empty it counts as full.

    `unbiased` divides the squares by one less than the positions, as published code (and its checkpoints) does.
    """
    f = features.to(torch.promote_types(features.dtype, torch.float32))
    if mask is None:
        variance, mean = torch.var_mean(f, (2, 3), correction=int(unbiased), keepdim=True)
        return mean, (variance + EPS).sqrt()
    p = _parts(mask)
    mean = (f * p).sum((2, 3), keepdim=True)
    variance = ((f - mean).square() * p).sum((2, 3), keepdim=True)
    if unbiased:
        variance = variance / (1 - p.square().sum((2, 3), keepdim=True)).clamp_min(EPS)
    return mean, (variance + EPS).sqrt()


def _parts(mask: Tensor) -> Tensor:
    """A mask that sums to 1, (N, 1, h, w)."""
    total = mask.sum((2, 3), keepdim=True)
    return torch.where(total > 0, mask / total.clamp_min(1e-12), 1 / mask[0, 0].numel())


def normalise(features: Tensor, mask: Tensor | None = None, *, unbiased: bool = False) -> Tensor:
    """Every channel with mean 0 and deviation 1, in 32 bits or better."""
    mean, std = mean_std(features, mask, unbiased=unbiased)
    return (features.to(mean.dtype) - mean) / std


def matched(
    features: Tensor, mean: Tensor, std: Tensor, mask: Tensor | None = None, *, unbiased: bool = False
) -> Tensor:
    """Every channel with this mean and deviation, (N or 1, C, 1, 1) each: eq. 8. In the features' own precision."""
    if mask is None and not unbiased:  # one kernel a picture, many times as fast
        exact = torch.promote_types(features.dtype, torch.float32)
        scales, shifts = (m.to(exact).expand(len(features), -1, -1, -1).flatten(1) for m in (std, mean))
        each = [
            F.batch_norm(one[None], None, None, scale, shift, training=True, eps=EPS)
            for one, scale, shift in zip(features, scales, shifts, strict=True)
        ]
        return each[0] if len(each) == 1 else torch.cat(each)
    return (normalise(features, mask, unbiased=unbiased) * std + mean).to(features.dtype)


def colours(image: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Of (N, 3, H, W) the mean (N, 3, 1, 1) and a root of the covariance (N, 3, 3): R with R R' = covariance.

    R is an upright triangle, Cholesky's, seen from axes of which the first is grey: it takes greys to greys first.
    `mask` as in `mean_std`.
    """
    with torch.autocast(image.device.type, enabled=False):  # 16 bits are not enough for a root
        mean, lower = _colours(_planes(image), mask)
        return mean[..., None], GREY_FIRST.to(lower).T @ lower


def recoloured(image: Tensor, mean: Tensor, root: Tensor, mask: Tensor | None = None) -> Tensor:
    """An image (N, 3, H, W) moved, as a whole, to this mean and covariance (see `colours`), in 32 bits."""
    with torch.autocast(image.device.type, enabled=False):
        pixels = _planes(image)
        own, lower = _colours(pixels, mask)
        turn = root.to(own) @ _inverse(lower) @ GREY_FIRST.to(own)  # (N, 3, 3)
        return torch.baddbmm(mean[..., 0].to(own) - turn @ own, turn, pixels).view(image.shape)


def _planes(image: Tensor) -> Tensor:
    """(N, 3, H W), contiguous: multiplied so in a tenth of the time."""
    return image.to(torch.promote_types(image.dtype, torch.float32)).contiguous().flatten(2)


def _colours(pixels: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The mean (N, 3, 1), and the triangle L of L L' = covariance along `GREY_FIRST` (N, 3, 3).

    Written out for want of an operation that ONNX knows.
    """
    parts = 1 / pixels.shape[2] if mask is None else _parts(mask).flatten(2)
    mean = (pixels * parts).sum(2, keepdim=True)
    centred, axes = pixels - mean, GREY_FIRST.to(pixels)
    c = axes @ ((centred * parts) @ centred.mT) @ axes.T
    (a, b, d), (e, f), g = c[:, 0].unbind(1), c[:, 1, 1:].unbind(1), c[:, 2, 2]
    l11 = (a + COLOUR_EPS).sqrt()
    l21, l31 = b / l11, d / l11
    l22 = (e + COLOUR_EPS - l21.square()).sqrt()
    l32 = (f - l31 * l21) / l22
    l33 = (g + COLOUR_EPS - l31.square() - l32.square()).sqrt()
    return mean, _triangle(l11, l21, l22, l31, l32, l33)


def _triangle(*entries: Tensor) -> Tensor:
    """(N, 3, 3) of the six entries (N,) of its lower triangle, row by row."""
    l11, l21, l22, l31, l32, l33 = entries
    zero = torch.zeros_like(l11)
    return torch.stack([l11, zero, zero, l21, l22, zero, l31, l32, l33], 1).unflatten(1, (3, 3))


def _inverse(lower: Tensor) -> Tensor:
    """Of triangles (N, 3, 3)."""
    i11, i22, i33 = (1 / lower[:, i, i] for i in range(3))
    l21, l31, l32 = lower[:, 1, 0], lower[:, 2, 0], lower[:, 2, 1]
    i31 = (l21 * l32 * i22 - l31) * i11 * i33
    return _triangle(i11, -l21 * i11 * i22, i22, i31, -l32 * i22 * i33, i33)
