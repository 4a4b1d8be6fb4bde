"""The sound beside a clip's pictures: cut to the same part, copied where the format takes it."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from gatys_lab._libav import opened, pyav


class Sound:
    """The first sound of a clip, its packets copied where the format takes the codec, encoded anew where not."""

    def __init__(self, out: Any, path: Path | None, start: float, end: float | None) -> None:
        self._out, self._path = out, path
        self._start, self._end = Fraction(start), None if end is None else Fraction(end)
        self._container: Any = None
        self._origin = Fraction(0)  # when the first picture is shown, by the clip's own clock
        self._packets: Iterator[tuple[Fraction, Any]] = iter(())
        self._next: tuple[Fraction, Any] | None = None

    def __enter__(self) -> "Sound":
        return self

    def __exit__(self, *error: object) -> None:
        if self._container is not None:
            self._container.close()

    def begin(self) -> None:
        """Add the stream, beside the video's."""
        if self._path is None:
            return
        self._container = opened(self._path)
        if not self._container.streams.audio:
            return
        source, video = self._container.streams.audio[0], self._container.streams.video[0]
        self._origin = Fraction((video.start_time or 0) * video.time_base)
        if self._start > 0:
            self._container.seek(int(self._start / source.time_base), stream=source)
        if source.codec_context.name in self._out.supported_codecs:
            self._packets = self._copied(source, self._out.add_stream_from_template(source))
        else:
            codec = "libopus" if self._out.format.name == "webm" else "aac"
            self._packets = self._encoded(source, self._out.add_stream(codec, rate=48_000))
        self._next = next(self._packets, None)

    def until(self, time: Fraction | None) -> None:
        """Write what sounds up to a time; None: all of it."""
        while self._next is not None and (time is None or self._next[0] <= time):
            self._out.mux(self._next[1])
            self._next = next(self._packets, None)

    def _copied(self, source: Any, target: Any) -> Iterator[tuple[Fraction, Any]]:
        for packet in self._container.demux(source):
            if packet.pts is None or packet.dts is None:
                continue
            seconds = self._seconds(packet)
            if self._end is not None and seconds >= self._end:
                return
            if seconds < self._start:
                continue
            shift = self._shift(packet)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, target
            yield seconds - self._start, packet

    def _encoded(self, source: Any, target: Any) -> Iterator[tuple[Fraction, Any]]:
        resampler = pyav().AudioResampler(target.format, target.layout, target.rate)
        for frame in self._container.decode(source):
            seconds = self._seconds(frame)
            if self._end is not None and seconds >= self._end:
                break
            if seconds < self._start:
                continue
            frame.pts -= self._shift(frame)
            for part in resampler.resample(frame):
                for packet in target.encode(part):
                    yield seconds - self._start, packet
        for packet in target.encode(None):
            yield self._end or Fraction(0), packet

    def _seconds(self, timed: Any) -> Fraction:
        """When a packet or frame sounds, from the beginning of the pictures."""
        return Fraction(timed.pts * timed.time_base - self._origin)

    def _shift(self, timed: Any) -> int:
        """By how many of its time's units a packet or frame comes earlier than in the clip."""
        return round((self._origin + self._start) / timed.time_base)
