"""Clips in and out: times, sound, rotation, depth, damage; every format that can be written."""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from gatys_lab.clips import ENCODERS, Clip, Frame, check_clip_writable, write

COLOURS = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.5], [1, 1, 0], [0.9, 0.6, 0.4]])


def picture(shift: int = 0) -> torch.Tensor:
    """Six stripes of 16 px, (1, 3, 48, 96)."""
    return COLOURS.roll(shift, 0).T.repeat_interleave(16, 1)[None, :, None].expand(1, 3, 48, 96)


def frames(times: list[float], last: float = 0.1) -> list[Frame]:
    exact = [Fraction(t).limit_denominator(1000) for t in times]
    ends = [*exact[1:], exact[-1] + Fraction(last).limit_denominator(1000)]
    return [Frame(picture(i), t, e - t) for i, (t, e) in enumerate(zip(exact, ends, strict=True))]


STEADY = [i / 10 for i in range(10)]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A second of ten frames with a tone beside it, by libav alone."""
    with av.open(str(tmp_path / "clip.mkv"), "w") as out:
        video, audio = out.add_stream("ffv1", rate=10), out.add_stream("aac", rate=44_100, layout="mono")
        video.width, video.height, video.pix_fmt = 96, 48, "bgr0"
        for i in range(10):
            array = (picture(i)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 10)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        wave = np.sin(np.arange(44_100) * 0.05).astype(np.float32)[None]
        for i in range(0, 44_100, 1024):
            out.mux(audio.encode(sound(wave[:, i : i + 1024], i)))
        out.mux(audio.encode(None))
    return tmp_path / "clip.mkv"


def sound(wave: np.ndarray, at: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave), format="fltp", layout="mono")
    frame.rate, frame.pts = 44_100, at
    return frame


def sound_of(path: Path) -> list[float]:
    """The times of its sound's packets."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        return [float(p.pts * p.time_base) for p in container.demux(container.streams.audio[0]) if p.pts is not None]


def test_frames_come_with_their_times(clip):
    found = list(Clip(clip))
    assert [float(f.time) for f in found] == pytest.approx(STEADY)
    assert all(float(f.duration) == pytest.approx(0.1) for f in found)
    assert Clip(clip).expected == 10
    for i, frame in enumerate(found):
        torch.testing.assert_close(frame.image, picture(i), atol=2 / 255, rtol=0)


def test_a_part_of_a_clip(clip):
    found = list(Clip(clip, start=0.3, end=0.7))
    assert [float(f.time) for f in found] == pytest.approx([0, 0.1, 0.2, 0.3])
    torch.testing.assert_close(found[0].image, picture(3), atol=2 / 255, rtol=0)


