"""A clip, painted frame by frame: by a feed-forward model, or by the engine, each frame starting from the one before.

Every finished frame is kept in a folder beside the result until the clip is whole: an interrupted run goes on where it
stopped, and what comes out is the same. The engine follows Ruder et al. 2016: it starts from the last painted frame,
warped along the optical flow, and a temporal loss holds it there where the flow can be trusted. Differs: one pass over
the frames; flow by OpenCV's DIS; balanced like every other loss. A model's pictures are held by the same loss, whose
least value beside the squared distance to the model's picture has a closed form. What does not help: smoothing the
content's means and deviations over time (AdaIN, 24 frames of a clip at 256 px: warp error .0787 instead of .0788).
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import tee
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor
from torch.nn import functional as F

from gatys_lab import __version__, plots
from gatys_lab.clips import Clip, Frame, check_clip_writable
from gatys_lab.clips import write as write_clip
from gatys_lab.digests import file_digest, sha256
from gatys_lab.fast import Painter
from gatys_lab.files import write_whole
from gatys_lab.flow import flow, reliable, warp
from gatys_lab.images import Picture, as_image, longest, read, to_pil, write
from gatys_lab.job import Job, prepare
from gatys_lab.metrics import temporal_errors_of
from gatys_lab.types import Image

CUT = 0.15  # of the range from black to white: thumbnails of neighbouring frames that differ by more are another scene
THUMBNAIL_PX = 16
BY_FRAME = " by frame"  # what is said of every pair, in `steadiness`
T = TypeVar("T")


class Manner(Protocol):
    def __call__(self, frame: Image, before: tuple[Image, Image] | None) -> Image:
        """The painted frame (1, 3, H, W). `before`: the last frame of this scene and its painting, or None."""
        ...


@dataclass(frozen=True)
class OneByOne:
    """A feed-forward model, for which every frame is a picture of its own; `steady` is the weight of the last one."""

    painter: Painter
    steady: float = 2.0

    def __call__(self, frame: Image, before: tuple[Image, Image] | None) -> Image:
        painted = self.painter(Picture(frame)).image.cpu()
        if before is None or self.steady == 0:
            return painted
        warped, trust = _moved(before, frame)
        held = self.steady * trust
        return (painted + held * warped) / (1 + held)


@dataclass
class Following:
    """The engine: `options` are `stylize`'s; `steady` is the temporal loss's weight beside the content's 1."""

    painting: Picture
    options: Mapping[str, Any]
    steady: float = 5.0
    evaluations: int = 20  # of a frame that has one before it; the first of a scene has the usual number a size
    _job: Job | None = field(default=None, init=False)

    def __call__(self, frame: Image, before: tuple[Image, Image] | None) -> Image:
        if self._job is None:
            self._job = prepare(Picture(frame), self.painting, **{**self.options, "size_px": longest(frame)})
        job = replace(self._job, photo=Picture(frame))
        if before is not None:
            job = job.following(*_moved(before, frame), self.steady, self.evaluations)
        result = job.run()
        if result.reason == "interrupted":
            raise KeyboardInterrupt
        if result.reason == "diverged":
            raise ValueError("the loss of a frame is not finite: choose other weights, or --precision fp32")
        if result.reason == "memory":
            raise MemoryError(f"a frame of {longest(frame)} px: {result.notes[-1]}; choose a smaller --size")
        return result.pixels.cpu()


def _moved(before: tuple[Image, Image], frame: Image) -> tuple[Image, Tensor]:
    """The last painting, as this frame would show it, and where that can be trusted (1, 1, H, W)."""
    back = flow(frame, before[0])
    return warp(before[1], back), reliable(back, flow(before[0], frame))


@dataclass(frozen=True)
class Outcome:
    frames: int
    resumed: int  # of them found finished
    scenes: int
    lost: int  # packets of the clip that could not be decoded
    figures: dict[str, Any]  # how steady it is; see `steadiness`


