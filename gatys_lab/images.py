"""Pictures in and out: the border where files, PIL images and arrays become images (types.py) and back.

Whatever comes in leaves as sRGB, upright, float32 in [0, 1], (1, 3, H, W), with its alpha beside it: the EXIF rotation
is applied, of an animation the first frame taken; _pixels.py says how profiles and deep pictures are converted.

Nothing is composited. Alpha is straight, and the colour of wholly transparent pixels, which is whatever a program left
there, is replaced by the nearest visible pixel's: neither the network nor a resampling sees what nobody was meant to.
"""

import errno
import io
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from gatys_lab._pixels import Array, pixels, unit
from gatys_lab.config import DEFAULTS
from gatys_lab.files import check_ordinary, check_place, write_whole
from gatys_lab.types import Image

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {  # suffix -> Pillow's name and options
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".webp": ("WEBP", {"lossless": True}),  # lossy WebP halves the chroma's resolution at any quality: strokes suffer
    ".tif": ("TIFF", {"compression": "tiff_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_deflate"}),
}
PROGRAMS = ("EPS", "WMF")  # which Pillow hands to Ghostscript, or to Windows
NOTE = "gatys_lab"  # the keyword of a PNG's text
_guard = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """An image and its transparency, which is None where every pixel is opaque."""

    image: Image  # (1, 3, H, W)
    alpha: Tensor | None = None  # (1, 1, H, W) in [0, 1]


def read(source: str | Path, *, max_pixels: int = DEFAULTS.max_pixels) -> Picture:
    """The picture in a file. Raises a one-line FileNotFoundError, IsADirectoryError or, for no picture, ValueError."""
    path = Path(source)
    check_ordinary(path, "a picture")
    return _read(path, f"'{path}'", max_pixels)


def read_bytes(data: bytes, name: str, *, max_pixels: int = DEFAULTS.max_pixels) -> Picture:
    """The picture in the bytes of a file; `name` is what an error calls it. Raises ValueError if there is none."""
    return _read(io.BytesIO(data), name, max_pixels)


def _read(place: Path | io.BytesIO, name: str, max_pixels: int) -> Picture:
    allowed = f"the limit is {max_pixels:,}: raise it with --max-pixels if you trust the file"
    with _pixel_limit(max_pixels):
        try:
            with _opened(place, name) as image:
                if image.width * image.height > max_pixels:
                    raise ValueError(f"{name} has {image.width:,} x {image.height:,} pixels; {allowed}")
                return _decoded(image, name)
        except Pillow.DecompressionBombError:
            raise ValueError(f"{name} has more than {2 * max_pixels:,} pixels; {allowed}") from None


@singledispatch
def as_image(source: Any) -> Picture:
    """A picture from a path, a PIL image, a Picture, an array or a tensor.

    Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), tensors (1, H, W), (3, H, W) or (4, H, W), each also with a
    leading 1; uint8, uint16, or floats in [0, 1]; the fourth channel is straight alpha. Raises ValueError for others.

    >>> as_image(np.zeros((2, 5, 3), np.uint8)).image.shape
    torch.Size([1, 3, 2, 5])
    """
    raise ValueError(f"cannot make a picture of {type(source).__name__}; wanted a path, PIL image, array or tensor")


as_image.register(Picture, lambda source: source)
as_image.register(str, read)
as_image.register(Path, read)
as_image.register(Pillow.Image, lambda source: _decoded(source, "the PIL image"))


@as_image.register
def _(source: np.ndarray) -> Picture:
    values = source[0] if source.ndim == 4 and len(source) == 1 else source
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise ValueError(f"an array of shape {source.shape} is no picture; wanted (H, W), (H, W, 3) or (H, W, 4)")
    return _picture(unit(values))


@as_image.register
def _(source: Tensor) -> Picture:
    values = source[0] if source.ndim == 4 and len(source) == 1 else source
    if values.ndim != 3 or values.shape[0] not in (1, 3, 4) or 0 in values.shape:
        raise ValueError(f"a tensor of shape {tuple(source.shape)} is no picture; wanted (3, H, W) or (1, 3, H, W)")
    values = values.detach().permute(1, 2, 0).cpu()  # (H, W, C)
    return _picture(unit((values.float() if values.is_floating_point() else values).numpy()), source.device)


