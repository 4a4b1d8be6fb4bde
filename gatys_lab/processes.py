"""Several processes that do one job together, started by torchrun: their places, their shares, what they add up.

Each runs the same program on the same values. What they have to do apart they divide by `share`, and `add` makes the
whole of it everywhere, in the same bits. Alone, where torch.distributed is not initialised, all of this does nothing.
Machines, and threads, have to be alike: processes that round differently would part ways, and wait for each other.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

T = TypeVar("T")


def join() -> None:
    """Where torchrun started this process with others, they are joined: gloo on the CPU, NCCL between GPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not together():
        cuda = torch.cuda.is_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        if cuda:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())


def leave() -> None:
    """At the end: a process that leaves while another is still talking aborts it."""
    if together():
        dist.barrier()
        dist.destroy_process_group()


def together() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def leads() -> bool:
    """Whether this is the process that writes files and says things."""
    return not together() or dist.get_rank() == 0


def own(device: torch.device) -> torch.device:
    """The GPU of this process, where a device is any GPU."""
    if together() and device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def share(items: Sequence[T]) -> Sequence[T]:
    """This process's part of what is to be done."""
    return items[dist.get_rank() :: dist.get_world_size()] if together() else items


def add(tensor: Tensor) -> Tensor:
    """The sum of what the processes have, in place."""
    if together():
        dist.all_reduce(tensor)
    return tensor


def first(tensor: Tensor) -> Tensor:
    """What the leading process has, in place; of the same shape in all."""
    if together():
        dist.broadcast(tensor, 0)
    return tensor


def agreed(value: T) -> T:
    """What the leading process says, where each may have found another: by a clock, or by the memory that is free."""
    if not together():
        return value
    said = [value]
    dist.broadcast_object_list(said, 0)
    return said[0]
