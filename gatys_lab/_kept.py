"""Finished frames of a clip in one file, in their order: whoever was stopped, or lost power, goes on behind the last.

A frame is its 8-bit pixels as they are, behind its size and check sums. Three bytes a pixel, and hardly any time: a PNG
of a painted frame takes as long as the model.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image as Pillow

HEAD = struct.Struct("<IIII")  # width, height, check sum of the pixels, check sum of these three


class Kept:
    """`found` frames were there; what is not whole behind them is cut off. Iterate over all; `add` one more."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path, self.found, end = path, 0, 0
        with path.open("rb+") as file:
            for _ in _frames(file):
                self.found, end = self.found + 1, file.tell()
            file.truncate(end)
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Pillow.Image]:
        with self._path.open("rb") as file:
            yield from _frames(file)

    def add(self, picture: Pillow.Image) -> None:
        """Raises an OSError of one line."""
        data = picture.tobytes()
        head = struct.pack("<III", *picture.size, zlib.crc32(data))
        try:
            for part in (head + struct.pack("<I", zlib.crc32(head)), data):
                left = memoryview(part)
                while left:
                    left = left[self._file.write(left) :]
        except OSError as error:
            reason = f"cannot write '{self._path}': {error.strerror}; free some space, and start it again"
            raise OSError(reason) from error


def _frames(file: BinaryIO) -> Iterator[Pillow.Image]:
    """The RGB pictures of a file up to its end, or to the first that is not whole."""
    while len(head := file.read(HEAD.size)) == HEAD.size:
        width, height, of_pixels, of_head = HEAD.unpack(head)
        if zlib.crc32(head[:-4]) != of_head:
            return
        data = file.read(3 * width * height)
        if len(data) < 3 * width * height or zlib.crc32(data) != of_pixels:
            return
        yield Pillow.frombytes("RGB", (width, height), data)
