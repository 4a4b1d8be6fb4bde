"""Make a clip of a photograph under a moving camera, whose motion is known: `true_flow` tells it.

    python examples/draw_clip.py examples/images/chelsea.jpg -o clip.mp4 [--size 256] [--frames 24]

The camera comes nearer, turns a little and drifts to the right: nothing in the picture moves by itself, and nothing is
hidden, but at the borders. It needs the extra [video].
"""

import argparse
import math
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gatys_lab import clips
from gatys_lab.images import read, resize

RATE = 12  # frames a second
NEARER, TURN, DRIFT = 0.2, math.radians(4), 0.06  # over the whole clip; the drift in widths of the frame
INSIDE = 0.72  # how much of the photograph the first frame shows


def camera(progress: float, height: int, width: int) -> Tensor:
    """From places in the frame to places in the photograph, both in [-1, 1]: an affine map (2, 3). 0 to 1."""
    size, angle = INSIDE * (1 - NEARER * progress), TURN * progress
    c, s = size * math.cos(angle), size * math.sin(angle)
    return torch.tensor([[c, -s * height / width, DRIFT * (2 * progress - 1)], [s * width / height, c, 0.0]])


def frame(photo: Tensor, progress: float) -> Tensor:
    """What the camera sees of a photograph (1, 3, H, W), as large as it."""
    grid = F.affine_grid(camera(progress, *photo.shape[2:])[None], list(photo.shape), align_corners=False)
    return F.grid_sample(photo, grid, mode="bicubic", padding_mode="reflection", align_corners=False).clamp(0, 1)


def true_flow(shape: tuple[int, int], of: float, to: float) -> Tensor:
    """From every pixel of the frame at `of` to where that at `to` shows the same: right and down, px, (1, 2, H, W)."""
    height, width = shape
    here = F.affine_grid(camera(of, *shape)[None], [1, 3, height, width], align_corners=False)  # in the photograph
    there, shift = camera(to, *shape).split([2, 1], 1)
    places = (here - shift.T) @ torch.linalg.inv(there).T  # (1, H, W, 2) in the other frame, [-1, 1]
    identity = F.affine_grid(torch.eye(2, 3)[None], [1, 3, height, width], align_corners=False)
    return ((places - identity) * torch.tensor([width, height]) / 2).permute(0, 3, 1, 2)


def main() -> None:
    """Read the command line, draw, write."""
    parser = argparse.ArgumentParser(description="Make a clip of a photograph under a moving camera.")
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="longest side (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=24, metavar="N", help="default: %(default)s")
    options = parser.parse_args()
    photo = resize(read(options.photo).image, options.size)
    photo = photo[..., : photo.shape[2] // 2 * 2, : photo.shape[3] // 2 * 2]  # as codecs want it
    times = [i / max(options.frames - 1, 1) for i in range(options.frames)]
    shown = (clips.Frame(frame(photo, t), Fraction(i, RATE), Fraction(1, RATE)) for i, t in enumerate(times))
    clips.write(shown, options.out)


if __name__ == "__main__":
    main()
