"""Weights at 8 bits a number: each output channel a row of integers and one scale, which is half of half precision.

Rounding is to the nearest of 255 steps of the row's largest weight. What has fewer than two dimensions (biases) keeps
16 bits.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"  # after a rounded tensor's name: what its rows are multiplied by, float32
LARGEST = 127


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rounded tensors by name, int8 with their scales (rows,), or float16."""
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        exact = tensor.detach().float().contiguous()
        if exact.ndim < 2:
            packed[name] = exact.half()
            continue
        scale = exact.flatten(1).abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST
        packed[name + SCALE] = scale
        packed[name] = (exact / _rows(scale, exact)).round().to(torch.int8)
    return packed


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `pack` was given, rounded, float32. Tensors without a scale are only made float32."""
    return {
        name: tensor.float() * _rows(tensors[name + SCALE], tensor) if name + SCALE in tensors else tensor.float()
        for name, tensor in tensors.items()
        if not name.endswith(SCALE)
    }


def _rows(scale: Tensor, like: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (like.ndim - 1))
