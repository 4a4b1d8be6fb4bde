"""Files that training leaves, whole or not there: checkpoints (read with weights_only) and weights (safetensors)."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from gatys_lab.files import write_whole


def save_state(state: dict[str, Any], path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(path, buffer.getbuffer())


def save_weights(weights: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    write_whole(path, save(weights, metadata))


def load_state(path: Path) -> dict[str, Any]:
    """Raises ValueError for a file that is no checkpoint."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(f"'{path}' is no checkpoint: {error}; remove it to begin anew") from error
