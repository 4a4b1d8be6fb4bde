"""Which device is used, chosen and said aloud."""

import torch

from gatys_lab.errors import UnknownName

KNOWN = ("auto", "cuda", "mps", "cpu")


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


def describe(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
