"""Distances of two pictures of one size by a network's features of them, (N, C, h, w) a layer; means over layers."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.types import Features

EPS = 1e-12  # of a variance: features that are constant in both pictures


def feature_distance(a: Features, b: Features) -> Tensor:
    """How much of the content is lost (N,): 0 for equal features, 1 for unrelated ones with the same channel means.

    Gatys et al. 2016, eq. 1, divided by the two variances, so that layers and networks compare.
    """

    def distance(x: Tensor, y: Tensor) -> Tensor:
        spread = sum((f - f.mean((2, 3), keepdim=True)).square().sum((1, 2, 3)) for f in (x, y))
        return (x - y).square().sum((1, 2, 3)) / torch.as_tensor(spread).clamp(min=EPS)

    return _over_layers(distance, a, b)


def perceptual(a: Features, b: Features) -> Tensor:
    """Zhang et al. 2018 (LPIPS), eq. 1, (N,): squared distance of features made unit vectors, mean over cells; 0 ... 2.

    Differs: no weights learnt from people's judgements (the paper's "off-the-shelf" networks), a mean over layers
    where they sum, and any network: `lite`'s numbers are not those of the published one.
    """

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(1).mean((1, 2))

    return _over_layers(distance, a, b)


def _over_layers(distance: Callable[[Tensor, Tensor], Tensor], a: Features, b: Features) -> Tensor:
    if a.keys() != b.keys() or not a:
        raise ValueError(f"features of layers {', '.join(a)} and of {', '.join(b)}; wanted the same layers of both")
    for layer in a:
        if a[layer].shape != b[layer].shape:
            shapes = f"{tuple(a[layer].shape)} and {tuple(b[layer].shape)}"
            raise ValueError(f"features of shapes {shapes} at {layer}; wanted pictures of one size: resize one")
    return torch.stack([distance(a[layer], b[layer]) for layer in a]).mean(0)
