"""Mean and standard deviation of every channel, in 32 bits. Huang & Belongie 2017, eq. 6 and 7."""

import torch
from torch import Tensor

EPS = 1e-5  # added to the variance of flat channels, as in the published code


def mean_std(features: Tensor, mask: Tensor | None = None, *, unbiased: bool = False) -> tuple[Tensor, Tensor]:
    """(N, C, h, w) -> two of (N, C, 1, 1). `mask` (N, 1, h, w): soft weights; where it is empty it counts as full.

    `unbiased` divides the squares by one less than the positions, as published code (and its checkpoints) does.
    """
    f = features.to(torch.promote_types(features.dtype, torch.float32))
    if mask is None:
        variance, mean = torch.var_mean(f, (2, 3), correction=int(unbiased), keepdim=True)
        return mean, (variance + EPS).sqrt()
    total = mask.sum((2, 3), keepdim=True)
    p = torch.where(total > 0, mask / total.clamp_min(1e-12), 1 / mask[0, 0].numel())  # (N, 1, h, w), sums to 1
    mean = (f * p).sum((2, 3), keepdim=True)
    variance = ((f - mean).square() * p).sum((2, 3), keepdim=True)
    if unbiased:
        variance = variance / (1 - p.square().sum((2, 3), keepdim=True)).clamp_min(EPS)
    return mean, (variance + EPS).sqrt()


def normalise(features: Tensor, mask: Tensor | None = None, *, unbiased: bool = False) -> Tensor:
    """Every channel with mean 0 and deviation 1, in 32 bits or better."""
    mean, std = mean_std(features, mask, unbiased=unbiased)
    return (features.to(mean.dtype) - mean) / std
