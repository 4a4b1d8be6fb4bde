"""Files that are whole or not there: checkpoints (torch.save, read with weights_only) and weights (safetensors)."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor


def save_state(state: dict[str, Any], path: Path) -> None:
    _atomically(path, lambda part: torch.save(state, part))


def save_weights(weights: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    _atomically(path, lambda part: save_file(weights, part, metadata))


def load_state(path: Path) -> dict[str, Any]:
    """Raises ValueError for a file that is no checkpoint."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(f"'{path}' is no checkpoint: {error}; remove it to begin anew") from error


def _atomically(path: Path, write: Callable[[Path], object]) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
