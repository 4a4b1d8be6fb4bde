"""What a run holds in memory, as named tensors and numbers, and back: dataclasses of dataclasses, taken apart.

Numbers stay what they are (Python's floats have 64 bits); tensors are put back *into* those of a fresh state, so that
their places in memory, by which sums of floats may be ordered, are those of a run that was never interrupted.

>>> from dataclasses import dataclass
>>> @dataclass
... class Walk:
...     x: Tensor
...     steps: int
>>> kept = freeze(Walk(torch.ones(2), steps=3))
>>> thaw(kept, Walk(torch.zeros(2), steps=0))
Walk(x=tensor([1., 1.]), steps=3)
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Number = int | float | str | None


class Frozen(NamedTuple):
    """By the path to a field, "state.history.pairs"."""

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Number]
    strides: Mapping[str, list[int]]  # of the tensors


def freeze(value: Any) -> Frozen:
    """The fields of a dataclass, and of those within. The tensors are no copies where they are on the CPU."""
    leaves = _leaves(value)
    tensors = {name: leaf.detach() for name, leaf in leaves.items() if isinstance(leaf, Tensor)}
    numbers = {name: leaf for name, leaf in leaves.items() if name not in tensors}
    strides = {name: list(tensor.stride()) for name, tensor in tensors.items()}
    return Frozen({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, numbers, strides)


def thaw(frozen: Frozen, into: T, path: str = "") -> T:
    """Put everything back into a fresh value of the same kind, which is returned. ValueError if it does not fit."""
    assert is_dataclass(into)
    for field in fields(into):
        name, old = f"{path}{field.name}", getattr(into, field.name)
        if is_dataclass(old):
            new: Any = old if _left_out(frozen, name) else thaw(frozen, old, f"{name}.")
        elif name in frozen.tensors:
            new = _put(frozen.tensors[name], frozen.strides[name], old, name)
        elif name in frozen.numbers:
            new = _number(frozen.numbers[name], old, name)
        else:
            raise ValueError(f"nothing is kept for '{name}'; it is of another program: begin anew")
        setattr(into, field.name, new)
    return into


def _extent(shape: Sequence[int], strides: Sequence[int]) -> int:
    """How many places a tensor spans; as many as it has numbers, if it has no gaps. -1 where the two do not belong."""
    if len(shape) != len(strides) or any(stride < 0 for stride in strides):
        return -1
    return 1 + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))


def _left_out(frozen: Frozen, name: str) -> bool:
    """Whether a whole state was None, since nothing had happened to it."""
    return name in frozen.numbers and frozen.numbers[name] is None


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for field in fields(value):
        item, name = getattr(value, field.name), f"{path}{field.name}"
        leaves |= _leaves(item, f"{name}.") if is_dataclass(item) else {name: item}
    return leaves


def _number(kept: Number, old: Number, name: str) -> Number:
    """What was kept, if it is of the kind that is there; where nothing is, only a word may come."""
    wanted = (type(old),) if old is not None else (str, type(None))
    if type(kept) not in wanted or (type(kept) is int and not 0 <= kept < 2**53):
        raise ValueError(f"'{name}' is {kept!r:.80}; it is damaged: begin anew")
    return kept


def _put(kept: Tensor, strides: list[int], old: Tensor | None, name: str) -> Tensor:
    good = isinstance(strides, list) and all(type(stride) is int for stride in strides)
    if not good or _extent(kept.shape, strides) != kept.numel():
        raise ValueError(f"'{name}' of shape {tuple(kept.shape)} has other strides; it is damaged: begin anew")
    if old is None:
        return torch.empty_strided(kept.shape, strides, dtype=kept.dtype).copy_(kept)
    if old.shape != kept.shape or old.dtype != kept.dtype:
        raise ValueError(f"'{name}' is {tuple(kept.shape)} {kept.dtype}, wanted {tuple(old.shape)} {old.dtype}")
    if list(old.stride()) != strides:
        old = torch.empty_strided(kept.shape, strides, dtype=kept.dtype, device=old.device)
    return old.copy_(kept)
