"""How much memory there is, and how much a network needs to see a picture at once and be differentiated."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gatys_lab.types import Network

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

TRIED_PX = 128  # of the picture at which it is measured
LIMITS = (  # of a group of processes: the limit, what is in use
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def available(device: torch.device) -> int | None:
    """Bytes that are free, by the system, this process's own limit and its group's; None: not known."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return None
    free = [_free(), _below_own_limit(), *(_below(*files) for files in LIMITS)]
    return min((count for count in free if count is not None), default=None)


def per_px(network: Network, layers: tuple[str, ...]) -> float:
    """Bytes that autograd keeps, for each pixel, of a walk to these layers, and their features in 32 bits.

    Counted on a small picture. It is the part of memory that grows with the picture and not with the tile.
    """
    own = {p.untyped_storage().data_ptr() for p in network.parameters()} if isinstance(network, nn.Module) else set()
    kept: dict[int, Tensor] = {}  # held, so that no place is used twice

    def keep(tensor: Tensor) -> Tensor:
        bare = tensor.detach()  # a graph that held its own outputs would never be freed
        if bare.untyped_storage().data_ptr() not in own:
            kept[bare.untyped_storage().data_ptr()] = bare
        return bare

    size = max(TRIED_PX, network.minimum_px(layers))
    image = torch.zeros(1, 3, size, size, device=_device(network)).requires_grad_()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = network(image, layers)
    exact = sum(4 * f.numel() for f in features.values())
    return (sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) + exact) / size**2


def _device(network: Any) -> torch.device:
    return next(network.parameters()).device if isinstance(network, nn.Module) else torch.device("cpu")


def _free() -> int | None:
    """What the system could give without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def _below_own_limit() -> int | None:
    limit = -1 if resource is None else resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit in (-1, getattr(resource, "RLIM_INFINITY", -1)):
        return None
    try:
        return max(0, limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
    except OSError:
        return limit


def _below(limit: Path, used: Path) -> int | None:
    try:
        return max(0, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # "max"
        return None
