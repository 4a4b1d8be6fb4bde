"""Flow and warping against pictures whose motion is known, and the temporal error against truth."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from gatys_lab.clips import Clip
from gatys_lab.flow import flow, reliable, warp
from gatys_lab.images import read, resize
from gatys_lab.metrics import temporal_error, temporal_errors, warp_error


def scene(size: int = 160) -> torch.Tensor:
    """Something smooth with corners to follow, (1, 3, size, size)."""
    coarse = torch.rand(1, 3, size // 8, size // 8, generator=torch.Generator().manual_seed(3))
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False).clamp(0, 1)


def camera(step: int = 3, count: int = 4, size: int = 96) -> list[torch.Tensor]:
    """A window that moves right over the scene: everything in it moves left by `step` px a frame."""
    return [scene()[..., 20 : 20 + size, i * step : i * step + size] for i in range(count)]


def moved_left(like: torch.Tensor, step: float) -> torch.Tensor:
    """The true flow from a frame of `camera` to the one before."""
    field = torch.zeros(1, 2, *like.shape[2:])
    field[:, 0] = step
    return field


def test_warping_by_nothing_and_by_whole_pixels():
    image = torch.rand(1, 5, 20, 30)
    torch.testing.assert_close(warp(image, torch.zeros(1, 2, 20, 30)), image)
    shifted = warp(image, moved_left(image, 4))
    torch.testing.assert_close(shifted[..., :-4], image[..., 4:])
    torch.testing.assert_close(shifted[..., -4:], image[..., -1:].expand(-1, -1, -1, 4))  # beyond it, the border


def test_warping_is_bilinear():
    image, along = torch.rand(1, 2, 9, 11).double(), (torch.rand(1, 2, 9, 11).double() - 0.5) * 3
    found = warp(image, along)
    for y in range(9):
        for x in range(11):
            u = float((x + along[0, 0, y, x]).clamp(0, 10))
            v = float((y + along[0, 1, y, x]).clamp(0, 8))
            left, top = min(int(u), 9), min(int(v), 7)
            a, b = u - left, v - top
            cells = image[0, :, top : top + 2, left : left + 2]
            wanted = (1 - b) * ((1 - a) * cells[:, 0, 0] + a * cells[:, 0, 1])
            wanted = wanted + b * ((1 - a) * cells[:, 1, 0] + a * cells[:, 1, 1])
            torch.testing.assert_close(found[0, :, y, x], wanted)


def test_a_known_motion_is_found():
    before, after = camera(step=3, count=2)
    back = flow(after, before)
    assert (back[:, 0, 8:-8, 8:-8] - 3).abs().mean() < 0.3
    assert back[:, 1, 8:-8, 8:-8].abs().mean() < 0.3


def test_what_leaves_the_picture_or_is_hidden_is_not_trusted():
    after = camera(step=6, count=2)[1]
    there, back = moved_left(after, 6), moved_left(after, -6)
    trust = reliable(there, back)
    assert trust[..., -6:].sum() == 0 and trust[..., :-6].all()
    back[:, 0, 30:50, 30:50] = 5  # the other frame's flow does not lead back there
    assert reliable(there, back)[..., 32:48, 26:42].sum() == 0


def test_the_true_flow_has_no_error_and_noise_its_own():
    frames = camera(step=4)
    back, trust = moved_left(frames[0], 4), torch.ones(1, 1, 96, 96)
    trust[..., -4:] = 0
    assert warp_error(frames[0], frames[1], back, trust) < 1e-6
    noisy = [f + 0.05 * torch.randn(f.shape) for f in frames[:2]]
    assert warp_error(*noisy, back, trust) == pytest.approx(0.05 * 2**0.5, rel=0.03)
    assert warp_error(*frames[:2], back, torch.zeros_like(trust)) == 0


def test_flicker_is_measured_above_the_clips_own_floor():
    frames = camera(count=5)
    floor = temporal_error(frames, frames)
    flicker = [f + 0.1 * (-1) ** i for i, f in enumerate(frames)]
    assert floor < 0.03
    assert temporal_error(frames, flicker) == pytest.approx((0.2**2 + floor**2) ** 0.5, rel=0.1)
    assert temporal_error(frames, flicker, apart=2) < 0.05  # every second frame is alike
    assert len(list(temporal_errors(frames, flicker, apart=2))) == 3


def test_what_cannot_be_compared_is_told():
    frames = camera(count=2)
    with pytest.raises(ValueError, match="too few frames for pairs 3 apart"):
        temporal_error(frames, frames, apart=3)
    with pytest.raises(ValueError, match="wanted at least 1"):
        temporal_error(frames, frames, apart=0)
    with pytest.raises(ValueError, match="shorter"):
        temporal_error(frames, frames[:1])
    with pytest.raises(ValueError, match="the same size"):
        flow(frames[0], frames[0][..., :50])


def test_without_opencv_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ValueError, match=r'pip install "gatys-lab\[video\]"'):
        flow(*camera(count=2))


def test_the_flow_of_a_camera_that_zooms_and_turns_is_the_true_one(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "examples"))
    draw_clip = importlib.import_module("draw_clip")
    photo = resize(read(Path(__file__).parent.parent / "examples/images/chelsea.jpg").image, 192)
    frames = [draw_clip.frame(photo, i / 12) for i in range(4)]
    shape = (photo.shape[2], photo.shape[3])
    truth = draw_clip.true_flow(shape, 1 / 12, 0.0)
    assert truth.abs().max() > 1.5  # px: it does move
    torch.testing.assert_close(  # and back again is where it began
        truth + warp(draw_clip.true_flow(shape, 0.0, 1 / 12), truth), torch.zeros_like(truth), atol=0.05, rtol=0
    )
    found = flow(frames[1], frames[0])
    trust = reliable(found, flow(frames[0], frames[1]))
    assert trust.mean() > 0.7
    off = ((found - truth).square().sum(1, keepdim=True).sqrt() * trust).sum() / trust.sum()
    assert off < 0.4  # px
    inner = torch.zeros_like(trust)
    inner[..., 12:-12, 12:-12] = 1
    assert warp_error(frames[0], frames[1], truth, inner) < 0.03  # the truth explains the clip
    assert temporal_error(frames, frames) < 0.03  # and so does what was found


def test_the_clip_of_a_moving_camera_is_drawn(tmp_path):
    pytest.importorskip("av")
    script, photo = (Path(__file__).parent.parent / "examples" / name for name in ("draw_clip.py", "images/coffee.jpg"))
    command = [sys.executable, script, photo, "-o", "clip.mp4", "--size", "64", "--frames", "5"]
    environment = {**os.environ, "PYTHONPATH": str(script.parent.parent)}
    subprocess.run([str(word) for word in command], check=True, cwd=tmp_path, env=environment)
    frames = [frame.image for frame in Clip(tmp_path / "clip.mp4")]
    assert len(frames) == 5 and frames[0].shape[3] == 64 and not torch.allclose(frames[0], frames[4], atol=0.05)
