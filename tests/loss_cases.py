"""What the tests of the style losses share: the losses with options, features, and a watch on memory."""

from typing import Any

import oracles
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gatys_lab import catalog

SMOOTH = {  # every loss and estimator, by name and options
    "gram": ("gram", {}),
    "linear": ("mmd-linear", {}),
    "poly 1": ("mmd-poly", {"degree": 1}),
    "poly 2": ("mmd-poly", {"degree": 2, "c": 0.7}),
    "poly 3": ("mmd-poly", {"degree": 3, "c": 0.7}),
    "fourier": ("mmd-gaussian", {}),
    "linear time": ("mmd-gaussian", {"estimator": "linear"}),
    "exact": ("mmd-gaussian", {"estimator": "exact"}),
    "unbiased": ("mmd-gaussian", {"estimator": "exact", "unbiased": True}),
    "bn": ("bn", {}),
    "swap": ("style-swap", {"patch": 2}),
    "mrf": ("mrf", {"patch": 2}),
    "sliced": ("sliced-wasserstein", {"directions": 5}),
    "bures": ("gaussian-wasserstein", {}),
    "histogram": ("histogram", {}),
}


def features(channels: int, h: int, w: int, seed: int) -> Tensor:
    """Skewed, correlated and half dead, like those after a ReLU, float64."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    raw = torch.randn(1, channels, h, w, generator=generator, dtype=torch.float64)
    return torch.einsum("dc,nchw->ndhw", mixed, raw).relu() + 0.05 * raw.abs()


def value(
    name: str, f: Tensor, style: Tensor, masks: tuple[Tensor | None, Tensor | None] = (None, None), **options: Any
) -> float:
    """The loss by name of `f` against `style`, with masks of both."""
    loss = catalog.load("losses", name, **options)
    return float(loss(f, loss.fit(style, f, masks[1]), masks[0]))


def sides(masked: bool) -> tuple[Tensor, Tensor, tuple[Tensor | None, Tensor | None], tuple[oracles.Array, ...]]:
    """Two feature maps of different sizes, their masks, and what the oracles take: x, p, y, q."""
    f, style = features(3, 4, 5, seed=0), features(3, 3, 6, seed=1)
    masks = (torch.rand(1, 1, 4, 5), torch.rand(1, 1, 3, 6)) if masked else (None, None)
    x, y = oracles.vectors(f), oracles.vectors(style)
    return f, style, masks, (x, oracles.shares(masks[0], len(x)), y, oracles.shares(masks[1], len(y)))


class Largest(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and not leaf._is_view():
                self.bytes = max(self.bytes, leaf.untyped_storage().nbytes())
        return out
