"""Input that was made to do harm, case by case: what each comes to."""

import json
import os
import struct
import sys
import zlib

import hostile
import hostile_files
import numpy as np
import pytest
from hostile import kept_promise, limited
from hostile_files import chunk, file_of, png
from PIL import Image as Pillow
from PIL import ImageCms
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save
from torch import zeros

from gatys_lab.images import read, write
from gatys_lab.models import adain, save_style
from gatys_lab.models._base import fingerprint
from gatys_lab.networks import _formats, lite

QUICK = ["--size", "40", "--smallest", "40", "--evaluations", "2", "--threads", "1", "--precision", "fp32",
         "--style-layers", "relu1_1", "--content-layers", "relu2_1"]  # fmt: skip
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs the pipes and limits of Linux")


def _tiff(width, height, data, *, bits=8, compression=1, samples=1, kind=1):
    """Little-endian, one strip, whatever it says of itself."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, compression), (262, 3, 1), (273, 4, 8),
               (277, 3, samples), (278, 4, height), (279, 4, len(data)), (339, 3, kind)]  # fmt: skip
    table = b"".join(struct.pack("<HHII", tag, form, 1, value) for tag, form, value in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + table + b"\0" * 4


def _text(size):
    """A PNG whose text unpacks to so many bytes."""
    info = PngInfo()
    info.add_text("gatys_lab", "x" * size, zip=True)
    return file_of(Pillow.new("RGB", (8, 8)), "PNG", pnginfo=info)


BOMB = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(10**6)))
GREY = Pillow.new("L", (40, 40), 99)
NOISE = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
WHOLE = file_of(NOISE, "JPEG")
REFUSED = {
    "a header of 4 billion pixels a side": png(2**31 - 1, 2**31 - 1, b"\0" * 99),
    "a header of more pixels than the limit": png(1001, 1001, b"\0" * 99),
    "a header without any": png(0, 0, b""),
    "a tenth of what the header says": png(40, 40, b"\0" * 480),
    "a bomb in a TIFF": _tiff(60000, 60000, zlib.compress(b"\0" * 10**7), compression=8),
    "a TIFF that promises more than it holds": _tiff(900, 900, b"\0" * 9),
    "a float TIFF of nan": file_of(Pillow.fromarray(np.full((40, 40), np.nan, np.float32)), "TIFF"),
    "a float TIFF with an infinity": file_of(Pillow.fromarray(np.where(np.eye(40), np.inf, 0).astype("f")), "TIFF"),
    "a JPEG cut in its middle": WHOLE[: len(WHOLE) // 2],
    "a JPEG cut in its header": WHOLE[:30],
    "a GIF of no frame": b"GIF89a" + struct.pack("<HHBBB", 40, 40, 0, 0, 0) + b";",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n(touched) (w) file closefile\nshowpage\n%%EOF\n",
    "a text": b"not a picture\n",
    "nothing": b"",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/hostname"/></svg>',
    "a PNG in a PNG's name only": b"\x89PNG\r\n\x1a\n",
    "a BMP of negative size": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, -40, -(2**31), 1, 24, 0, 9, 0, 0, 0, 0),
    "an ICO in itself": b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, 2**31, 0),
}
READ = {
    "one pixel": file_of(Pillow.new("RGB", (1, 1), "red"), "PNG"),
    "one row": file_of(Pillow.new("RGB", (999, 1), "red"), "PNG"),
    "one column": file_of(Pillow.new("L", (1, 999)), "PNG"),
    "16 bits": file_of(Pillow.fromarray(np.full((9, 9), 40000, np.uint16)), "PNG"),
    "1 bit": file_of(GREY.convert("1"), "PNG"),
    "a palette with transparency": file_of(NOISE.quantize(16), "PNG", transparency=bytes(range(16))),
    "a palette with transparency beyond it": file_of(NOISE.quantize(4), "PNG", transparency=bytes(200)),
    "CMYK with a profile that is none": file_of(NOISE.convert("CMYK"), "JPEG", icc_profile=b"\xff" * 300),
    "CMYK with a profile of RGB": file_of(
        NOISE.convert("CMYK"), "JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ),
    "an orientation that does not exist": file_of(NOISE, "JPEG", exif=hostile_files.exif_of(4711)),
    "EXIF that is none": file_of(NOISE, "JPEG", exif=b"Exif\0\0" + b"\xff" * 200),
    "animated": hostile_files.pictures()["animated.webp"],
    "a profile that is a bomb": png(2, 2, b"\0\1\2\3\4\5\6" * 2, more=BOMB),
    "a thousand pages": file_of(GREY, "TIFF", save_all=True, append_images=[GREY] * 999),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_picture_that_is_refused(case, tmp_path):
    (tmp_path / "x").write_bytes(REFUSED[case])
    with limited(2**28), pytest.raises((ValueError, OSError)) as said:
        read(tmp_path / "x", max_pixels=10**6)
    assert "\n" not in str(said.value) and "x'" in str(said.value)


@pytest.mark.parametrize("case", READ)
def test_a_picture_that_is_strange_and_read(case, tmp_path):
    (tmp_path / "x").write_bytes(READ[case])
    with limited(2**29):
        image = read(tmp_path / "x", max_pixels=10**6).image
    assert 0 <= image.min() <= image.max() <= 1 and image.shape[1] == 3


def test_a_text_that_is_a_bomb(tmp_path):
    """Pillow unpacks a megabyte of it at most."""
    (tmp_path / "x.png").write_bytes(_text(5 * 10**7))
    with limited(2**28):
        assert not kept_promise(tmp_path, "replay", tmp_path / "x.png", "-o", tmp_path / "out.png")


@pytest.mark.parametrize("case", ["one pixel", "one row"])
def test_such_pictures_as_content_and_style(case, photo, tmp_path):
    """Painted if there are layers for them, else refused in a line."""
    (tmp_path / "x.png").write_bytes(READ[case])
    for both in ((photo, tmp_path / "x.png"), (tmp_path / "x.png", photo)):
        kept_promise(tmp_path, "stylize", *both, "-o", tmp_path / "out.png", *QUICK)


@LINUX
def test_pipes_and_devices_are_not_read(photo, painting, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", "/dev/zero", "/dev/stdin", "/dev/null"):
        both = ["stylize", photo, painting]
        for words in (["stylize", name, painting], ["stylize", photo, name], ["fast", name, painting], ["replay", name],
                      *([*both, option, name] for option in ("--init", "--content-mask", "--weights", "--config")),
                      ["fast", photo, painting, "--weights", name], ["fast", photo, name]):  # fmt: skip
            assert not kept_promise(tmp_path, *words, "-o", tmp_path / "out.png")


@pytest.fixture
def made(photo, painting, tmp_path):
    assert hostile.run("stylize", photo, painting, "-o", tmp_path / "made.png", *QUICK).status == 0
    return json.loads((tmp_path / "made.json").read_text())


@LINUX
@pytest.mark.parametrize(
    "place", ["/dev/zero", "{pipe}", "{link}", "{folder}", "../../photo.png", "a\0b", "x" * 5000, "~"]
)
def test_replay_reads_ordinary_files_of_the_recorded_content_only(made, photo, tmp_path, monkeypatch, place):
    """The photo is gone; where it was, or what it was called, is something else now."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    place = place.format(pipe=tmp_path / "pipe", link=tmp_path / "link", folder=tmp_path)
    photo.unlink()
    digest = made["content"]["sha256"]
    for changed in ({"seen": {"paths": {digest: place}}}, {"content": {"file": place, "sha256": digest}, "seen": {}}):
        (tmp_path / "m.json").write_text(json.dumps(made | changed))
        assert not kept_promise(tmp_path, "replay", tmp_path / "m.json", "-o", tmp_path / "out.png")
    for option in ("--content", "--style"):
        words = ["replay", tmp_path / "m.json", "-o", tmp_path / "out.png", option, tmp_path / "pipe"]
        assert not kept_promise(tmp_path, *words)


