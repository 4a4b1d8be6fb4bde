"""What was painted already: a picture and a record for each run, in a folder, by what determines it.

An entry is whole or not there. What is damaged, or was made of other pictures, options, weights or code, is painted
again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow

from gatys_lab import images
from gatys_lab.digests import code_digest as _code
from gatys_lab.files import write_whole
from gatys_lab.images import Picture

CURVE = ("evaluation", "size_px", "seconds", "total", "parts")


@dataclass(frozen=True)
class Painted:
    """A finished run. `curve` holds lists: evaluation, size_px, seconds, total, and by name the parts."""

    image: Pillow.Image
    reason: str
    evaluations: int
    seconds: float
    curve: Mapping[str, Any]


@dataclass(frozen=True)
class Store:
    """The entries of a folder, which is made when the first is saved."""

    folder: Path

    def __post_init__(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"cannot keep runs in '{self.folder}': it is a file; move it away")
        if not self.folder.parent.is_dir():
            raise FileNotFoundError(f"cannot keep runs in '{self.folder}': no folder '{self.folder.parent}'; make it")

    def load(self, key: str) -> Painted | None:
        """What was saved under `key`, or None if that is nothing, or not whole."""
        try:
            record = json.loads(self._record(key).read_text(encoding="utf-8"))
            data = self._picture(key).read_bytes()
            if record["sha256"] != hashlib.sha256(data).hexdigest() or set(record["curve"]) != set(CURVE):
                return None
            image = images.to_pil(*_pixels(images.read(self._picture(key))))
            return Painted(image, record["reason"], record["evaluations"], record["seconds"], record["curve"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, key: str, painted: Painted) -> None:
        """The picture first: an entry counts when its record is there."""
        self.folder.mkdir(exist_ok=True)
        images.write(painted.image, self._picture(key))
        record = {name: value for name, value in vars(painted).items() if name != "image"}
        record["sha256"] = hashlib.sha256(self._picture(key).read_bytes()).hexdigest()
        write_whole(self._record(key), json.dumps(record).encode())

    def _picture(self, key: str) -> Path:
        return self.folder / f"{key}.png"

    def _record(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _pixels(picture: Picture) -> tuple[Any, Any]:
    return picture.image, picture.alpha


def key_of(**what: Any) -> str:
    """20 hex digits for all that determines a run: the code, torch's version, and `what`, values of any kind."""
    whole = {"code": _code(), "torch": torch.__version__, **what}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, default=_plain).encode()).hexdigest()[:20]


def _plain(value: Any) -> Any:
    """What json cannot write by itself."""
    return asdict(value) if hasattr(value, "__dataclass_fields__") else str(value)
