"""Clips in and out: frames as images with their times, and the sound beside them (_sound.py), through _libav.py.

Frames leave here upright, sRGB as stored, in [0, 1]; ten bits keep their depth. A clip is read and written frame by
frame: memory does not grow with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image as Pillow

from gatys_lab._libav import opened, pyav
from gatys_lab._sound import Sound
from gatys_lab.files import check_place, whole
from gatys_lab.images import scaled, to_pil
from gatys_lab.images import write as write_picture
from gatys_lab.types import Image

H264 = {"crf": "14", "preset": "veryfast"}  # as near the pictures as 18 and medium, in a third of the time
ENCODERS = {  # suffix -> (format, codec, pixel format, options)
    ".mp4": ("mp4", "libx264", "yuv420p", H264),
    ".mov": ("mov", "libx264", "yuv420p", H264),
    ".mkv": ("matroska", "libx264", "yuv420p", H264),
    ".webm": ("webm", "libvpx-vp9", "yuv420p", {"crf": "24", "b:v": "0", "row-mt": "1", "cpu-used": "4"}),
    ".webp": ("webp", "libwebp_anim", "yuv420p", {"quality": "80"}),
    ".gif": ("gif", "gif", "pal8", {}),
}
MUXING = {".mp4": {"movflags": "+faststart"}, ".webp": {"loop": "0"}, ".gif": {"loop": "0"}}  # of the formats
SILENT = (".webp", ".gif")
TIME_BASE = Fraction(1, 90_000)  # of the frames' times where the format lets us choose
BT601, BT709, UNSPECIFIED = 5, 1, 2  # libav's numbers of colour matrices
PALETTE_FRAMES = 8  # of a GIF, that its one palette is taken from


@dataclass(frozen=True)
class Frame:
    """`image` (1, 3, H, W); `time` and `duration` in seconds from the beginning of what was read."""

    image: Image
    time: Fraction
    duration: Fraction

    @property
    def picture(self) -> Pillow.Image:
        """In 8 bits."""
        return to_pil(self.image)


class Shown(Protocol):
    """What `write` wants of a frame."""

    @property
    def picture(self) -> Pillow.Image: ...
    @property
    def time(self) -> Fraction: ...
    @property
    def duration(self) -> Fraction: ...


class Clip:
    """A video file, to be read once: iterate over its frames. `lost` counts the packets that could not be decoded.

    `start` and `end` in seconds; `fps` repeats or leaves out frames; `size_px` is the longest side, never enlarged, and
    both sides are made even. Raises ValueError or OSError of one line.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start: float = 0.0,
        end: float | None = None,
        fps: float | None = None,
        size_px: int | None = None,
    ) -> None:
        if start < 0 or (end is not None and end <= start) or (fps is not None and fps <= 0):
            raise ValueError(
                f"from {start:g} to {end} s at {fps} frames a second; wanted 0 <= start < end, fps above 0"
            )
        self.path, self.lost = Path(path), 0
        self.start, self._end = Fraction(start), None if end is None else Fraction(end)
        self._step, self._size_px = None if fps is None else 1 / Fraction(fps).limit_denominator(1001), size_px
        with opened(self.path) as container:
            stream = container.streams.video[0]
            length = stream.duration * stream.time_base if stream.duration else Fraction(container.duration or 0, 10**6)
            seconds = max(Fraction(0), min(length, self._end or length) - self.start)
            self.expected = round(seconds / (self._step or _usual(stream)))  # frames; 0 where it is not told

    def __iter__(self) -> Iterator[Frame]:
        frames = self._decoded()
        return frames if self._step is None else _at_rate(frames, self._step)

    def _decoded(self) -> Iterator[Frame]:
        self.lost = 0
        with opened(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            origin = (stream.start_time or 0) * stream.time_base
            if self.start > 0:
                container.seek(int((origin + self.start) / stream.time_base), stream=stream)
            waiting: Frame | None = None  # a frame lasts until the next one
            for frame in self._undamaged(container, stream):
                if frame.pts is None:
                    continue
                time = frame.pts * frame.time_base - origin - self.start
                if self._end is not None and time >= self._end - self.start:
                    break
                if time < 0 or (waiting is not None and time <= waiting.time):
                    continue
                if waiting is not None:
                    yield Frame(waiting.image, waiting.time, time - waiting.time)
                waiting = Frame(self._image(frame), time, _usual(stream))
            if waiting is not None:
                yield waiting

    def _undamaged(self, container: Any, stream: Any) -> Iterator[Any]:
        """The frames that can be decoded; the packets that cannot are counted and passed over."""
        av = pyav()
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                self.lost += 1
                return  # nothing can be read behind this
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.lost += 1
                continue
            self.lost += sum(frame.is_corrupt for frame in frames)
            yield from frames

    def _image(self, frame: Any) -> Image:
        """Resized before it is converted, and turned at last: what is done to fewer pixels costs less."""
        deep = any(component.bits > 8 for component in frame.format.components)
        matrix = frame.colorspace if frame.colorspace != UNSPECIFIED else BT709 if frame.height >= 720 else BT601
        longest = max(frame.height, frame.width)
        shape = scaled(frame.height, frame.width, min(self._size_px or longest, longest))
        height, width = (max(2, side - side % 2) for side in shape)
        kind = "rgb48le" if deep else "rgb24"
        small = frame.reformat(width, height, kind, matrix, interpolation="BICUBIC", threads=1)
        pixels = np.rot90(small.to_ndarray(), round(frame.rotation / 90))  # (H, W, 3)
        values = np.ascontiguousarray(pixels, np.float32)
        values /= 65535 if deep else 255
        return torch.from_numpy(values).permute(2, 0, 1)[None]


def _usual(stream: Any) -> Fraction:
    """How long a frame of this stream lasts as a rule, in seconds."""
    return 1 / Fraction(stream.average_rate or stream.guessed_rate or 25)


def _at_rate(frames: Iterable[Frame], step: Fraction) -> Iterator[Frame]:
    """The frame that is seen at 0, step, 2 step, ..."""
    count, seen = 0, None
    for frame in frames:
        while seen is not None and count * step < frame.time:
            yield Frame(seen.image, count * step, step)
            count += 1
        seen = frame
    while seen is not None and (count == 0 or count * step < seen.time + seen.duration):
        yield Frame(seen.image, count * step, step)
        count += 1


def check_clip_writable(path: Path) -> None:
    """Raises, before a long run, if `write` could not write there. A name without suffix is a folder of pictures."""
    if path.suffix and path.suffix.lower() not in ENCODERS:
        raise ValueError(f"cannot write '{path}': no format '{path.suffix}'; wanted {', '.join(ENCODERS)}, or a folder")
    if path.suffix:
        check_place(path)
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"cannot write frames to '{path}': it is there already; name a new folder, or an empty one")
    pyav()


