"""Files that are read from anybody, put together here: sound ones of every kind, and what an evil hand would make."""

import io
import json
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageCms
from safetensors.torch import save


def file_of(image: Pillow.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif_of(orientation: int) -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    """One of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, *, depth: int = 8, colour: int = 2, more: bytes = b"") -> bytes:
    """Put together by hand, whatever it says of itself."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    )


def pictures() -> dict[str, bytes]:
    """Sound files of every kind, by name."""
    draw = np.random.default_rng(0)
    colour = Pillow.fromarray(draw.integers(0, 256, (40, 48, 3), dtype=np.uint8)).resize((48, 40))
    clear = Pillow.fromarray(draw.integers(0, 256, (40, 48, 4), dtype=np.uint8))
    deep = Pillow.fromarray(draw.integers(0, 65536, (40, 48), dtype=np.uint16))
    real = Pillow.fromarray(draw.random((40, 48), dtype=np.float32))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    palette = colour.quantize(16)
    frames = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    return {
        "rgb.png": file_of(colour, "PNG", icc_profile=srgb),
        "rgba.png": file_of(clear, "PNG"),
        "palette.png": file_of(palette, "PNG", transparency=bytes(range(0, 256, 16))),
        "bit.png": file_of(colour.convert("1"), "PNG"),
        "deep.png": file_of(deep, "PNG"),
        "grey-alpha.png": file_of(clear.convert("LA"), "PNG"),
        "animated.png": file_of(colour, "PNG", **frames),
        "rgb.jpg": file_of(colour, "JPEG", icc_profile=srgb, exif=exif_of(6)),
        "turned.jpg": file_of(colour, "JPEG", progressive=True, exif=exif_of(99)),
        "cmyk.jpg": file_of(colour.convert("CMYK"), "JPEG", icc_profile=srgb),
        "lossless.webp": file_of(clear, "WEBP", lossless=True),
        "animated.webp": file_of(colour, "WEBP", **frames),
        "deflate.tif": file_of(clear, "TIFF", compression="tiff_deflate"),
        "lzw.tif": file_of(colour.convert("LAB"), "TIFF", compression="tiff_lzw"),
        "float.tif": file_of(real, "TIFF"),
        "pages.tif": file_of(colour, "TIFF", **frames),
        "cmyk.tif": file_of(colour.convert("CMYK"), "TIFF", icc_profile=srgb[:200]),
        "animated.gif": file_of(palette, "GIF", save_all=True, append_images=[palette.rotate(90)], transparency=3),
        "plain.bmp": file_of(colour, "BMP"),
        "plain.ppm": file_of(colour, "PPM"),
        "plain.tga": file_of(clear, "TGA"),
        "plain.ico": file_of(clear, "ICO"),
    }


def safetensors(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


class Calls:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def pickles(marker: Path) -> dict[str, bytes]:
    """Files named .pth; those that run code would leave `marker`."""
    buffer = io.BytesIO()
    torch.save({"conv1_1.weight": torch.zeros(64, 3, 3, 3), "evil": Calls(marker)}, buffer)
    sound = io.BytesIO()
    torch.save({"conv1_1.weight": torch.zeros(64, 3, 3, 3), "conv1_1.bias": torch.zeros(64)}, sound)
    wrong = io.BytesIO()
    torch.save([1, 2, {"a": torch.zeros(3)}], wrong)
    return {
        "plain": pickle.dumps(Calls(marker)),
        "in a zip": buffer.getvalue(),
        "old form": pickle.dumps({"a": Calls(marker)}, protocol=2),
        "a list": wrong.getvalue(),
        "sound": sound.getvalue(),
        "empty": b"",
        "a tar": b"\0" * 1024,
        "global": b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.",
        "deep": b"(" * 10000 + b".",
        "long": b"\x80\x04\x8e" + b"\xff" * 8 + b".",
    }


def weights() -> bytes:
    """A small file in our own slim form: VGG's first block."""
    draw = torch.Generator().manual_seed(0)
    tensors = {"conv1_1.weight": torch.randn(64, 3, 3, 3, generator=draw), "conv1_1.bias": torch.zeros(64)}
    tensors |= {"preprocess.weight": torch.eye(3)[:, :, None, None].contiguous(), "preprocess.bias": torch.zeros(3)}
    return save(tensors, {"padding": "reflect", "ceil_mode": "False", "origin": "fuzz", "architecture": "vgg19"})
