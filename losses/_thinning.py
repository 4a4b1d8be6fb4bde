"""A few vectors that stand for many: those nearest to the centres of k-means (Lloyd 1982, scipy's)."""

import warnings

import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

ROUNDS = 10


def stand_ins(vectors: Tensor, count: int) -> tuple[Tensor, float]:
    """Indices (n,), n <= count, into `vectors` (P, d), and the root mean squared distance to the nearest of those."""
    points = vectors.cpu().double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of empty clusters, which keep their first centre
        centres, _ = kmeans2(points.numpy(), count, iter=ROUNDS, minit="points", seed=0)
    kept = torch.cdist(torch.from_numpy(centres), points).argmin(1).unique()
    error = torch.cdist(points, points[kept]).amin(1).square().mean().sqrt()
    return kept.to(vectors.device), float(error)