def picture_of(source: Any, *, max_pixels: int = DEFAULTS.max_pixels) -> Picture:
    """`read` for a path, `as_image` for what is in memory already."""
    return read(source, max_pixels=max_pixels) if isinstance(source, str | Path) else as_image(source)


def longest(image: Tensor) -> int:
    """The longer of height and width in pixels."""
    return max(image.shape[-2:])


def resize(image: Tensor, size_px: int) -> Tensor:
    """`image` (N, C, H, W) with its longest side `size_px`, the other in proportion and at least 1 px."""
    return resize_to(image, shape_at(image, size_px))


def shape_at(image: Tensor, size_px: int) -> tuple[int, int]:
    """(height, width) in px that `resize` gives."""
    height, width = image.shape[-2:]
    return scaled(height, width, size_px)


def scaled(height: int, width: int, size_px: int) -> tuple[int, int]:
    """(height, width) in px of what is so high and wide, when its longest side is `size_px`."""
    if size_px < 1:
        raise ValueError(f"a size of {size_px} px; wanted at least 1")
    scale = size_px / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_to(image: Tensor, size: Sequence[int]) -> Tensor:
    """`image` (N, C, H, W) at (height, width) px: bicubic, antialiased, clamped to [0, 1]; device and dtype are kept.

    It averages sRGB values, not linear light. Both were looked at on six photographs and paintings, 1024 -> 512 -> 128
    px. Linear light is right for a scene seen from afar; here it thins dark strokes and twigs, turns dark foliage into
    bright speckles (overshoot is magnified where sRGB is steep) and brightens a picture as it shrinks: The Starry
    Night's mean rises from .425 to .477, and the scales of one run would differ in tone and in the width of strokes.
    sRGB values keep the mean, and they are what the network sees.
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    exact = image if image.dtype == torch.float64 else image.float()  # bicubic weights want more than 8 or 11 bits
    resized = F.interpolate(exact, size=size, mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp_(0, 1).to(image.dtype)


def to_pil(image: Image, alpha: Tensor | None = None) -> Pillow.Image:
    """The 8-bit RGB or, with alpha (1, 1, H, W), RGBA picture of an image (1, 3, H, W); values are rounded."""
    if image.ndim != 4 or tuple(image.shape[:2]) != (1, 3):
        raise ValueError(f"an image of shape {tuple(image.shape)}; wanted one picture (1, 3, H, W)")
    if alpha is not None and alpha.shape != (1, 1, *image.shape[2:]):
        raise ValueError(f"alpha of shape {tuple(alpha.shape)}; wanted {(1, 1, *image.shape[2:])}: resize it first")
    channels = image if alpha is None else torch.cat([image, alpha.to(image)], dim=1)  # (1, 3 or 4, H, W)
    levels = (channels.detach()[0].permute(1, 2, 0).float() * 255).round_().clamp_(0, 255).byte().cpu()
    return Pillow.fromarray(np.ascontiguousarray(levels.numpy()))


def check_writable(path: str | Path) -> None:
    """Raises, before a long run instead of after it, if `write` could not write there. Creates nothing."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"cannot write '{path}': no format '{path.suffix}'; wanted .png, .jpg, .webp or .tif")
    check_place(path)


def write(image: Image | Pillow.Image, path: str | Path, alpha: Tensor | None = None, note: str | None = None) -> None:
    """Write a picture whole or not at all: a run that fails leaves an older file of that name as it was.

    PNG, JPEG (quality 95, 4:4:4; alpha composited on white), WebP and TIFF (both lossless), by suffix, tagged as sRGB.
    `note`: a text that a PNG carries with it (`read_note`).
    """
    check_writable(path)
    try:
        write_whole(Path(path), encode(image, Path(path).suffix, alpha, note))
    except (OSError, ValueError) as error:  # ValueError: more pixels than the format can hold
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        remedy = "free some space" if getattr(error, "errno", None) == errno.ENOSPC else "choose another name or folder"
        raise OSError(f"cannot write '{path}': {reason}; nothing was changed: {remedy}") from error


