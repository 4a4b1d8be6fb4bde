"""What tells pictures, files, weights and the code itself from others: SHA-256 of their content."""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from torch import nn

from gatys_lab.images import Picture

ROOMS = ("losses", "models", "networks", "optimizers")  # and of the files beside this one:
PAINTING = ("color", "engine", "fast", "images", "job", "masks", "objective", "recipe", "starts", "states", "styles")


def picture_digest(picture: Picture) -> str:
    """What tells one picture from another, whatever file it came in."""
    parts = [part for part in (picture.image, picture.alpha) if part is not None]
    return sha256(*(repr(tuple(part.shape)).encode() + part.cpu().numpy().tobytes() for part in parts))


def file_digest(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(module: nn.Module) -> str:
    """Of every bit, in 32 bits each: `models._base.fingerprint` tells networks apart, this one their last digits."""
    tensors = sorted(module.state_dict().items())
    return sha256(*(name.encode() + tensor.float().cpu().contiguous().numpy().tobytes() for name, tensor in tensors))


@cache
def code_digest() -> str:
    """The sources that paint: a changed loss paints otherwise."""
    files = [Path(__file__).with_name(f"{name}.py") for name in PAINTING]
    for room in ROOMS:
        spec = importlib.util.find_spec(f"gatys_lab.{room}")
        assert spec is not None and spec.submodule_search_locations is not None, room
        files += [file for place in spec.submodule_search_locations for file in sorted(Path(place).glob("*.py"))]
    return sha256(*(file.read_bytes() for file in files))


def sha256(*parts: bytes) -> str:
    return hashlib.sha256(b"|".join(parts)).hexdigest()
