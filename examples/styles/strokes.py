"""strokes.png: oil on canvas, a bay at night; strokes of four sizes follow the wind, the slopes and the water."""

import numpy as np
from scipy.ndimage import gaussian_filter

from styles.brush import FINER, Array, Canvas, Rng, along, blend, clouds, finished, grid, look, paint, paths, rgb

NIGHT = rgb("0a1034", "12266a", "1d4a9c", "2c78bd", "5db0c6", "b5dcd0", "f1ebc4")
GLOW = rgb("fff6cf", "fbdc6c", "f5ad2e", "ecd06a", "9fd0a8", "4aa3c0")
HILLS = rgb("0d1b44", "1d3a78", "2f6f86", "4f9a7a", "a9b465")
WATER = rgb("081640", "143a86", "2a70b0", "55a7ba", "bcd9b8")
STRAW = rgb("32160f", "7c3216", "bf6a26", "e4a93a", "f7de88")
SPICE = rgb("e8863a", "2a9d8f", "7a4fa0", "c8433a")  # what some bristles bring from elsewhere on the palette
GROUND = rgb("7a3f1e")[0]
MOON = (0.75, 0.17, 0.066)  # x, y, radius
STARS = ((0.10, 0.10, 0.026), (0.31, 0.07, 0.020), (0.51, 0.11, 0.024), (0.93, 0.42, 0.022), (0.06, 0.37, 0.024))
EDDIES = ((0.30, 0.26, 0.115, 1.0), (0.545, 0.355, 0.085, -1.0), (0.165, 0.465, 0.05, 0.8))  # ..., sense
LAMPS = (0.09, 0.16, 0.28, 0.36, 0.47, 0.60, 0.69, 0.88)  # along the shore
SHORE = 0.69
BRUSHES = (  # number, half width, length, and how much detail calls for them
    (1400, 0.0160, 0.170, 0.0),
    (3000, 0.0095, 0.120, 0.0),
    (7000, 0.0052, 0.075, 0.0),
    (9000, 0.0030, 0.045, 0.14),
)


def draw(size: int, seed: int = 1) -> Array:
    """The picture, (size, size, 3) in 8 bits."""
    rng, size = np.random.default_rng(seed), size * FINER
    angle, colour = bay(rng, size)
    canvas = Canvas(0.6 * colour + 0.4 * GROUND)  # a thin underpainting
    fine, coarse = (gaussian_filter(colour, (size / part, size / part, 0)) for part in (500, 70))
    detail = np.abs(fine - coarse).sum(2)
    for number, width, length, needed in BRUSHES:
        starts = ((rng.random((number, 2)) * 1.06 - 0.03) * size).astype(np.float32)
        starts = starts[look(detail, starts) >= needed * rng.random(number)]
        n = len(starts)
        lines = paths(angle, starts, length * size * rng.uniform(0.6, 1.3, n))
        pair = look(colour, lines[:, 5])[:, None] + rng.normal(0, 0.035, (n, 2, 3)) + rng.normal(0, 0.05, (n, 2, 1))
        dipped = 0.55 * (rng.random(n) < 0.10)[:, None]
        pair[:, 1] += dipped * (SPICE[rng.integers(0, len(SPICE), n)] - pair[:, 1])
        paint(canvas, rng, lines, width * size * rng.uniform(0.6, 1.2, n), pair)
    return finished(canvas.lit(0.32))


def bay(rng: Rng, size: int) -> tuple[Array, Array]:
    """Directions (S, S) and colours (S, S, 3) of the whole picture, from the sky forward."""
    x, y = grid(size)
    rough = clouds(rng, size, 5)
    far = 0.590 - 0.050 * np.sin(7 * x + 0.4) - 0.022 * np.sin(17 * x)
    near = 0.655 - 0.060 * np.sin(4.3 * x + 2.4) - 0.014 * np.sin(19 * x)
    bank = 0.875 - 0.35 * (x - 0.33) ** 2 + 0.012 * np.sin(11 * x)
    angle, colour = sky(x, y, rough)
    for front, (its_angle, its_colour) in (
        (far, hills(x, y, rough, far, 0.0)),
        (near, hills(x, y, rough, near, 2.5)),
        (SHORE + 0.004 * np.sin(9 * x), water(x, y, rough)),
        (bank, straw(x, y, rough, bank)),
    ):
        angle = np.where(y > front, its_angle, angle)
        colour = np.where((y > front)[..., None], its_colour, colour)
    for lamp in LAMPS:
        halo = np.exp(-((x - lamp) ** 2 + (y - SHORE + 0.012) ** 2) / 0.009**2)[..., None]
        colour += np.minimum(1, 1.4 * halo) * (GLOW[1] - colour)
    return angle, colour