def paint(
    source: Path,
    out: Path,
    manner: Manner,
    *,
    start: float = 0.0,
    end: float | None = None,
    fps: float | None = None,
    size_px: int | None = None,
    key: str = "",
    apart: int | None = None,
    report: Callable[[int, int], None] = lambda done, expected: None,
) -> Outcome:
    """Paint the clip `source` from `start` to `end` (seconds) into `out`, whose suffix says how it is encoded.

    `key` is what the manner depends on: finished frames of another key are not used. `report` hears how many frames are
    done, of how many (0: not known). With `apart` it is measured how steady the result is. Raises ValueError or
    OSError of one line.
    """
    check_clip_writable(out)
    clip = Clip(source, start=start, end=end, fps=fps, size_px=size_px)
    words = (__version__, file_digest(source), start, end, fps, size_px, key)
    folder = _prepared(out.with_name(f"{out.name}.frames"), sha256(repr(words).encode()))
    times, resumed, scenes = [], 0, 0
    before: tuple[Image, Image] | None = None
    with _Beside() as keep:
        for number, frame in enumerate(_ahead(clip), start=1):
            place = folder / f"{number:06}.png"
            if before is None or is_cut(before[0], frame.image):
                scenes, before = scenes + 1, None
            if place.is_file():
                resumed += 1
                painted = read(place).image
            else:
                picture = to_pil(manner(frame.image, before))
                keep(write, picture, place)
                painted = as_image(picture).image  # in 8 bits, as a resumed run would find it
            before = (frame.image, painted)
            times.append((frame.time, frame.duration))
            report(number, max(clip.expected, number) if clip.expected else 0)
    if not times:
        raise ValueError(f"no frame of '{source}' could be decoded from {start:g} s on; wanted at least one")

    def finished() -> Iterator[Frame]:
        for number, (time, duration) in enumerate(times, start=1):
            yield Frame(read(folder / f"{number:06}.png").image, time, duration)

    figures = {} if apart is None else steadiness(lambda: clip, finished, apart)
    write_clip(_ahead(finished()), out, sound=source, start=start, end=end)
    shutil.rmtree(folder)
    return Outcome(len(times), resumed, scenes, clip.lost, figures)


class _Beside:
    """One thing at a time in another thread: the next one waits for it, and hears what went wrong."""

    def __init__(self) -> None:
        self._thread, self._last = ThreadPoolExecutor(1), Future[None]()
        self._last.set_result(None)

    def __enter__(self) -> "_Beside":
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()
        if error[0] is None:
            self._last.result()

    def __call__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._last.result()
        self._last = self._thread.submit(work, *arguments)


def _ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each made in another thread while the one before is used."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, iterator, end)
            yield item  # type: ignore[misc]


def is_cut(before: Image, frame: Image) -> bool:
    """Whether a new scene begins: the frames' thumbnails differ too much."""
    if before.shape != frame.shape:
        return True
    small = [F.adaptive_avg_pool2d(image, THUMBNAIL_PX) for image in (before, frame)]
    return float((small[0] - small[1]).abs().mean()) > CUT


def _prepared(folder: Path, key: str) -> Path:
    """The folder of finished frames; those of another run are taken out."""
    told = folder / "run.json"
    try:
        known = json.loads(told.read_text()).get("key")
    except (OSError, ValueError, AttributeError):
        known = None
    if folder.exists() and known is None and any(folder.iterdir()):
        raise FileExistsError(f"'{folder}' is in the way: frames are kept there until the clip is whole; move it")
    if known not in (None, key):
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    write_whole(told, json.dumps({"key": key}).encode())
    return folder


def steadiness(
    content: Callable[[], Iterable[Frame]], result: Callable[[], Iterable[Frame]], apart: int
) -> dict[str, Any]:
    """The temporal errors of a result, and of the clip itself as the floor: between neighbours, and `apart` frames.

    {"short": mean, "short floor": mean, "short by frame": [...], "long": ...}, without what a clip is too short for.
    """
    figures: dict[str, Any] = {}
    for name, distance in (("short", 1), ("long", apart)):
        seen, itself = tee(frame.image for frame in content())
        painted = (frame.image for frame in result())
        both = zip(*temporal_errors_of(seen, [painted, itself], distance), strict=True)
        for who, errors in zip(("", " floor"), both, strict=False):  # there is none of a clip that is too short
            figures |= {f"{name}{who}": sum(errors) / len(errors), f"{name}{who}{BY_FRAME}": list(errors)}
    return figures


def draw_steadiness(figures: Mapping[str, Any], path: Path) -> None:
    """The curves of `steadiness` over frames: an error stands at the later of its two."""
    curves = {name.removesuffix(BY_FRAME): errors for name, errors in figures.items() if name.endswith(BY_FRAME)}
    frames = 1 + max(map(len, curves.values()), default=0)
    placed = {name: (range(frames - len(errors) + 1, frames + 1), errors) for name, errors in curves.items()}
    plots.draw(placed, path, x="frame", y="warp error")