def write(
    frames: Iterable[Shown], path: Path, *, sound: Path | None = None, start: float = 0.0, end: float | None = None
) -> int:
    """Encode frames of one size; how many they were. `sound`: a clip whose first sound, from start to end, goes beside.

    By suffix: .mp4, .mov, .mkv (H.264), .webm (VP9), .webp, .gif; without one a folder of PNGs. A file is whole or not
    there.
    """
    if not path.suffix:
        return _write_folder(frames, path)
    av = pyav()
    suffix = path.suffix.lower()
    container_format, codec, pixel_format, options = ENCODERS[suffix]
    with whole(path) as part:
        try:
            with (
                av.open(str(part), "w", format=container_format, options=MUXING.get(suffix, {})) as out,
                Sound(out, None if suffix in SILENT else sound, start, end) as beside,
            ):
                count = _encode(out, frames, codec, pixel_format, options, beside)
        except av.FFmpegError as error:
            raise OSError(f"cannot write '{path}': {error.strerror or error}; nothing was changed") from error
    return count


def _write_folder(frames: Iterable[Shown], folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, frame in enumerate(frames, start=1):
        write_picture(frame.picture, folder / f"{count:06}.png")
    return count


def _encode(out: Any, frames: Iterable[Shown], codec: str, pixels: str, options: dict[str, str], sound: Sound) -> int:
    av = pyav()
    frames, palette = _with_palette(frames) if pixels == "pal8" else (frames, None)
    stream, count = None, 0
    for frame in frames:
        count += 1
        picture = frame.picture
        if stream is None:
            stream = out.add_stream(codec, rate=Fraction(25) if pixels == "pal8" else round(1 / frame.duration) or 1)
            stream.width, stream.height, stream.pix_fmt, stream.options = *picture.size, pixels, options
            stream.codec_context.time_base = Fraction(1, 100) if pixels == "pal8" else TIME_BASE
            if pixels != "pal8":
                stream.codec_context.colorspace, stream.codec_context.color_range = BT709, 1  # limited
            sound.begin()
        if palette is None:
            encoded = av.VideoFrame.from_image(picture).reformat(format=pixels, dst_colorspace=BT709, threads=1)
            encoded.colorspace, encoded.color_range = BT709, 1
        else:
            indexed = picture.quantize(palette=palette, dither=Pillow.Dither.FLOYDSTEINBERG)
            encoded = av.VideoFrame.from_ndarray((np.asarray(indexed), _colours(palette)), format="pal8")
        encoded.time_base = stream.codec_context.time_base
        encoded.pts = round(frame.time / encoded.time_base)
        encoded.duration = max(1, round(frame.duration / encoded.time_base))
        out.mux(stream.encode(encoded))
        sound.until(frame.time)
    if stream is None:
        raise ValueError("no frames to write")
    out.mux(stream.encode(None))
    sound.until(None)
    return count


def _with_palette(frames: Iterable[Shown]) -> tuple[Iterator[Shown], Pillow.Image]:
    """The frames, and one palette for all of them from the first few."""
    iterator = iter(frames)
    first = list(islice(iterator, PALETTE_FRAMES))
    pictures = [frame.picture for frame in first]
    sheet = (
        Pillow.fromarray(np.concatenate([np.asarray(p) for p in pictures])) if pictures else Pillow.new("RGB", (1, 1))
    )

    def every() -> Iterator[Shown]:
        yield from first
        yield from iterator

    return every(), sheet.quantize(256)


def _colours(palette: Pillow.Image) -> Any:
    """A palette's 256 colours as libav has them, (256, 4), ARGB."""
    colours = np.zeros((256, 4), np.uint8)
    known = np.asarray(palette.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    colours[: len(known), 1:], colours[:, 0] = known, 255
    return colours
