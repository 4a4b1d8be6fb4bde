"""What may watch a run: the picture so far in a file, frames in a folder, a clip of how it came about.

A callback is any function of a `Step`; these are some that remember the best image seen. On a GPU they wait for the
device only when they write.

>>> from gatys_lab import stylize
>>> clip = Timelapse("out.gif", every=5)
>>> result = stylize("photo.jpg", "painting.jpg", callbacks=[Preview("so-far.png", every=10), clip])  # doctest: +SKIP
>>> clip.end(result.image)                                                                           # doctest: +SKIP
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image as Pillow
from torch import Tensor

from gatys_lab import clips
from gatys_lab.images import as_image, check_writable, read, resize_to, to_pil, write
from gatys_lab.types import Image, Step

Finish = Callable[[Image], Pillow.Image]  # from an image at any size to the picture that is shown
SECONDS = Fraction(1, 12)  # of a frame of a clip
REST = Fraction(2)  # seconds that its last one stays


class _Watcher:
    """Every so many evaluations, over all sizes, it shows the best image seen at this size."""

    def __init__(self, every: int, finish: Finish) -> None:
        if every < 1:
            raise ValueError(f"a picture every {every} evaluations; wanted at least 1")
        self._every, self._finish, self._seen, self._size_px = every, finish, 0, 0
        self._best, self._loss = torch.empty(0), torch.empty(())

    def __call__(self, step: Step) -> None:
        if step.size_px != self._size_px:
            self._best, self._loss, self._size_px = step.image.clone(), step.loss.clone(), step.size_px
        better: Tensor = ~(step.loss >= self._loss)  # also than nothing: nan
        torch.where(better, step.image, self._best, out=self._best)
        self._loss = torch.where(better, step.loss, self._loss)
        self._seen += 1
        if self._seen % self._every == 0:
            self._show(self._finish(self._best.clamp(0, 1)), step)

    def _show(self, picture: Pillow.Image, step: Step) -> None:
        raise NotImplementedError


class Preview(_Watcher):
    """The picture so far in a file, which is whole at every moment."""

    def __init__(self, path: str | Path, every: int, finish: Finish = to_pil) -> None:
        """Raises ValueError or OSError if it could not be written."""
        super().__init__(every, finish)
        check_writable(path)
        self._path = Path(path)

    def _show(self, picture: Pillow.Image, step: Step) -> None:
        write(picture, self._path)


class Frames(_Watcher):
    """A PNG every so many evaluations, named by size and evaluation: in the order of names they are in order."""

    def __init__(self, folder: str | Path, every: int, finish: Finish = to_pil, *, go_on: bool = False) -> None:
        """Raises ValueError if there is something in the folder, unless the run goes on (`go_on`)."""
        super().__init__(every, finish)
        self._folder = Path(folder)
        if self._folder.exists() and (not self._folder.is_dir() or (any(self._folder.iterdir()) and not go_on)):
            raise ValueError(f"cannot write frames to '{folder}': it is there already; name a new folder")
        self._folder.mkdir(exist_ok=True)

    def _show(self, picture: Pillow.Image, step: Step) -> None:
        write(picture, self._folder / f"{step.size_px:06}-{step.evaluation:06}.png")

    def files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*-[0-9]*.png"))


class Timelapse:
    """A clip of how a picture came about, .gif, .webp, .mp4, ...; it needs the extra [video]. `end` writes it."""

    def __init__(
        self, path: str | Path, every: int = 1, finish: Finish = to_pil, *, frames: Frames | None = None
    ) -> None:
        """`frames`: those that are written anyway. Raises ValueError or OSError if the clip could not be written."""
        self._path = Path(path)
        self._folder: TemporaryDirectory[str] | None = None  # of frames of its own
        if not self._path.suffix:
            raise ValueError(f"'{path}' has no suffix; wanted a clip: {', '.join(clips.ENCODERS)}")
        clips.check_clip_writable(self._path)
        if frames is None:
            self._folder = TemporaryDirectory()
            frames = Frames(self._folder.name, every, finish)
        self._frames = frames

    def __call__(self, step: Step) -> None:
        if self._folder is not None:
            self._frames(step)

    def end(self, picture: Pillow.Image) -> None:
        """Write the clip, which ends with the picture."""
        clips.write(self._all(picture), self._path)
        if self._folder is not None:
            self._folder.cleanup()

    def _all(self, last: Pillow.Image) -> Iterator[clips.Frame]:
        sides = [max(2, side - side % 2) for side in (last.height, last.width)]  # as the codecs want them
        files = self._frames.files()
        for i, file in enumerate(files):
            yield clips.Frame(resize_to(read(file).image, sides), i * SECONDS, SECONDS)
        image = resize_to(as_image(last).image, sides)
        yield clips.Frame(image, len(files) * SECONDS, SECONDS)
        yield clips.Frame(image, len(files) * SECONDS + REST, SECONDS)  # again: not all formats let a last frame stay
