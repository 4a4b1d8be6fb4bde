"""The keys with the largest inner products for each query, sought in 16 bits: a shortlist, for 32 bits to decide."""

import torch
from torch import Tensor
from torch.nn import functional as F

GROUP, KEPT = 32, 4  # keys a group; groups that are looked into, and keys on the shortlist


def quick(device: torch.device) -> bool:
    """Whether 16-bit products are several times faster there: on GPUs, and on processors with matrix units (AMX)."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return device.type == "cuda" or (device.type == "cpu" and supported is not None and bool(supported()))


def padded(keys: Tensor) -> Tensor:
    """Keys (m, d) with zeros after them that fill the last group."""
    return F.pad(keys, (0, 0, 0, -len(keys) % GROUP))


def shortlist(queries: Tensor, keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Queries (n, d) and `padded` keys in bfloat16 to products and keys' indices (n, at most KEPT), the best first.

    Groups with the largest maxima are looked into, which costs a fraction of picking from all keys. What is behind the
    `count` genuine keys has the product 0 and the index of the last of them.
    """
    products = (queries @ keys.T).view(len(queries), GROUP, -1)  # key i is in group i % groups
    groups = products.shape[2]
    chosen = products.amax(1).topk(min(KEPT, groups), 1).indices  # (n, k)
    few = products.gather(2, chosen[:, None].expand(-1, GROUP, -1)).flatten(1)  # (n, GROUP * k)
    values, places = few.topk(min(KEPT, few.shape[1]), 1)
    indices = places // chosen.shape[1] * groups + chosen.gather(1, places % chosen.shape[1])
    return values, indices.clamp(max=count - 1)