def sky(x: Array, y: Array, rough: Array) -> tuple[Array, Array]:
    """Wind is the level lines of a stream function with eddies; around each light it goes in circles."""
    stream, spiral = y + 0.05 * np.sin(5 * x + 1.5) + 0.010 * rough, np.zeros_like(x)
    for cx, cy, r, sense in EDDIES:
        bump = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / r**2)
        stream, spiral = stream + 1.7 * sense * r * bump, spiral + 0.35 * sense * bump
    angle = along(stream) + spiral
    tone = 0.39 + 0.29 * np.sin(46 * stream + 0.6 * rough) + 0.09 * rough[::-1] - 0.25 * (0.25 - y).clip(0)
    colour = blend(NIGHT, tone)
    for cx, cy, r in (MOON, *STARS):
        d = np.hypot(x - cx, y - cy) / r + 0.06 * rough
        angle = around(angle, x - cx, y - cy, np.exp(-((d / 2.9) ** 4)))
        rings = blend(GLOW, 0.34 * d + 0.16 * np.sin(7 * d) * (d > 1))
        colour += np.clip(3.2 - d, 0, 1)[..., None] * (rings - colour)
    hollow = np.hypot(x - MOON[0] + 0.022, y - MOON[1] - 0.012) < 0.66 * MOON[2]  # leaves a crescent
    colour[hollow] = 0.2 * colour[hollow] + 0.8 * GLOW[2]
    return angle, colour


def around(angle: Array, x: Array, y: Array, weight: Array) -> Array:
    """The directions, bent towards circles around the origin of x and y where `weight` is near 1."""
    circles = np.arctan2(x, -y)
    both = (1 - weight) * np.exp(2j * angle) + weight * np.exp(2j * circles)  # doubled: directions have no sign
    return np.angle(both).astype(np.float32) / 2


def hills(x: Array, y: Array, rough: Array, ridge: Array, shift: float) -> tuple[Array, Array]:
    """Folds that lean with the slope, lighter at the ridge."""
    depth = y - ridge
    lean = 0.55 * np.sin(15 * x + shift) * (1 - np.exp(-depth.clip(0) / 0.02))
    tone = 0.34 + shift / 12 + 0.24 * np.sin(75 * depth + 11 * x) + 0.10 * rough + 0.4 * np.exp(-((depth / 0.009) ** 2))
    return np.arctan(np.gradient(ridge, axis=1) * len(x)) + lean, blend(HILLS, tone - 1.5 * depth)


def water(x: Array, y: Array, rough: Array) -> tuple[Array, Array]:
    """Flat ripples, and below the lamps and the moon their broken images."""
    near = np.maximum(y - SHORE, 0)
    ripple = np.sin(190 * near**0.8 + 3 * np.sin(6 * x) + rough)
    colour = blend(WATER, 0.36 + 0.2 * ripple + 0.1 * rough)
    for cx, r, bright in (*((lamp, 0.009, 0.95) for lamp in LAMPS), (MOON[0], 0.030, 0.7)):
        wide = r * (1 + 7 * near) * (1.1 + 0.5 * ripple)
        image = bright * np.exp(-(((x - cx - 0.006 * np.sin(90 * y)) / wide) ** 2)) * np.clip(1.4 - 6 * near, 0, 1)
        colour += image[..., None] * (blend(GLOW, 0.25 + 2.6 * near + 0.12 * ripple) - colour)
    return 0.10 * np.sin(25 * y + 5 * x) + 0.05 * rough, colour


def straw(x: Array, y: Array, rough: Array, bank: Array) -> tuple[Array, Array]:
    """The near bank, whose blades stand up and sway."""
    tone = 0.52 + 0.28 * np.sin(45 * x + 14 * y + 2.5 * rough) + 0.16 * rough - 1.6 * (y - bank - 0.03)
    return -1.25 + 0.5 * np.sin(6 * x + 0.8) + 0.2 * rough, blend(STRAW, tone)
