"""Training pictures, streamed: random crops at random scales from folders, corrupt files skipped and counted.

A batch depends on (seed, step) alone, so a resumed run sees what the uninterrupted one would have seen.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PilImage
from torch import Tensor

from gatys_lab.config import PICTURES

Array = NDArray[np.float32]
log = logging.getLogger(__name__)


def files_in(folder: Path, hold_out: int = 0) -> tuple[Path, ...]:
    """The pictures below a folder, sorted, without the last `hold_out`, which are kept for measuring."""
    return split(folder, hold_out)[0]


def split(folder: Path, hold_out: int) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The pictures below a folder, sorted: all but the last `hold_out`, and those."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
    if len(found) <= hold_out:
        raise ValueError(
            f"{len(found)} pictures in '{folder}', {hold_out} of them held out: nothing left to train on; "
            "name another folder, or hold out fewer"
        )
    kept = len(found) - hold_out
    return tuple(found[:kept]), tuple(found[kept:])


class Crops:
    """Square crops from a set of files. `corrupt` lists the files that could not be read."""

    def __init__(self, files: Sequence[Path], size_px: int) -> None:
        self.files, self.size_px, self.corrupt = tuple(files), size_px, set[Path]()

    def draw(self, count: int, seed: int, step: int) -> Tensor:
        """Crops (count, 3, size, size) in [0, 1], the same for the same seed and step."""
        random = np.random.default_rng((seed, step))
        crops: Array = np.stack([self._crop(random) for _ in range(count)])  # (count, 3, s, s)
        return torch.from_numpy(crops)  # torch's own stack would start threads, beside those of the training

    def _crop(self, random: np.random.Generator) -> Array:
        while len(self.corrupt) < len(self.files):
            file = self.files[random.integers(len(self.files))]
            try:
                with PilImage.open(file) as opened:
                    return self._cut(opened.convert("RGB"), random)
            except MemoryError:
                raise
            except Exception as error:  # each of Pillow's plugins has its own, and a bomb is yet another
                if file not in self.corrupt:
                    log.warning("skipped %s: %s", file, error)
                self.corrupt.add(file)
        raise ValueError(f"none of {len(self.files)} files is a picture that Pillow can read")

    def _cut(self, picture: PilImage.Image, random: np.random.Generator) -> Array:
        """A square of random side, from the crop's own size up to the whole picture, shrunk to the crop's size."""
        shorter = min(picture.size)
        side = (
            shorter if shorter <= self.size_px else round(np.exp(random.uniform(np.log(self.size_px), np.log(shorter))))
        )
        left, top = (int(random.integers(length - side + 1)) for length in picture.size)
        box = (left, top, left + side, top + side)
        crop = picture.resize((self.size_px, self.size_px), PilImage.Resampling.BICUBIC, box=box, reducing_gap=3.0)
        pixels: Array = np.asarray(crop, dtype=np.float32) / np.float32(255)  # (s, s, 3)
        if random.random() < 0.5:
            pixels = pixels[:, ::-1]
        return pixels.transpose(2, 0, 1)
