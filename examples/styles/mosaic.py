"""mosaic.png: two fishes in the sea, of some 4,600 pieces of stone and glass.

After Hausner 2001, "Simulating decorative mosaics": a centroidal Voronoi diagram whose metric is the square's, turned
with the outlines of the motif, so that stones are square and stand in rows. Differs: each pixel asks its six nearest
stones (Euclidean) for the nearest in that metric, instead of drawing pyramids on a graphics card.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, zoom
from scipy.spatial import cKDTree

from styles.brush import FINER, Array, Canvas, Rng, along, blend, clouds, finished, grid, look, rgb

SEA = rgb("0f3b57", "14617a", "1f8a8f", "54b3a4", "a5d6bf", "eef0d5")
RED = rgb("8c1f1a", "c4361f", "e2702a", "f2b04a", "f7dc9a")
PURPLE = rgb("3a2350", "6b3f86", "a86aa6", "e0a3a8", "f4d9c4")
FISHES = ((RED, 0.47, 0.34, 0.28), (PURPLE, 0.54, 0.67, np.pi + 0.28))  # palette, x, y, turn
CREAM, TERRACOTTA, GOLD, SLATE = FRAME = rgb("e9dcc0", "8f3b24", "d9a441", "24444f")
GROUT = rgb("3b342e")[0]
STONES = 4600
ROUNDS = 12  # of Lloyd's iteration: by then they have settled
FINE = 0.72  # size of the stones in figures and frame, where the sea's is 1


class Cartoon(NamedTuple):
    """What mosaic makers call the drawing that they work from."""

    outline: Array  # (S, S): the stones stand along its level lines
    colour: Array  # (S, S, 3)
    stone: Array  # (S, S): relative size


def draw(size: int, seed: int = 3) -> Array:
    """The picture, (size, size, 3) in 8 bits."""
    rng = np.random.default_rng(seed)
    cartoon = sea(size)
    for fish in FISHES:
        cartoon = swim(cartoon, *fish)
    cartoon = frame(cartoon)
    angle = along(gaussian_filter(cartoon.outline, size / 300))
    stones, owner, gap = settle(rng, angle, cartoon.stone)
    colour = look(cartoon.colour, stones) + rng.normal(0, 0.055, (STONES, 1)) + rng.normal(0, 0.03, (STONES, 3))
    owner, gap, size = owner.repeat(FINER, 0).repeat(FINER, 1), zoom(gap, FINER, order=1), size * FINER
    tilt = rng.normal(0, 0.09, (STONES, 2))[owner]  # no stone lies quite flat
    away = (np.stack(grid(size), -1) * size - FINER * stones[owner]) / (size / 70)
    grain = clouds(rng, size, 90, 3)[..., None]
    face = colour[owner] * (1 + (tilt * away).sum(-1, keepdims=True) + 0.035 * grain)
    pitch = size / FINER / np.sqrt(STONES)
    cover = np.clip(gap / (0.10 * pitch) - 1.6, 0, 1)[..., None]
    canvas = Canvas(GROUT * (1 + 0.12 * grain) * (1 - cover) + face * cover)
    canvas.height = 3 * gaussian_filter(cover[..., 0], 1.5)
    return finished(canvas.lit(0.28))


def sea(size: int) -> Cartoon:
    """Bands of waves."""
    x, y = grid(size)
    level = y + 0.030 * np.sin(9 * x + 5 * y) + 0.018 * np.sin(17 * x - 8 * y)
    tone = 0.40 + 0.36 * np.sin(18 * np.pi * level) + 0.16 * np.cos(5 * x - 4 * y)
    return Cartoon(level, blend(SEA, tone), np.ones_like(x))


def swim(cartoon: Cartoon, palette: Array, cx: float, cy: float, turn: float) -> Cartoon:
    """The cartoon with a fish in it, dark at its edge and with a row of cream stones around."""
    inside, u, v = body(*grid(len(cartoon.stone)), cx, cy, turn)
    depth, away = (distance_transform_edt(mask) / len(mask) for mask in (inside, ~inside))
    ring = ~inside & (away < 0.045)
    eye = np.hypot(u - 0.14, v + 0.035)
    colour = cartoon.colour
    for mask, its in (
        (inside, blend(palette, 0.42 + 0.36 * np.sin(30 * u + 4 * np.cos(26 * v)) + 2.2 * v)),
        (~inside & (away < 0.022), CREAM),
        (inside & (depth < 0.012), 0.55 * palette[0]),
        (eye < 0.046, CREAM),
        (eye < 0.022, 0.3 * SLATE),
    ):
        colour = np.where(mask[..., None], its, colour)
    outline = np.where(inside, depth, np.where(ring, -away, cartoon.outline))
    return Cartoon(outline, colour, np.where(inside | ring, FINE, cartoon.stone))


def body(x: Array, y: Array, cx: float, cy: float, turn: float) -> tuple[Array, Array, Array]:
    """Whether a pixel is in the fish, and where: u from nose (0) to tail (1), v from back (-) to belly (+)."""
    cos, sin = np.cos(turn), np.sin(turn)
    u, v = (cos * (x - cx) + sin * (y - cy)) / 0.60 + 0.5, (cos * (y - cy) - sin * (x - cx)) / 0.60
    v = v - 0.62 * (u - 0.45) ** 2 + 0.06  # it bends
    trunk = 0.165 * np.sqrt(np.clip(u / 0.28, 0, 1)) * np.clip((0.86 - u) / 0.5, 0, 1) ** 0.7 + 0.022
    fins = 0.10 * np.exp(-(((u - 0.42 - 0.6 * np.abs(v)) / 0.07) ** 2))
    tail = np.where(u > 0.78, 0.02 + 0.75 * (u - 0.78), 0) - 0.10 * (u > 0.98)
    width = np.maximum(trunk + fins, tail)
    return (u > 0) & (u < 1.02) & (np.abs(v) < width), u, v


def frame(cartoon: Cartoon) -> Cartoon:
    """The cartoon with a border: from the outside slate, cream, teeth of red and gold, cream, slate."""
    x, y = grid(len(cartoon.stone))
    beside, above = np.minimum(x, 1 - x), np.minimum(y, 1 - y)
    edge, side = np.minimum(beside, above), np.where(beside < above, y, x)
    teeth = 1 + (np.sin(24 * np.pi * side) > 0)
    pattern = np.choose(np.searchsorted((0.014, 0.028, 0.060, 0.073), edge), (3, 0, teeth, 0, 3))
    border = edge < 0.085
    return Cartoon(
        np.where(border, edge, cartoon.outline),
        np.where(border[..., None], FRAME[pattern], cartoon.colour),
        np.where(border, FINE, cartoon.stone),
    )


def settle(rng: Rng, angle: Array, stone: Array) -> tuple[Array, Array, Array]:
    """Stones (n, 2) px in their places; whose each pixel is (S, S), and how far it is from the next stone's (S, S)."""
    size = len(angle)
    chance = (1 / stone**2).ravel()
    first = rng.choice(size * size, STONES, replace=False, p=chance / chance.sum())
    stones = np.stack([first % size, first // size], -1) + rng.random((STONES, 2))
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2) + 0.5
    for _ in range(ROUNDS):
        owner, _gap = nearest(pixels, stones, angle, stone)
        count = np.bincount(owner, minlength=STONES)[:, None]
        sums = np.stack([np.bincount(owner, pixels[:, i], STONES) for i in (0, 1)], -1)
        stones = np.where(count > 0, sums / np.maximum(count, 1), stones)
    owner, gap = nearest(pixels, stones, angle, stone)
    return stones, owner.reshape(size, size), gap.reshape(size, size)


def nearest(pixels: Array, stones: Array, angle: Array, stone: Array) -> tuple[Array, Array]:
    """The nearest stone of each pixel (P, 2) in the turned square metric, and by how much the second is farther."""
    near = cKDTree(stones).query(pixels, k=6)[1]  # (P, 6)
    a = look(angle, stones)[near]
    d = (pixels[:, None] - stones[near]) / look(stone, stones)[near][..., None]  # (P, 6, 2)
    turned = np.cos(a) * d[..., 0] + np.sin(a) * d[..., 1], np.cos(a) * d[..., 1] - np.sin(a) * d[..., 0]
    far = np.maximum(np.abs(turned[0]), np.abs(turned[1]))
    order = np.argsort(far, axis=1)[:, :2]
    two = np.take_along_axis(far, order, 1)
    return np.take_along_axis(near, order, 1)[:, 0], two[:, 1] - two[:, 0]