def test_replay_writes_where_it_is_told_only(made, tmp_path):
    """Options that would write elsewhere are none of a picture's."""
    for key in ("checkpoint", "preview-file", "frames", "timelapse", "out", "config"):
        (tmp_path / "m.json").write_text(json.dumps(made | {"options": made["options"] | {key: str(tmp_path / "x")}}))
        assert not kept_promise(tmp_path, "replay", tmp_path / "m.json", "-o", tmp_path / "out.png")
    (tmp_path / "m.json").write_text(json.dumps(made))
    assert kept_promise(tmp_path, "replay", tmp_path / "m.json", "-o", tmp_path / "out.png")


KINDS = [{"seen": "x"}, {"seen": {"paths": [1]}}, {"versions": 3}, {"network": "x"}, {"result": []}, {"chosen": 1}]


@pytest.mark.parametrize("damage", KINDS)
def test_a_manifest_of_other_kinds_is_one_line(made, tmp_path, damage):
    (tmp_path / "m.json").write_text(json.dumps(made | damage))
    kept_promise(tmp_path, "replay", tmp_path / "m.json", "-o", tmp_path / "out.png")


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":' * 10**5, "x = " + "[" * 10**5, "\xff", ""])
def test_what_is_nested_too_deep_is_one_line(photo, painting, tmp_path, text):
    (tmp_path / "m.json").write_text(text)
    assert not kept_promise(tmp_path, "replay", tmp_path / "m.json", "-o", tmp_path / "out.png")
    words = ["stylize", photo, painting, "-o", tmp_path / "out.png", "--dump-config", "--config", tmp_path / "m.json"]
    kept_promise(tmp_path, *words)


@pytest.mark.parametrize("case", hostile_files.pickles(None))
def test_a_pickle_runs_nothing(case, tmp_path):
    (tmp_path / "w.pth").write_bytes(hostile_files.pickles(tmp_path / "ran")[case])
    with limited():
        if case == "sound":
            assert _formats.read(tmp_path / "w.pth").architectures
        else:
            with pytest.raises(ValueError, match=r"wanted|has no|holds"):
                _formats.read(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_a_file_of_weights_names_no_code(photo, painting, tmp_path, monkeypatch):
    """What it says it was made with is a name of the catalogue, or nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('ran', 'w')\ndef build(**options): pass\n")
    said = {"model": "adain", "encoder": "evil.py", "fingerprint": "0", "options": {}}
    (tmp_path / "w.safetensors").write_bytes(save({"x": zeros(1)}, {"gatys_lab": json.dumps(said)}))
    words = ["fast", photo, painting, "--weights", tmp_path / "w.safetensors", "-o", tmp_path / "out.png"]
    assert not kept_promise(tmp_path, *words)
    for option in ("--network", "--optimizer"):
        assert not kept_promise(tmp_path, "stylize", photo, painting, "-o", tmp_path / "out.png", option, "evil.py")
    assert not (tmp_path / "ran").exists()


SAID = ["[1]", "x", "[" * 10**5, "null", '{"model": ["adain"]}', '{"model": "adain"}', '{"style_of": "adain"}',
        '{"model": "adain", "encoder": "lite", "fingerprint": "0"}', '{"model": "adain", "encoder": 3}',
        '{"model": "adain", "encoder": "lite", "fingerprint": "%s", "options": {"x": 1}}',
        '{"model": "adain", "encoder": "lite", "fingerprint": "%s", "options": 3}']  # fmt: skip


@pytest.mark.parametrize("said", SAID, ids=lambda said: said[:40])
def test_what_a_model_or_a_style_says_of_itself_is_checked(photo, painting, tmp_path, said):
    said = said.replace("%s", fingerprint(lite.build()))
    (tmp_path / "w.safetensors").write_bytes(save({"x": zeros(1)}, {"gatys_lab": said}))
    words = ["fast", photo, painting, "--weights", tmp_path / "w.safetensors", "-o", tmp_path / "out.png"]
    assert not kept_promise(tmp_path, *words)
    assert not kept_promise(tmp_path, "fast", photo, tmp_path / "w.safetensors", "-o", tmp_path / "out.png")


def test_a_style_whose_numbers_were_changed_is_refused(photo, painting, tmp_path):
    model = adain.build()
    save_style(model.style_of(read(painting).image), model, tmp_path / "s.safetensors")
    whole = (tmp_path / "s.safetensors").read_bytes()
    (tmp_path / "s.safetensors").write_bytes(whole[:-2] + b"\x80\x7f")
    assert not kept_promise(tmp_path, "fast", photo, tmp_path / "s.safetensors", "-o", tmp_path / "out.png")


@pytest.mark.parametrize(
    "words",
    [
        ["--threads", "1000000000"],
        ["--style-scale", "1e9"],
        ["--style-scale", "1e308"],
        ["--seed", str(2**64)],
        ["--optimizer", "adam,bounds=3"],
        ["--optimizer", "lbfgs,history=x"],
        ["--optimizer", "lbfgs,history=999999999999"],
        ["--optimizer", "adam,lr=true"],
        ["--style-layers", "relu1_1:0", "--content-layers", "relu2_1:0", "--tv", "0"],
    ],
    ids=" ".join,
)
def test_values_that_mean_nothing_are_one_line(photo, painting, tmp_path, words):
    assert not kept_promise(tmp_path, "stylize", photo, painting, "-o", tmp_path / "out.png", *QUICK[:4], *words)


def test_masks_that_leave_nothing_are_one_line(photo, painting, tmp_path):
    """One white pixel, and a loss that is alone at a deep layer."""
    mask = np.zeros((72, 90), np.uint8)
    mask[3, 3] = 1
    write(Pillow.fromarray(mask).convert("RGB"), tmp_path / "m.png")
    words = ["--style-loss", "style-swap", "--content-mask", tmp_path / "m.png", "--size", "64", "--evaluations", "2"]
    kept_promise(tmp_path, "stylize", photo, painting, "-o", tmp_path / "out.png", "--tv", "0", *words)
