"""The painter's tools: palettes, noise, fields of directions, and a brush with bristles.

Coordinates of compositions: x to the right, y down, both 0 ... 1. Points of lines: (x, y) in px of the canvas. Shapes:
S the side of the canvas, n strokes, k points of a line, U and V samples along and across a stroke.
"""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d, zoom

Array = np.ndarray
Rng = np.random.Generator
FINER = 2  # drawn at twice the size and reduced: edges come out smooth
SPACING = 0.75  # px between the samples of a stroke: below 1, so that it has no holes
AT_ONCE = 96  # strokes laid together: fast, and small in memory


def rgb(*colours: str) -> Array:
    """Colours written as "rrggbb", (n, 3) in 0 ... 1."""
    return np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in colours], np.float32) / 255


def grid(size: int) -> tuple[Array, Array]:
    """x and y of every pixel, each (S, S)."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    return x, y


def clouds(rng: Rng, size: int, cells: int, octaves: int = 4, stretch: int = 1) -> Array:
    """Smooth noise (S, S) of mean 0 and standard deviation 1; `stretch` draws it out along x."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        rows = cells * 2**octave + 3
        coarse = rng.normal(size=(rows, max(4, rows // stretch))).astype(np.float32)
        fine = zoom(coarse, [size / (n - 2) for n in coarse.shape], order=3)
        total += fine[:size, :size] / 2**octave
    return (total - total.mean()) / total.std()


def blend(palette: Array, position: Array) -> Array:
    """The colours at positions 0 ... 1 along a palette (n, 3)."""
    at = np.clip(position, 0, 1) * (len(palette) - 1)
    low = np.minimum(at.astype(int), len(palette) - 2)
    return palette[low] + (palette[low + 1] - palette[low]) * (at - low)[..., None]


def look(field: Array, points: Array) -> Array:
    """The values of a field (S, S, ...) at points (..., 2); beyond the border, the border's."""
    at = np.clip(points.astype(int), 0, len(field) - 1)
    return field[at[..., 1], at[..., 0]]


def along(stream: Array) -> Array:
    """The directions of the level lines of a field (S, S), in radians."""
    down, right = np.gradient(stream)
    return np.arctan2(-right, down)


def paths(angle: Array, starts: Array, lengths: Array, steps: int = 14) -> Array:
    """Lines (n, steps, 2) through `starts` (n, 2) along the field of directions `angle` (S, S), which have no sign."""
    lines, heading = [starts], np.zeros_like(starts)
    stride = (lengths / steps)[:, None]
    sign = np.where(np.arange(len(starts)) % 2, -1, 1)[:, None]  # a hand goes both ways
    for _ in range(steps - 1):
        a = look(angle, lines[-1] + 0.5 * stride * heading)  # half a step ahead: circles close
        turn = np.stack([np.cos(a), np.sin(a)], -1) * sign
        heading = np.where((turn * heading).sum(1, keepdims=True) < 0, -turn, turn)
        lines.append(lines[-1] + stride * heading)
    return np.stack(lines, axis=1).astype(np.float32)


class Canvas:
    """Colour (S, S, 3) and the thickness of the paint (S, S), which catches the light."""

    def __init__(self, colour: Array) -> None:
        self.colour = colour.astype(np.float32)
        self.height = np.zeros(colour.shape[:2], np.float32)

    def lit(self, strength: float) -> Array:
        """The colours as seen with light from the upper left."""
        down, right = np.gradient(gaussian_filter(self.height, 0.8))
        shade = np.tanh(1.5 * (down + right))[..., None]
        return self.colour * (1 + strength * shade) + 0.25 * strength * np.maximum(shade - 0.35, 0)


def finished(picture: Array) -> Array:
    """The picture in 8 bits, reduced by FINER."""
    image = Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))
    return np.asarray(image.resize((image.width // FINER, image.height // FINER), Image.Resampling.LANCZOS))


def paint(canvas: Canvas, rng: Rng, lines: Array, width: Array, colours: Array, dry: float = 0.5) -> None:
    """Lay strokes along `lines` (n, k, 2), of half `width` (n,) px, the later over the earlier.

    A brush carries two colours (n, 2, 3), mixed bristle by bristle; towards its end it runs `dry`, and what lies below
    shows between the streaks.
    """
    reach = np.linalg.norm(np.diff(lines, axis=1), axis=2).sum(1)
    for part in np.array_split(np.arange(len(lines)), max(1, len(lines) // AT_ONCE)):
        if len(part):
            u = np.linspace(0, 1, max(4, int(reach[part].max() / SPACING)), dtype=np.float32)
            v = np.linspace(-1, 1, max(3, int(2 * width[part].max() / SPACING)), dtype=np.float32)
            _lay(canvas, rng, lines[part], width[part], colours[part], u, v, dry)


def _lay(canvas: Canvas, rng: Rng, lines: Array, width: Array, colours: Array, u: Array, v: Array, dry: float) -> None:
    streaks = gaussian_filter1d(rng.normal(size=(len(lines), 4, len(v))).astype(np.float32), 0.9, axis=2)
    bristle = 1.6 * _between(streaks, u)  # (n, U, V)
    worn = dry * (3 * u[:, None] ** 3 - 2.6 + 0.8 * v**6) - 0.6  # the bristles above it still have paint
    column, row = np.floor(_spread(lines, width, u, v)).astype(np.int32).transpose(3, 0, 1, 2)
    size = len(canvas.height)
    keep = (bristle > worn) & (column >= 0) & (row >= 0) & (column < size) & (row < size)
    mix = np.clip(0.5 + 0.45 * bristle, 0, 1)[..., None]
    first, second = colours[:, None, None, 0], colours[:, None, None, 1]
    thick = 0.55 * (1 - v**4) * np.sqrt(width)[:, None, None] + 0.5 * bristle
    canvas.colour[row[keep], column[keep]] = (first + (second - first) * mix)[keep]
    canvas.height[row[keep], column[keep]] = thick[keep]


def _spread(lines: Array, width: Array, u: Array, v: Array) -> Array:
    """The points (n, U, V, 2) of strokes that taper at both ends."""
    centre = _between(lines, u)  # (n, U, 2)
    tangent = gaussian_filter1d(np.gradient(centre, axis=1), 3, axis=1)
    normal = np.stack([-tangent[..., 1], tangent[..., 0]], -1) / (np.linalg.norm(tangent, axis=2, keepdims=True) + 1e-6)
    taper = np.minimum(1, np.sqrt(np.minimum(9 * u + 0.05, 3.5 * (1 - u) + 0.02)))
    offset = width[:, None, None] * taper[:, None] * v  # (n, U, V)
    return centre[:, :, None] + normal[:, :, None] * offset[..., None]


def _between(knots: Array, u: Array) -> Array:
    """(n, k, ...) interpolated linearly to (n, U, ...)."""
    at = u * (knots.shape[1] - 1)
    low = np.minimum(at.astype(int), knots.shape[1] - 2)
    return knots[:, low] + (knots[:, low + 1] - knots[:, low]) * (at - low)[:, None]
