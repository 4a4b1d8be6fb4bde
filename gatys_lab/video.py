"""A clip, painted frame by frame: by a feed-forward model, or by the engine, each frame starting from the one before.

Decoding, painting, keeping and encoding work beside each other (_pipeline.py; _manners.py paints). Every finished frame
is kept in a folder beside the result until the clip is whole: an interrupted run goes on where it stopped, and what
comes out is the same, models being given the same frames together.
"""

import json
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import tee
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow
from torch.nn import functional as F

from gatys_lab import __version__, plots
from gatys_lab._kept import Kept
from gatys_lab._manners import Finish, Following, Manner, OneByOne
from gatys_lab._pipeline import ahead, in_order, own_threads
from gatys_lab.clips import Clip, Frame, check_clip_writable
from gatys_lab.clips import write as write_clip
from gatys_lab.digests import file_digest, sha256
from gatys_lab.files import write_whole
from gatys_lab.images import as_image, to_pil
from gatys_lab.metrics import temporal_errors_of
from gatys_lab.types import Image

__all__ = ["Following", "Manner", "OneByOne", "Outcome", "draw_steadiness", "is_cut", "paint", "steadiness"]
CUT = 0.15  # of the range from black to white: thumbnails of neighbouring frames that differ by more are another scene
THUMBNAIL_PX, LOOKED_AT_PX = 16, 64  # of a thumbnail's side, and about what is looked at of the frame's
BY_FRAME = " by frame"  # what is said of every pair, in `steadiness`
UNFINISHED = "unfinished"  # the folder of the clip on its way, among its frames


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
    out = out.resolve()  # a link is kept
    clip = Clip(source, start=start, end=end, fps=fps, size_px=size_px)
    words = (__version__, file_digest(source), start, end, fps, size_px, key)
    folder = _prepared(out.with_name(f"{out.name}.frames"), sha256(repr(words).encode()))
    unfinished = folder / UNFINISHED / out.name
    with Kept(folder / "frames.raw") as kept:
        run = _Run(clip, manner, kept, report)
        with closing(run.frames()) as frames:
            write_clip(frames, unfinished, sound=source, start=start, end=end)
        figures = {} if apart is None else steadiness(lambda: clip, run.again, apart)
    unfinished.replace(out)
    shutil.rmtree(folder)
    return Outcome(len(run.times), kept.found, run.scenes, clip.lost, figures)


@dataclass(frozen=True)
class _Seen:
    """A frame of the clip; its number, from 1; and the one before, of the same scene."""

    number: int
    frame: Frame
    before: Image | None


@dataclass(frozen=True)
class _Painted:
    picture: Pillow.Image
    time: Fraction
    duration: Fraction


@dataclass
class _Run:
    """A clip on its way: `frames` paints them, one after the other, and counts."""

    clip: Clip
    manner: Manner
    kept: Kept
    report: Callable[[int, int], None]
    times: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    scenes: int = 0

    def frames(self) -> Generator[_Painted, None, None]:
        """Decoding is ahead of the models, and these are ahead of what is done here: ends, keeping, encoding."""
        workers, threads = self.manner.workers, torch.get_num_threads()
        last, found = None, iter(self.kept)
        groups = ahead(self._groups())
        begun = in_order(self._begin, groups, workers, max(1, threads // workers))
        with own_threads(threads if workers == 1 else 1), closing(groups), closing(begun):
            for group, finishes in begun:
                for seen, finish in zip(group, finishes, strict=True):
                    if seen.number <= self.kept.found:
                        last = next(found)
                    else:
                        last = to_pil(finish(None if seen.before is None else last))
                        self.kept.add(last)
                    self._count(seen)
                    yield _Painted(last, seen.frame.time, seen.frame.duration)
        if not self.times:
            start = f"{float(self.clip.start):g} s"
            raise ValueError(f"no frame of '{self.clip.path}' could be decoded from {start} on; wanted at least one")

    def _groups(self) -> Iterator[list[_Seen]]:
        """Frames that are given to the manner together; always the same ones."""
        group: list[_Seen] = []
        before: Image | None = None
        for number, frame in enumerate(self.clip, start=1):
            image = frame.image
            full = before is not None and (image.shape != before.shape or len(group) == self.manner.together(before))
            if full:
                yield group
                group = []
            group.append(_Seen(number, frame, None if before is None or is_cut(before, image) else before))
            before = image
        if group:
            yield group

    def _begin(self, group: list[_Seen]) -> Sequence[Finish]:
        if group[-1].number <= self.kept.found:
            return [_never] * len(group)
        return self.manner([seen.frame.image for seen in group], [seen.before for seen in group])

    def _count(self, seen: _Seen) -> None:
        self.scenes += seen.before is None
        self.times.append((seen.frame.time, seen.frame.duration))
        self.report(seen.number, max(self.clip.expected, seen.number) if self.clip.expected else 0)

    def again(self) -> Iterator[Frame]:
        """The finished frames, once more."""
        for picture, (time, duration) in zip(self.kept, self.times, strict=True):
            yield Frame(as_image(picture).image, time, duration)


def _never(last: Pillow.Image | None) -> Image:
    raise AssertionError("this frame is finished")


def is_cut(before: Image, frame: Image) -> bool:
    """Whether a new scene begins: the frames' thumbnails differ too much."""
    if before.shape != frame.shape:
        return True
    step = max(1, min(frame.shape[2:]) // LOOKED_AT_PX)
    small = [F.adaptive_avg_pool2d(image[..., ::step, ::step], THUMBNAIL_PX) for image in (before, frame)]
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
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    (folder / UNFINISHED).mkdir(parents=True)
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
