"""ink.png: brush and ink on paper. Washes first, hatching that follows the forms, then a red sun, a pine and a seal."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from styles.brush import FINER, Array, Canvas, Rng, along, clouds, finished, grid, look, paint, paths, rgb

PAPER, INK, INDIGO, VERMILION = rgb("eee2c6", "16140f", "24466f", "bf2f1d")
SUN = (0.70, 0.20, 0.095)  # x, y, radius
SEAL = (0.90, 0.905, 0.030, 0.036)  # x, y, half width, half height
BRUSHES = ((5000, 0.0050, 0.060), (12000, 0.0026, 0.045), (16000, 0.0014, 0.030))  # number, half width, length
BRANCHES = (  # x, y of the root, how far to the tip, bend
    (1.03, 0.50, -0.36, -0.10, 0.08),
    (0.96, 0.52, -0.17, -0.17, -0.03),
    (0.86, 0.53, -0.22, -0.02, 0.05),
    (1.03, 0.52, -0.22, 0.08, 0.04),
)


def draw(size: int, seed: int = 8) -> Array:
    """The picture, (size, size, 3) in 8 bits."""
    rng, size = np.random.default_rng(seed), size * FINER
    angle, dark, colour, paper = scroll(rng, size)
    canvas, (x, y) = Canvas(paper), grid(size)
    red = np.broadcast_to(VERMILION, paper.shape)
    sun = np.hypot(x - SUN[0], y - SUN[1]) < SUN[2]
    hatch(canvas, rng, (5000, 0.0075, 0.07), 0.6 * sun, np.arctan2(x - SUN[0], SUN[1] - y), red, 0.15)
    for brush in BRUSHES:
        hatch(canvas, rng, brush, dark * ~sun, angle, colour, 0.8)
    for lines, width in zip(pine(rng, size), (0.0060, 0.0010), strict=True):
        black = np.broadcast_to(INK, (len(lines), 2, 3))
        paint(canvas, rng, lines, np.full(len(lines), width * size), black, 0.7)
    seal = (np.abs(x - SEAL[0]) < SEAL[2]) & (np.abs(y - SEAL[1]) < SEAL[3])
    carved = np.sin(330 * x) * np.sin(210 * y + 1) + 0.35 * clouds(rng, size, 40, 2) > 0.45
    canvas.colour[seal & ~carved] = VERMILION
    grain = 1 + 0.03 * clouds(rng, size, 130, 2)[..., None]
    return finished(canvas.colour * grain)


def hatch(
    canvas: Canvas, rng: Rng, brush: tuple[int, float, float], dark: Array, angle: Array, tint: Array, water: float
) -> None:
    """Strokes of dry ink along `angle` (S, S), denser where it is `dark` (S, S); `water` thins some of them."""
    number, width, length = brush
    size = len(dark)
    starts = (rng.random((number, 2)) * size).astype(np.float32)
    starts = starts[look(dark, starts) > rng.random(number)]
    n = len(starts)
    lines = paths(angle, starts, length * size * rng.uniform(0.5, 1.4, n))
    below, thin = look(canvas.colour, lines[:, 0]), rng.beta(1.2, 3, (n, 1)) * water
    ink = look(tint, starts) * (1 - thin) + below * thin
    pair = np.stack([ink, 0.7 * ink + 0.3 * below], 1) + rng.normal(0, 0.02, (n, 2, 1))
    paint(canvas, rng, lines, width * size * rng.uniform(0.5, 1.3, n), pair, 0.9)


def scroll(rng: Rng, size: int) -> tuple[Array, Array, Array, Array]:
    """Directions and darkness (S, S) of the hatching, its ink (S, S, 3), and the washed paper (S, S, 3) below it."""
    x, y = grid(size)
    rough, fibre = clouds(rng, size, 6), clouds(rng, size, 60, 3, stretch=5)
    night = (0.5 * np.exp(-y / 0.10) * (1 + 0.25 * fibre)).clip(0, 1)[..., None]
    paper = PAPER * (1 + 0.012 * fibre + 0.02 * rough)[..., None] * (1 - night * (1 - INDIGO))
    stream = y + 0.035 * np.sin(7 * x + 2) + 0.006 * rough
    stream += 0.030 * np.sin(13 * x + 9 * y) * np.exp(-((y - 0.25) ** 2) / 0.03)
    angle, dark = along(stream), 0.60 * (np.sin(75 * stream + rough) > 0.62) + 0.03
    ink = np.broadcast_to(0.55 * INDIGO + 0.45 * INK, paper.shape)
    peak = 0.235 + 0.95 * np.abs(x - 0.36) ** 0.92 + jagged(rng, x, 0.012, 9)
    crags = 0.58 + 0.30 * np.abs(x - 0.84) ** 0.8 - 0.05 * np.cos(20 * x) + jagged(rng, x, 0.018, 9)
    shore = 0.735 + 0.006 * np.sin(9 * x)
    rocks = 0.965 - 0.42 * np.clip(0.30 - x, 0, 1) + jagged(rng, x, 0.016, 12)
    for ridge, tint, wash, (its_angle, its_dark, tone) in (
        (peak, INDIGO, 0.55, mountain(x, y, rough, peak, 1.0)),
        (crags, INK, 0.6, mountain(x, y, rough, crags, 1.2)),
        (shore, INDIGO, 0.38, waves(x, y, rough, shore)),
        (rocks, INK, 0.9, mountain(x, y, rough, rocks, 1.3)),
    ):
        below = y > ridge
        stain = wash * (tone + 0.25 * np.exp(-(((y - ridge) / 0.006) ** 2)))  # pigment gathers at the edge of a wash
        washed = paper * (1 - 0.85 * stain.clip(0, 1)[..., None] * (1 - tint))
        angle, dark = np.where(below, its_angle, angle), np.where(below, its_dark, dark)
        paper, ink = (np.where(below[..., None], *pair) for pair in ((washed, paper), (0.75 * INK + 0.25 * tint, ink)))
    return angle, dark, ink, paper


def jagged(rng: Rng, x: Array, height: float, knots: int) -> Array:
    """A broken line along x: noise of five octaves, (S, S)."""
    octaves = [(height / 1.8**i, knots * 2**i) for i in range(5)]
    return sum(h * np.interp(x[0], np.linspace(0, 1, n), rng.normal(size=n)) for h, n in octaves)[None].repeat(
        len(x), 0
    )


def mountain(x: Array, y: Array, rough: Array, ridge: Array, steep: float) -> tuple[Array, Array, Array]:
    """Directions that run down from the ridge, darkness on the side away from the light, and the tone of its wash."""
    depth = y - ridge
    slope = np.gradient(gaussian_filter1d(ridge, len(x) / 60, axis=1), axis=1) * len(x)
    shadow = np.clip(0.5 + 0.55 * np.tanh(slope) + 0.45 * np.sin(26 * x + 4 * rough), 0, 1)
    mist = np.exp(-depth.clip(0) / 0.17)
    angle, dark = np.arctan(slope) + steep * np.sign(slope) * (0.55 + 0.25 * rough), (0.10 + 0.9 * shadow) * mist
    edge = depth < 0.004
    return np.where(edge, np.arctan(slope), angle), np.where(edge, 1, dark), mist * (0.45 + 0.4 * shadow + 0.1 * rough)


def waves(x: Array, y: Array, rough: Array, shore: Array) -> tuple[Array, Array, Array]:
    """Directions, darkness and wash of the sea: crests that interlace."""
    crest = np.sin(203 * (y + 0.012 * np.sin(24 * x + 40 * y) + 0.01 * np.sin(9 * x)))
    tone = 0.35 + 0.65 * np.sin(34 * (y - shore + 0.02 * np.sin(8 * x))) ** 2
    return -0.3 * np.cos(24 * x + 40 * y), 0.75 * (crest > 0.25) + 0.02, tone * (0.6 + 0.15 * rough)


def pine(rng: Rng, size: int) -> tuple[Array, Array]:
    """A tree that reaches in from the right: its wood and its needles, lines (n, 14, 2)."""
    t = np.linspace(0, 1, 14)
    bow = np.sin(np.pi * t)
    wood = np.array([np.stack([x + dx * t, y + dy * t + bend * bow], -1) for x, y, dx, dy, bend in BRANCHES])
    wood[..., 1] += rng.normal(0, 0.004, wood.shape[:2])
    tips = wood[:, 3:].reshape(-1, 2) + rng.normal(0, 0.012, (11 * len(wood), 2))
    tips = np.repeat(tips, 30, axis=0)
    a, reach = rng.uniform(-np.pi, 0.15 * np.pi, len(tips)), rng.uniform(0.02, 0.055, len(tips))
    needles = tips[:, None] + (reach * np.array([np.cos(a), np.sin(a)])).T[:, None] * t[:, None]
    needles += rng.normal(0, 0.003, (len(tips), 1, 2)) * (t**2)[:, None]
    return (wood * size).astype(np.float32), (needles * size).astype(np.float32)
