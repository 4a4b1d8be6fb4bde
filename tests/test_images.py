"""Pictures in and out. The strange files are made here by Pillow; nothing is stored."""

import errno
import io
import os
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageCms

from gatys_lab import images
from gatys_lab.images import as_image, check_writable, longest, read, resize, resize_to, to_pil, write

LOSSLESS = (".png", ".webp", ".tif", ".tiff")


def noise(height: int = 24, width: int = 17, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def levels(image: torch.Tensor) -> np.ndarray:
    """(1, 3, H, W) in [0, 1] to (H, W, 3) in 0 ... 255, not rounded."""
    return image[0].permute(1, 2, 0).numpy() * 255


def icc(gamma: float, space: bytes = b"RGB ", primaries: str = "sRGB") -> bytes:
    """An ICC profile written by hand: sRGB's primaries, or red and blue exchanged, and a power as tone curve."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    red, green, blue = (0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
    red, blue = (red, blue) if primaries == "sRGB" else (blue, red)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {b"wtpt": xyz(0.9642, 1, 0.8249)}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": xyz(*red), b"gXYZ": xyz(*green), b"bXYZ": xyz(*blue)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body
    header = struct.pack(">I4sI4s4s4s", start + len(data), b"\0\0\0\0", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += b"".join(struct.pack(">i", round(v * 65536)) for v in (0.9642, 1, 0.8249))
    return header.ljust(128, b"\0") + table + data


def srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


# ---- reading


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16], upright[:8, 16:], upright[8:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # the transposition that stores it that way
    stored = Pillow.fromarray(upright)
    stored = stored if undo is None else stored.transpose(Pillow.Transpose(undo))
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"a{suffix}", exif=exif, subsampling=0)
    got = levels(read(tmp_path / f"a{suffix}").image)
    assert got.shape == upright.shape
    assert np.abs(got - upright)[[2, 2, 13, 13], [4, 28, 4, 28]].max() < 16  # the corners; JPEG and WebP lose a little


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_lose_the_picture(tmp_path: Path) -> None:
    Pillow.fromarray(noise()).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f nonsense")
    assert np.array_equal(levels(read(tmp_path / "a.png").image).round(), noise())


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_linear_profile_becomes_srgb(tmp_path: Path, mode: str) -> None:
    pixels = noise(channels=len(mode))
    Pillow.fromarray(pixels, mode).save(tmp_path / "a.png", icc_profile=icc(1.0))
    got = read(tmp_path / "a.png")
    visible = pixels[..., 3] > 0 if mode == "RGBA" else slice(None)
    assert np.abs(levels(got.image) - 255 * srgb(pixels[..., :3] / 255))[visible].max() < 1.5
    assert (got.alpha is None) == (mode == "RGB")


def test_profile_with_other_primaries_changes_the_hue() -> None:
    picture = Pillow.new("RGB", (3, 2), (250, 20, 30))
    picture.info["icc_profile"] = icc(2.2, primaries="exchanged")
    red, green, blue = levels(as_image(picture).image)[0, 0]
    assert blue > 245 and red < 40 and green < 40


def test_grey_profile_applies_to_8_and_16_bits(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Pillow.fromarray(ramp).save(tmp_path / "8.png", icc_profile=icc(1.8, b"GRAY"))
    Pillow.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "16.png", icc_profile=icc(1.8, b"GRAY"))
    for name in ("8.png", "16.png"):
        assert np.abs(levels(read(tmp_path / name).image) - 255 * srgb((ramp / 255) ** 1.8)[..., None]).max() < 2


@pytest.mark.parametrize("profile", [b"no profile at all", icc(1.0, b"GRAY"), icc(1.0)[:150]])
def test_profile_that_does_not_fit_is_ignored(tmp_path: Path, profile: bytes) -> None:
    Pillow.fromarray(noise()).save(tmp_path / "a.png", icc_profile=profile)
    assert np.array_equal(levels(read(tmp_path / "a.png").image).round(), noise())


def test_alpha_is_straight_and_hidden_colours_do_not_leak(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (200, 100, 50, 255)
    pixels[:, 3, 3] = 128  # half transparent: its colour stays as it is
    pixels[:, 4:] = (0, 255, 0, 0)  # wholly transparent green, which nobody was meant to see
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    got = read(tmp_path / "a.png")
    assert np.abs(levels(got.image) - (200, 100, 50)).max() < 1e-3
    assert got.alpha is not None
    assert np.array_equal(got.alpha[0, 0].mul(255).round().numpy(), pixels[..., 3])
    back = np.asarray(to_pil(got.image, got.alpha))
    assert np.array_equal(back[:, :4], pixels[:, :4]) and (back[:, 4:, 3] == 0).all()
    assert np.abs(levels(resize(got.image, 3)) - (200, 100, 50)).max() < 1e-2


def test_opaque_and_wholly_transparent_alpha() -> None:
    assert as_image(np.full((3, 4, 4), 255, np.uint8)).alpha is None
    hidden = as_image(np.concatenate([noise(), np.zeros_like(noise())[..., :1]], 2))
    assert hidden.alpha is not None and not hidden.alpha.any()
    assert np.array_equal(levels(hidden.image).round(), noise())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_is_read_in_its_colours(mode: str) -> None:
    smooth = np.stack([*np.meshgrid(np.linspace(60, 190, 20), np.linspace(200, 40, 30)), np.full((30, 20), 120.0)], -1)
    rgb = Pillow.fromarray(smooth.astype(np.uint8))
    if mode == "LAB":
        spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        source = ImageCms.profileToProfile(rgb, *spaces, outputMode="LAB")
        assert source is not None
    else:
        source = rgb.convert(mode)
    wanted = rgb if mode in ("RGBA", "CMYK", "YCbCr", "HSV", "LAB") else source.convert("RGB")
    difference = np.abs(levels(as_image(source).image) - np.asarray(wanted))
    assert difference.max() < {"HSV": 6, "LAB": 12, "YCbCr": 4}.get(mode, 0.01)  # of their 8 bits


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 128, 255])])
def test_palette_with_transparency(tmp_path: Path, transparency: int | bytes) -> None:
    picture = Pillow.new("P", (4, 2))
    picture.putpalette([10, 20, 30, 0, 255, 0, 70, 80, 90, 100, 110, 120])
    picture.putdata([0, 1, 2, 3, 0, 1, 2, 3])
    picture.save(tmp_path / "a.png", transparency=transparency)
    got = read(tmp_path / "a.png")
    assert got.alpha is not None
    table = [255, 0, 255, 255] if transparency == 1 else list(bytes([255, 0, 128, 255]))
    assert got.alpha[0, 0, 0].mul(255).round().tolist() == table
    assert levels(got.image)[0, [0, 2, 3]].round().tolist() == [[10, 20, 30], [70, 80, 90], [100, 110, 120]]
    assert levels(got.image)[0, 1].round().tolist() != [0, 255, 0]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint16, np.dtype(">u2")])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str, dtype: np.dtype) -> None:
    deep = np.linspace(0, 65535, 40 * 30).round().reshape(40, 30).astype(dtype)
    if dtype == np.uint16:
        Pillow.fromarray(deep).save(tmp_path / f"a{suffix}")
    else:
        Pillow.frombytes("I;16B", (30, 40), deep.tobytes()).save(tmp_path / f"a{suffix}")
    got = read(tmp_path / f"a{suffix}").image
    assert np.abs(got[0, 1].numpy() - deep.astype(np.float64) / 65535).max() < 1e-6  # finer than 8 bits: 1 / 510
    assert (got[:, 0] == got[:, 2]).all()


@pytest.mark.parametrize(
    ("mode", "values", "low", "high"),
    [
        ("F", np.linspace(0, 1, 12), 0, 1),
        ("F", np.linspace(0, 0.5, 12), 0, 1),
        ("F", np.linspace(0, 200, 12), 0, 255),
        ("F", np.linspace(0, 40000, 12), 0, 65535),
        ("F", np.linspace(-3, 7, 12), -3, 7),
        ("I", np.arange(12) * 1000, 0, 65535),
        ("I", np.arange(12) * 1_000_000, 0, 11_000_000),
        ("F", np.zeros(12), 0, 1),
    ],
)
def test_deep_grey_tiff(tmp_path: Path, mode: str, values: np.ndarray, low: float, high: float) -> None:
    raw = values.reshape(3, 4).astype(np.float32 if mode == "F" else np.int32)
    Pillow.fromarray(raw).save(tmp_path / "a.tif")
    got = read(tmp_path / "a.tif").image
    assert np.abs(got[0, 0].numpy() - (raw - low) / (high - low)).max() < 1e-6


def test_transparent_value_of_a_16_bit_png() -> None:
    picture = Pillow.fromarray(np.array([[0, 1000, 60000]], np.uint16))
    picture.info["transparency"] = 1000
    got = as_image(picture)
    assert got.alpha is not None and got.alpha.flatten().tolist() == [1, 0, 1]


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_animation_gives_its_first_frame(tmp_path: Path, suffix: str) -> None:
    frames = [Pillow.new("RGB", (9, 7), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    assert levels(read(tmp_path / f"a{suffix}").image)[3, 3].round().tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (13, 7)])
def test_thin_and_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    Pillow.fromarray(noise(*size)).save(tmp_path / "a.png")
    assert read(str(tmp_path / "a.png")).image.shape == (1, 3, *size)


def test_no_picture(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("once upon a time\n" * 50)
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.jpg"):
        read(tmp_path / "gone.jpg")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read(tmp_path)
    for name in ("text.jpg", "empty.png"):
        with pytest.raises(ValueError, match=rf"{name}' is no picture that Pillow can read; wanted PNG") as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".ppm", ".tga"])
def test_truncated_is_an_error_or_the_whole_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Pillow.fromarray(noise(40, 50)).save(path)
    whole, data = read(path).image, path.read_bytes()
    refused = 0
    for part in np.linspace(0.02, 0.98, 25):
        path.write_bytes(data[: int(len(data) * part)])
        try:
            assert torch.equal(read(path).image, whole)
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error) and path.name in str(error)
    assert refused >= 24


def test_pixel_limit_is_checked_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, before = tmp_path / "bomb.png", Pillow.MAX_IMAGE_PIXELS
    Pillow.new("1", (3000, 2000)).save(path)

    def explode(*_: object) -> None:
        raise AssertionError("it was decoded")

    with monkeypatch.context() as patch:
        patch.setattr("PIL.PngImagePlugin.PngImageFile.load", explode)
        for limit in (5_999_999, 1000):  # refused by us, and by Pillow at more than twice the limit
            with pytest.raises(ValueError, match=r"limit is .*--max-pixels"):
                read(path, max_pixels=limit)
    assert read(path, max_pixels=6_000_000).image.shape == (1, 3, 2000, 3000)
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 1000)  # a raised limit holds against Pillow's own
    assert read(path).image.shape == (1, 3, 2000, 3000)
    assert Pillow.MAX_IMAGE_PIXELS == 1000 and before != 1000


# ---- arrays, tensors, PIL images


def test_arrays_and_tensors_agree_with_the_file(tmp_path: Path) -> None:
    pixels = noise(channels=4)
    pixels[..., 3] = pixels[..., 3].clip(1)
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    wanted = read(tmp_path / "a.png")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    sources: list[object] = [
        pixels,
        pixels.astype(np.uint16) * 257,
        pixels / 255,
        (pixels / 255).astype(np.float32),
        pixels[None],
    ]
    sources += [tensor, tensor[None], tensor / 255, tensor.double() / 255, Pillow.fromarray(pixels), wanted]
    for source in sources:
        got = as_image(source)
        assert got.alpha is not None and wanted.alpha is not None
        assert got.image.dtype == torch.float32 and got.image.is_contiguous() and not got.image.requires_grad
        assert torch.allclose(got.image, wanted.image, atol=1e-7) and torch.allclose(got.alpha, wanted.alpha, atol=1e-7)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (1, 6, 5, 1)])
def test_grey_arrays(shape: tuple[int, ...]) -> None:
    grey = noise(6, 5, 1)
    assert np.array_equal(levels(as_image(grey.reshape(shape)).image).round(), grey.repeat(3, 2))
    assert np.array_equal(levels(as_image(torch.from_numpy(grey[..., 0])[None]).image).round(), grey.repeat(3, 2))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (np.zeros((3, 8, 9)), r"shape \(3, 8, 9\)"),
        (np.zeros((0, 4, 3)), r"shape \(0, 4, 3\)"),
        (np.zeros((2, 8, 9, 3)), r"shape \(2, 8, 9, 3\)"),
        (np.full((4, 4, 3), 200.0), r"200; wanted \[0, 1\]"),
        (np.full((4, 4, 3), np.nan), r"nan; wanted \[0, 1\]"),
        (np.zeros((4, 4, 3), np.int64), "int64; wanted uint8"),
        (np.zeros((4, 4, 3), bool), "bool; wanted uint8"),
        (torch.zeros(8, 9, 3), r"shape \(8, 9, 3\)"),
        (torch.zeros(2, 3, 8, 9), r"shape \(2, 3, 8, 9\)"),
        (torch.full((3, 4, 4), -0.1), r"-0.1 .*wanted \[0, 1\]"),
        (7, "int; wanted a path"),
    ],
)
def test_what_is_no_picture_is_refused(source: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        as_image(source)


def test_bfloat16_tensor_comes_in() -> None:
    assert as_image(torch.rand(3, 4, 5).bfloat16()).image.dtype == torch.float32


# ---- sizes


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 120))
def test_resize_keeps_the_aspect_ratio(height: int, width: int, size_px: int) -> None:
    got = resize(torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height)), size_px)
    assert longest(got) == size_px and got.min() >= 0 and got.max() <= 1
    for now, before in zip(got.shape[2:], (height, width), strict=True):
        assert abs(now - before * size_px / max(height, width)) <= 0.5 or now == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_flat_colour_stays_itself(height: int, width: int, value: float) -> None:
    flat = torch.full((1, 1, 23, 31), value, dtype=torch.float64)
    assert (resize_to(flat, (height, width)) - value).abs().max() < 1e-12


def test_resize_is_antialiased_and_averages_srgb_values() -> None:
    board = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).expand(1, 3, 64, 64).double()
    assert (resize(board, 16) - 0.5).abs()[..., 2:-2, 2:-2].max() < 0.01  # linear light: .735


def test_resize_agrees_with_pillow() -> None:
    pixels = np.random.default_rng(1).random((61, 47), dtype=np.float32)
    for size in ((20, 31), (100, 80)):
        theirs = np.asarray(Pillow.fromarray(pixels).resize(size[::-1], Pillow.Resampling.BICUBIC)).clip(0, 1)
        ours = resize_to(torch.from_numpy(pixels)[None, None], size)[0, 0].numpy()
        assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_resize_keeps_dtype_and_the_same_size_is_exact(dtype: torch.dtype) -> None:
    image = torch.rand(2, 3, 20, 30).to(dtype)
    assert resize(image, 15).dtype == dtype
    assert resize(image, 15).shape == (2, 3, 10, 15)
    assert torch.equal(resize(image, 30), image)


def test_resize_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="0 px; wanted at least 1"):
        resize(torch.rand(1, 3, 4, 4), 0)


# ---- writing


def test_to_pil_rounds_and_checks() -> None:
    image = torch.tensor([0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 1.4, -0.2]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert np.asarray(to_pil(image))[0, :, 1].tolist() == [0, 0, 1, 255, 255, 0]
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\); wanted one picture"):
        to_pil(torch.rand(2, 3, 4, 4))
    with pytest.raises(ValueError, match="resize it first"):
        to_pil(torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 5))


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("channels", [3, 4])
def test_round_trip_is_exact(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = noise(31, 45, channels)
    pixels[..., 3:] = pixels[..., 3:].clip(1)
    picture = as_image(pixels)
    write(picture.image, tmp_path / f"a{suffix}", picture.alpha)
    got = read(tmp_path / f"a{suffix}")
    assert torch.equal(got.image, picture.image)
    assert got.alpha is None if channels == 3 else torch.equal(got.alpha, picture.alpha)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [*LOSSLESS, ".jpg", ".JPEG"])
def test_files_are_tagged_srgb_and_the_same_every_time(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write(as_image(noise()).image, path)
    first = path.read_bytes()
    images._srgb_profile.cache_clear()
    write(Pillow.fromarray(noise()), path)
    assert path.read_bytes() == first
    with Pillow.open(path) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_jpeg_keeps_full_chroma_and_puts_white_under_alpha(tmp_path: Path) -> None:
    stripes = np.zeros((32, 32, 4), np.uint8)
    stripes[..., 3] = 255
    stripes[:, ::2, 0], stripes[:, 1::2, 2] = 220, 220  # red and blue columns, which 4:2:0 would mix to purple
    stripes[24:, :, 3] = 0
    picture = as_image(stripes)
    write(picture.image, tmp_path / "a.jpg", picture.alpha)
    got = levels(read(tmp_path / "a.jpg").image)
    assert np.abs(got[:16] - stripes[:16, :, :3]).mean() < 8
    assert got[26:].min() > 240


def test_palette_and_grey_pil_images_are_written(tmp_path: Path) -> None:
    picture = Pillow.fromarray(noise()).quantize(8)
    write(picture, tmp_path / "a.png")
    assert np.array_equal(levels(read(tmp_path / "a.png").image).round(), np.asarray(picture.convert("RGB")))
    write(picture.convert("L"), tmp_path / "a.webp")
    assert np.array_equal(levels(read(tmp_path / "a.webp").image).round()[..., 0], np.asarray(picture.convert("L")))


def test_check_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name, kind, said in [
        ("a.bmp", ValueError, r"no format '\.bmp'; wanted \.png, \.jpg, \.webp or \.tif"),
        ("a", ValueError, "no format ''"),
        ("gone/a.png", FileNotFoundError, "no folder '.*gone'; make it first"),
        ("file/a.png", NotADirectoryError, "is no folder"),
        ("folder.png", IsADirectoryError, "it is a folder"),
        ("pipe.png", OSError, "a device or a pipe"),
    ]:
        with pytest.raises(kind, match=said):
            check_writable(tmp_path / name)
        with pytest.raises(kind, match=said):
            write(Pillow.new("RGB", (2, 2)), tmp_path / name)
    check_writable(tmp_path / "a.JPG")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="no right to write"):
        check_writable(tmp_path / "a.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png", "pipe.png"]


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """A real failure in the middle of a write, as on a full disk: the system refuses to let any file grow further."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [*LOSSLESS, ".jpg"])
def test_failed_write_changes_nothing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("an older picture")
    picture = as_image(noise(200, 200)).image
    with file_size_limit(2000), pytest.raises(OSError, match=r"cannot write '.*': File too large; .*") as caught:
        write(picture, path)
    assert "\n" not in str(caught.value) and path.read_text() == "an older picture"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    write(picture, path)
    assert read(path).image.shape == picture.shape


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(step, full)
    with pytest.raises(OSError, match="No space left on device; nothing was changed: free some space"):
        write(Pillow.new("RGB", (4, 4)), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(Pillow.new("RGB", (4, 4)), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_picture_larger_than_its_format_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write '.*a\.webp'.*; nothing was changed") as caught:
        write(Pillow.new("RGB", (20_000, 1)), tmp_path / "a.webp")
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_write_goes_through_a_link_and_keeps_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "there" / "real.png")
    write(Pillow.new("RGB", (4, 4)), tmp_path / "link.png")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "there" / "real.png").stat().st_mode == (tmp_path / "plain").stat().st_mode