@pytest.mark.parametrize(("fps", "shown"), [(5, [0, 2, 4, 6, 8]), (20, [i // 2 for i in range(20)])])
def test_frames_are_repeated_or_left_out(clip, fps, shown):
    found = list(Clip(clip, fps=fps))
    assert [float(f.time) for f in found] == pytest.approx([i / fps for i in range(len(shown))])
    for frame, which in zip(found, shown, strict=True):
        torch.testing.assert_close(frame.image, picture(which), atol=2 / 255, rtol=0)


def test_sizes_are_even_and_never_enlarged(clip):
    assert next(iter(Clip(clip, size_px=50))).image.shape[2:] == (24, 50)
    assert next(iter(Clip(clip, size_px=37))).image.shape[2:] == (18, 36)
    assert next(iter(Clip(clip, size_px=500))).image.shape[2:] == (48, 96)


@pytest.mark.parametrize("suffix", [s for s in ENCODERS if s != ".webp"])
def test_every_format_keeps_colours_and_times(tmp_path, suffix):
    times = [0, 0.1, 0.3, 0.4, 0.8]  # no constant rate
    out = tmp_path / f"out{suffix}"
    assert write(frames(times), out) == 5
    found = list(Clip(out))
    assert [float(f.time) for f in found] == pytest.approx(times, abs=0.011)
    for i, frame in enumerate(found):
        middle = (frame.image - picture(i))[..., 8:-8, 8::16]
        assert middle.abs().max() < 8 / 255
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


def test_webp(tmp_path):
    write(frames(STEADY), tmp_path / "out.webp")
    found = Pillow.open(tmp_path / "out.webp")
    assert found.n_frames == 10 and found.info["loop"] == 0
    found.seek(3)
    pixels = torch.from_numpy(np.asarray(found.convert("RGB")) / 255).permute(2, 0, 1)
    assert (pixels - picture(3)[0])[..., 8:-8, 8::16].abs().max() < 0.1  # colours at half size, quality 80


def test_a_folder_of_pictures(tmp_path):
    write(frames(STEADY[:3]), tmp_path / "pictures")
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == ["000001.png", "000002.png", "000003.png"]
    with pytest.raises(ValueError, match="it is there already; name a new folder"):
        check_clip_writable(tmp_path / "pictures")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])  # WebM takes no AAC: encoded anew
def test_sound_is_kept_and_cut_with_the_pictures(clip, tmp_path, suffix):
    write(Clip(clip), tmp_path / f"all{suffix}", sound=clip)
    whole = sound_of(tmp_path / f"all{suffix}")
    assert whole[0] == pytest.approx(0, abs=0.05) and whole[-1] == pytest.approx(1, abs=0.08)
    write(Clip(clip, start=0.3, end=0.7), tmp_path / f"part{suffix}", sound=clip, start=0.3, end=0.7)
    part = sound_of(tmp_path / f"part{suffix}")
    assert part[0] == pytest.approx(0, abs=0.05) and part[-1] == pytest.approx(0.4, abs=0.08)


def test_silent_formats_and_silent_clips(clip, tmp_path):
    write(Clip(clip), tmp_path / "a.gif", sound=clip)
    assert sound_of(tmp_path / "a.gif") == []
    write(Clip(clip), tmp_path / "b.mp4")
    write(Clip(tmp_path / "b.mp4"), tmp_path / "c.mp4", sound=tmp_path / "b.mp4")
    assert sound_of(tmp_path / "c.mp4") == []


def test_a_phones_rotation_is_applied(tmp_path):
    """The matrix of the track's header says: turn clockwise by 90 degrees."""
    write(frames(STEADY[:2]), tmp_path / "flat.mp4")
    data = bytearray((tmp_path / "flat.mp4").read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes before the matrix
    numbers = (0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    data[at : at + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
    (tmp_path / "turned.mp4").write_bytes(data)
    upright = next(iter(Clip(tmp_path / "turned.mp4"))).image
    assert upright.shape[2:] == (96, 48)
    assert (upright[0, :, 8, 24] - COLOURS[0]).abs().max() < 8 / 255  # what was left is now above


def test_ten_bits_stay(tmp_path):
    ramp = np.arange(1024, dtype=np.uint16)[None, :, None].repeat(16, 0).repeat(3, 2)
    with av.open(str(tmp_path / "deep.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 1024, 16, "gbrp10le"
        frame = av.VideoFrame.from_ndarray(ramp, format="gbrp10le")
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    found = next(iter(Clip(tmp_path / "deep.mkv"))).image[0, :, 8]
    torch.testing.assert_close(found, torch.linspace(0, 1, 1024).expand(3, -1), atol=1e-3, rtol=0)


def test_what_can_be_decoded_of_a_damaged_clip(tmp_path):
    noise = [Frame(torch.rand(1, 3, 64, 96), Fraction(i, 10), Fraction(1, 10)) for i in range(10)]
    write(noise, tmp_path / "whole.mkv")
    data = bytearray((tmp_path / "whole.mkv").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    (tmp_path / "damaged.mkv").write_bytes(data)
    damaged = Clip(tmp_path / "damaged.mkv")
    assert 3 <= len(list(damaged)) <= 10 and damaged.lost > 0
    (tmp_path / "short.mkv").write_bytes((tmp_path / "whole.mkv").read_bytes()[:middle])
    assert 1 <= len(list(Clip(tmp_path / "short.mkv"))) < 10


def test_bad_input_is_told_in_a_line(clip, tmp_path):
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(ValueError, match="is no video that libav can read"):
        Clip(tmp_path / "text.mp4")
    with pytest.raises(FileNotFoundError, match="wanted a video"):
        Clip(tmp_path / "none.mp4")
    with pytest.raises(IsADirectoryError):
        Clip(tmp_path)
    with av.open(str(tmp_path / "sound.mka"), "w", format="matroska") as out:
        stream = out.add_stream("aac", rate=44_100, layout="mono")
        out.mux(stream.encode(sound(np.zeros((1, 1024), np.float32), 0)))
        out.mux(stream.encode(None))
    with pytest.raises(ValueError, match="has no video stream"):
        Clip(tmp_path / "sound.mka")
    with pytest.raises(ValueError, match="wanted 0 <= start < end"):
        Clip(clip, start=2, end=1)
    with pytest.raises(ValueError, match=r"no format '.avi'; wanted .mp4"):
        check_clip_writable(tmp_path / "out.avi")
    with pytest.raises(FileNotFoundError, match="make it first"):
        check_clip_writable(tmp_path / "nowhere" / "out.mp4")
    with pytest.raises(ValueError, match="no frames to write"):
        write([], tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_what_fails_leaves_the_older_file(tmp_path):
    (tmp_path / "out.mp4").write_text("older")

    def breaks():
        yield from frames(STEADY[:3])
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write(breaks(), tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "older"


def test_without_pyav_the_remedy_is_told(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r'pip install "gatys-lab\[video\]"'):
        Clip(clip)
