"""What paints the frames of a clip: a feed-forward model, or the engine, each frame starting from the one before.

The engine follows Ruder et al. 2016: it starts from the last painted frame, warped along the optical flow, and a
temporal loss holds it there where the flow can be trusted. Differs: one pass over the frames; flow by OpenCV's DIS;
balanced like every other loss. A model's pictures are held by the same loss, whose least value beside the squared
distance to the model's picture has a closed form. What does not help: smoothing the content's means and deviations
over time (AdaIN, 24 frames of a clip at 256 px: warp error .0787 instead of .0788).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from PIL import Image as Pillow
from torch import Tensor

from gatys_lab.fast import Painter
from gatys_lab.flow import flow, reliable, warp
from gatys_lab.images import Picture, as_image, longest
from gatys_lab.job import Job, prepare
from gatys_lab.types import Image

WORKERS = {"cpu": 4, "cuda": 2}  # passes of a model at a time, at most: each holds its features
Finish = Callable[[Pillow.Image | None], Image]
Motion = tuple[Tensor, Tensor]  # the flow to the frame before (1, 2, H, W), and where it can be trusted (1, 1, H, W)


class Manner(Protocol):
    @property
    def workers(self) -> int:
        """How many calls may be made at a time."""
        ...

    def together(self, frame: Image) -> int:
        """How many frames of this size are best given to one call."""
        ...

    def __call__(self, frames: Sequence[Image], before: Sequence[Image | None]) -> Sequence[Finish]:
        """Of each frame (1, 3, H, W), what ends it when the last painting is known: a function of that to this one.

        `before`: the frames before, of the same scene. Where there is none, there is no last painting either.
        """
        ...


@dataclass(frozen=True)
class OneByOne:
    """A feed-forward model, for which every frame is a picture of its own; `steady` is the weight of the last one."""

    painter: Painter
    steady: float = 2.0

    @property
    def workers(self) -> int:
        device = self.painter.device.type
        most = WORKERS.get(device, 1)
        return min(most, torch.get_num_threads()) if device == "cpu" else most

    def together(self, frame: Image) -> int:
        return self.painter.together(frame)

    def __call__(self, frames: Sequence[Image], before: Sequence[Image | None]) -> Sequence[Finish]:
        with torch.inference_mode():
            painted = self.painter(Picture(torch.cat(list(frames)))).image.cpu().split(1)
            motions = [
                None if last is None or self.steady == 0 else _motion(last, frame)
                for last, frame in zip(before, frames, strict=True)
            ]
        return [partial(self._held, *both) for both in zip(painted, motions, strict=True)]

    def _held(self, painted: Image, motion: Motion | None, last: Pillow.Image | None) -> Image:
        if motion is None or last is None:
            return painted
        back, trust = motion
        held = self.steady * trust
        return (painted + held * warp(as_image(last).image, back)) / (1 + held)


@dataclass
class Following:
    """The engine: `options` are `stylize`'s; `steady` is the temporal loss's weight beside the content's 1."""

    painting: Picture
    options: Mapping[str, Any]
    steady: float = 5.0
    evaluations: int = 20  # of a frame that has one before it; the first of a scene has the usual number a size
    workers: ClassVar[int] = 1
    _job: Job | None = field(default=None, init=False)

    def together(self, frame: Image) -> int:
        return 1

    def __call__(self, frames: Sequence[Image], before: Sequence[Image | None]) -> Sequence[Finish]:
        return [partial(self._follow, *both) for both in zip(frames, before, strict=True)]

    def _follow(self, frame: Image, before: Image | None, last: Pillow.Image | None) -> Image:
        frame = frame.contiguous()
        if self._job is None:
            self._job = prepare(Picture(frame), self.painting, **{**self.options, "size_px": longest(frame)})
        job = replace(self._job, photo=Picture(frame))
        if before is not None and last is not None:
            back, trust = _motion(before, frame)
            job = job.following(warp(as_image(last).image, back), trust, self.steady, self.evaluations)
        result = job.run()
        if result.reason == "interrupted":
            raise KeyboardInterrupt
        if result.reason == "diverged":
            raise ValueError("the loss of a frame is not finite: choose other weights, or --precision fp32")
        if result.reason == "memory":
            raise MemoryError(f"a frame of {longest(frame)} px: {result.notes[-1]}; choose a smaller --size")
        return result.pixels.cpu()


def _motion(before: Image, frame: Image) -> Motion:
    back = flow(frame, before)
    return back, reliable(back, flow(before, frame))
