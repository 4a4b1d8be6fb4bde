"""Optical flow between frames, warping along it, and where it can be trusted. Ruder et al. 2016, section 4.1.

A flow (1, 2, H, W) says for every pixel of a frame how far right (first) and down (second), in pixels, the other frame
shows the same. It is OpenCV's DIS flow (Kroeger et al. 2016), of the extra `pip install "gatys-lab[video]"`.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gatys_lab.types import Image


def flow(first: Image, second: Image) -> Tensor:
    """From each pixel of the first image (1, 3, H, W) to where the second shows it, (1, 2, H, W)."""
    if first.shape != second.shape:
        raise ValueError(f"frames of {tuple(first.shape)} and {tuple(second.shape)}; wanted the same size")
    cv2 = _cv2()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = search.calc(*(_grey(frame) for frame in (first, second)), None)  # (H, W, 2)
    return torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1)))[None].to(first)


def warp(image: Tensor, along: Tensor) -> Tensor:
    """What `image` (1, C, H, W) shows where `along` (1, 2, H, W) points; beyond its border, the border. Bilinear."""
    height, width = image.shape[2:]
    x, y = _places(image)
    grid = torch.stack([(x + along[0, 0]) * 2 + 1, (y + along[0, 1]) * 2 + 1], 2)  # (H, W, 2), of [0, 2 size]
    grid = grid / torch.tensor([width, height], device=image.device, dtype=image.dtype) - 1
    return F.grid_sample(image, grid[None], mode="bilinear", padding_mode="border", align_corners=False)


def reliable(there: Tensor, back: Tensor) -> Tensor:
    """Where a flow can be trusted, 1 or 0, (1, 1, H, W): not occluded in the other frame (eq. 5), not at the border of
    a motion (eq. 6), not out of the picture. `back` is the flow of the other frame."""
    returned = warp(back, there)
    off = (there + returned).square().sum(1, keepdim=True)
    size = there.square().sum(1, keepdim=True)
    seen = off <= 0.01 * (size + returned.square().sum(1, keepdim=True)) + 0.5
    slope = _slope(there)
    height, width = there.shape[2:]
    x, y = _places(there)
    u, v = x + there[:, :1], y + there[:, 1:]
    inside = (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    return (seen & (slope <= 0.01 * size + 0.002) & inside).to(there)


def _places(image: Tensor) -> tuple[Tensor, Tensor]:
    """Column (1, W) and row (H, 1) of the pixels."""
    height, width = image.shape[2:]
    return torch.arange(width).to(image)[None], torch.arange(height).to(image)[:, None]


def _slope(field: Tensor) -> Tensor:
    """The squared gradient of both components, (1, 1, H, W)."""
    dx = F.pad(field.diff(dim=3), (0, 1, 0, 0)).square()
    dy = F.pad(field.diff(dim=2), (0, 0, 0, 1)).square()
    return (dx + dy).sum(1, keepdim=True)


def _grey(image: Image) -> Any:
    weights = torch.tensor([0.299, 0.587, 0.114], device=image.device) * 255
    levels = image[0].detach().float().permute(1, 2, 0) @ weights  # (H, W)
    return levels.round_().clamp_(0, 255).byte().cpu().numpy()


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ValueError('no OpenCV here, which sees how things move; pip install "gatys-lab[video]"') from error
    return cv2
