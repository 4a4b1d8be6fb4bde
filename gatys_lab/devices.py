"""Which device is used, chosen and said aloud, and in which precision it convolves."""

import copy
import ctypes
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from gatys_lab.errors import UnknownName
from gatys_lab.files import cache_folder, write_whole

KNOWN = ("auto", "cuda", "mps", "cpu")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
WORTH = 0.8  # of the time in 32 bits, below which 16 are chosen
TRIED_PX = 192  # of the picture that both are tried on
MOST_THREADS = 256  # or four times the cores: OpenMP ends the whole process where it cannot have as many as it was told
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
PIECES, USUAL_MOST = 65_536, 1 << 25  # its M_MMAP_MAX where nothing is said; the largest threshold that old ones take
LARGE = 1 << 26  # bytes, from which on a tensor may get pages of its own; those of a tile are smaller
_keeps = False  # what is freed, for the next tensor


def choose(name: str = "auto") -> torch.device:
    """`auto` takes cuda, then mps, then cpu. Raises UnknownName for other words, ValueError for what is not there."""
    kind = name.split(":")[0]
    if kind not in KNOWN:
        raise UnknownName(f"no device '{name}'; there are {', '.join(KNOWN)}")
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return torch.device(next(k for k in ("cuda", "mps", "cpu") if available[k]))
    if not available[kind]:
        here = ", ".join(k for k, there in available.items() if there)
        raise ValueError(f"no {kind} device on this machine; it has {here}")
    return torch.device(name)


def use_threads(count: int) -> None:
    """Work in so many threads. Raises ValueError for a number that no machine like this one has use for."""
    most = max(MOST_THREADS, 4 * (os.cpu_count() or 1))
    if not 1 <= count <= most:
        raise ValueError(f"{count} threads; wanted 1 to {most}")
    torch.set_num_threads(count)


def describe(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def precision(name: str, network: Any, layers: tuple[str, ...]) -> str:
    """fp32 or bf16: what a network convolves in; `auto` is whichever this machine is faster at.

    It is measured once for a network and a number of threads, in a fraction of a second, and kept in the cache folder.
    """
    if name not in ("auto", *PRECISIONS):
        raise UnknownName(f"no precision '{name}'; there are auto, {', '.join(PRECISIONS)}")
    if name != "auto":
        return name
    if not isinstance(network, nn.Module):  # a user's own, about which nothing is known
        return "fp32"
    device = next(network.parameters()).device
    if not _has_bf16(device):
        return "fp32"
    kept = cache_folder() / "precision.json"
    known = _read(kept)
    key = " ".join([platform.node(), describe(device), f"torch {torch.__version__}", str(network.name), *layers])
    if known.get(key) not in PRECISIONS:
        known[key] = _faster(network, layers)
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, json.dumps(known, indent=1).encode())
        except OSError:
            pass  # measured again next time
    return known[key]


def keep_freed_memory() -> None:
    """Let glibc's malloc keep what is freed for the next tensor, instead of asking for fresh pages again and again.

    It makes an evaluation faster (docs/performance.md). The process never shrinks from then on: a decision for a
    program, not for a library. Other systems are left as they are.
    """
    global _keeps
    _keeps = _malloc("mallopt", M_MMAP_MAX, 0) and _malloc("mallopt", M_TRIM_THRESHOLD, -1)


@contextmanager
def large_tensors_apart(picture: int) -> Iterator[None]:
    """Give back what was freed; what is then as large as a picture gets pages of its own, which go back at once.

    Among what is kept, small pieces take the places of large ones, which then find none: of pictures of hundreds of
    megabytes half as many again would be held as are alive. `picture`: its bytes; those of a quarter are large.
    """
    return_freed_memory()
    apart = _keeps and _malloc("mallopt", M_MMAP_MAX, PIECES)
    if apart and not _malloc("mallopt", M_MMAP_THRESHOLD, max(LARGE, picture // 4)):
        _malloc("mallopt", M_MMAP_THRESHOLD, USUAL_MOST)
    try:
        yield
    finally:
        if apart:
            _malloc("mallopt", M_MMAP_MAX, 0)


def return_freed_memory() -> None:
    """Give the system what was freed, if malloc is glibc's."""
    _malloc("malloc_trim", 0)


def _malloc(function: str, *values: int) -> bool:
    """Call a function of glibc's malloc; whether it did as it was told."""
    try:
        return bool(getattr(ctypes.CDLL(None), function)(*values))
    except (OSError, AttributeError, TypeError):
        return False


def _has_bf16(device: torch.device) -> bool:
    """Whether 16 bits may be tried: without instructions for them a try could take minutes."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _read(kept: Any) -> dict[str, str]:
    try:
        known = json.loads(kept.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _faster(network: nn.Module, layers: tuple[str, ...]) -> str:
    seconds = {name: _seconds(copy.deepcopy(network).to(dtype), layers) for name, dtype in PRECISIONS.items()}
    return "bf16" if seconds["bf16"] < WORTH * seconds["fp32"] else "fp32"


def _seconds(network: nn.Module, layers: tuple[str, ...]) -> float:
    """The fastest of three forward and backward passes, after one to warm up."""
    device = next(network.parameters()).device
    image = torch.full((1, 3, TRIED_PX, TRIED_PX), 0.5, device=device, requires_grad=True)
    times = []
    for _ in range(4):
        began = time.perf_counter()
        total = torch.stack([f.float().sum() for f in network(image, layers).values()]).sum()
        torch.autograd.grad(total, image)[0].sum().item()  # waits for the device
        times.append(time.perf_counter() - began)
    return min(times[1:])
