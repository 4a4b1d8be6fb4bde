"""From Pillow's modes to numbers: channels (H, W, C), float32 in [0, 1], sRGB, and straight alpha.

An embedded ICC profile is converted to sRGB; one that is damaged, or of another colour space, is ignored. 16 and 32
bits are kept where Pillow keeps them, in grey pictures; it reads 16-bit colour as 8 bits.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

Array = NDArray[np.float32]
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # modes of more than 8 bits, which convert() would clip


def pixels(image: Pillow.Image) -> Array:
    """The sRGB and, if it has any, alpha of an image of any mode, (H, W, 3) or (H, W, 4)."""
    return _deep_grey(image) if image.mode in DEEP_GREY else _shallow(image)


def _shallow(image: Pillow.Image) -> Array:
    """The sRGB and, if any, alpha (H, W, 3 or 4) of an image of 8 bits or 1 bit."""
    profile, grey = image.info.get("icc_profile"), image.mode in ("1", "L", "LA")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    if image.mode not in ("CMYK", "LAB"):
        image = image.convert("L" if grey else "RGB")
    colour = _to_srgb(image, profile)
    if alpha is not None:
        colour.putalpha(alpha)
    return unit(np.asarray(colour))


def _to_srgb(image: Pillow.Image, profile: bytes | None) -> Pillow.Image:
    """The RGB image in sRGB. Without a profile, or with one that does not fit, its values are taken as sRGB."""
    source = ImageCms.createProfile("LAB") if image.mode == "LAB" else profile and io.BytesIO(profile)
    try:
        if source:
            srgb = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")  # type: ignore[return-value]
    except (ImageCms.PyCMSError, OSError):
        pass
    return image.convert("RGB")


def _deep_grey(image: Pillow.Image) -> Array:
    """Grey (H, W, 3 or 4) of 16 or 32 bits, whose white is the smallest usual one that holds every value."""
    raw = np.asarray(image).astype(np.float32)  # (H, W)
    if not np.isfinite(raw).all():
        raise ValueError("it holds values that are not finite")
    low, high = min(0.0, float(raw.min())), float(raw.max())
    whites = (1, 255, 65535) if image.mode == "F" else (65535,)
    fits = [white for white in whites if low == 0 and high <= white]
    white = fits[0] if fits else high  # no usual range: from the darkest to the brightest
    levels = (raw - low) / (white - low or 1)
    if image.info.get("icc_profile"):
        ramp = Pillow.fromarray(np.arange(256, dtype=np.uint8)[None])
        curve = unit(np.asarray(_to_srgb(ramp, image.info["icc_profile"])))[0, :, 0]
        levels = np.interp(levels, np.linspace(0, 1, 256), curve).astype(np.float32)
    channels = [levels] * 3
    if isinstance(image.info.get("transparency"), int):
        channels.append((raw != image.info["transparency"]).astype(np.float32))
    return np.stack(channels, axis=-1)


def unit(values: np.ndarray) -> Array:
    """Values in [0, 1], float32."""
    if values.dtype in (np.uint8, np.uint16):
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    if values.dtype.kind != "f":
        raise ValueError(f"a picture of {values.dtype}; wanted uint8, uint16 or floats in [0, 1]")
    if not (values.min() >= 0 and values.max() <= 1):  # false for NaN, too
        raise ValueError(f"values {values.min():.4g} to {values.max():.4g}; wanted [0, 1]: scale or clip them")
    return values.astype(np.float32)