def encode(
    image: Image | Pillow.Image, suffix: str, alpha: Tensor | None = None, note: str | None = None
) -> memoryview:
    """The bytes of a picture's file, by suffix (".png"), as `write` writes them."""
    picture = to_pil(image, alpha) if isinstance(image, Tensor) else image
    kind, options = FORMATS[suffix.lower()]
    if note is not None and kind == "PNG":
        options = {**options, "pnginfo": PngInfo()}
        options["pnginfo"].add_text(NOTE, note, zip=True)
    buffer = io.BytesIO()
    _prepared(picture, kind).save(buffer, kind, icc_profile=_srgb_profile(), **options)
    return buffer.getbuffer()


def read_note(path: str | Path) -> str | None:
    """The text that `write` put into a PNG, None where there is none. ValueError or OSError as `read` raises them."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file '{path}'; wanted a picture: check the name and the folder")
    with _opened(path, f"'{path}'") as image:
        note = getattr(image, "info", {}).get(NOTE)
    return None if note is None else str(note)


def _prepared(picture: Pillow.Image, kind: str) -> Pillow.Image:
    if picture.mode not in ("RGB", "RGBA"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if kind != "JPEG" or picture.mode == "RGB":
        return picture
    paper = Pillow.new("RGB", picture.size, "white")
    paper.paste(picture, mask=picture.getchannel("A"))
    return paper


@cache
def _srgb_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes([0x07, 0xD0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]) + profile[36:]  # same bytes on every day


@contextmanager
def _pixel_limit(max_pixels: int) -> Iterator[None]:
    """Pillow's guard against decompression bombs is a global; for the time of one reading the limit is ours."""
    with _guard, warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # of half the limit that it refuses
        before, Pillow.MAX_IMAGE_PIXELS = Pillow.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Pillow.MAX_IMAGE_PIXELS = before


def _opened(place: Path | io.BytesIO, name: str) -> Pillow.Image:
    try:
        image = Pillow.open(place)
        if image.format in PROGRAMS:
            raise ValueError(f"{image.format} is a program that draws; it is not run")
        return image
    except PermissionError:
        raise PermissionError(f"{name} may not be read; give yourself the right to read it") from None
    except (MemoryError, Pillow.DecompressionBombError):
        raise
    except Exception as error:  # a broken header makes Pillow's plugins raise anything
        raise ValueError(f"{name} is no picture that Pillow can read; wanted PNG, JPEG, WebP, TIFF, ...") from error


def _decoded(image: Pillow.Image, name: str) -> Picture:
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        return _picture(pixels(upright))
    except (MemoryError, Pillow.DecompressionBombError):
        raise
    except Exception as error:  # OSError, SyntaxError, struct.error, IndexError, ...: each plugin has its own
        raise ValueError(f"{name} is damaged or cut short ({error}); wanted a whole picture: get it again") from error


def _picture(values: Array, device: torch.device | None = None) -> Picture:
    """The picture of (H, W, 1), (H, W, 3) or, with alpha, (H, W, 4)."""
    colour, alpha = (values[..., :3], values[..., 3]) if values.shape[2] == 4 else (values, np.ones((), np.float32))
    hidden = alpha == 0
    if hidden.any() and not hidden.all():
        rows, columns = distance_transform_edt(hidden, return_distances=False, return_indices=True)
        colour = colour[rows, columns]
    image = torch.from_numpy(np.ascontiguousarray(colour.transpose(2, 0, 1)))[None].to(device)  # (1, 1 or 3, H, W)
    image = image.expand(-1, 3, -1, -1).contiguous()
    if (alpha == 1).all():
        return Picture(image)
    return Picture(image, torch.from_numpy(alpha.copy())[None, None].to(device))
