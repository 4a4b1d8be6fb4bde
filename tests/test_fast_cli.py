"""`gatys-lab fast` and `style save`, with random weights."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from gatys_lab import cli
from gatys_lab.fast import Painter, StyleSource, regions
from gatys_lab.images import Picture, read
from gatys_lab.models import _files, adain
from gatys_lab.networks import lite


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    model = adain.create(lite.build())
    for module in model.decoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    picture = torch.rand(1, 3, 48, 48)
    with torch.no_grad():
        model.decoder.conv1_1.bias.fill_(0.5)
        model.decoder.conv1_1.weight.mul_(0.04 / model.decoder(model.features(picture)["relu4_1"]).std())
    _files.save(model, tmp_path / "adain.safetensors", {})
    return tmp_path / "adain.safetensors"


@pytest.fixture
def run(weights, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as done:
            cli.main(["fast", *map(str, arguments), "--weights", str(weights)])
        return done.value.code, capsys.readouterr().err

    return run


def same(a, b):
    return np.array_equal(np.asarray(Pillow.open(a)), np.asarray(Pillow.open(b)))


def test_it_paints_at_the_photos_own_size_or_at_the_one_asked_for(run, photo, painting, tmp_path):
    status, said = run(photo, painting, "-o", tmp_path / "out.png")
    assert status == 0 and Pillow.open(tmp_path / "out.png").size == Pillow.open(photo).size, said
    run(photo, painting, "-o", tmp_path / "small.png", "--size", 60, "--style-size", 40)
    assert max(Pillow.open(tmp_path / "small.png").size) == 60


def test_a_saved_style_paints_what_its_painting_does(run, weights, photo, painting, tmp_path):
    style = tmp_path / "style.safetensors"
    with pytest.raises(SystemExit) as done:
        cli.main(["style", "save", str(painting), "-o", str(style), "--weights", str(weights)])
    assert not done.value.code
    run(photo, painting, "-o", tmp_path / "a.png")
    run(photo, style, "-o", tmp_path / "b.png")
    assert same(tmp_path / "a.png", tmp_path / "b.png")


def test_options_change_the_picture(run, photo, painting, tmp_path):
    mask = tmp_path / "mask.png"
    Pillow.fromarray(np.repeat(np.arange(90) > 45, 72).reshape(90, 72).T.astype("uint8") * 255).save(mask)
    square = tmp_path / "square.png"
    Pillow.fromarray((np.indices((40, 40))[0] > 20).astype("uint8") * 255).save(square)
    run(photo, painting, "-o", tmp_path / "plain.png")
    for i, options in enumerate(
        (
            ("--alpha", 0.3),
            ("--colour", "linear"),
            ("--colour", "histogram"),
            ("--colour", "luma"),
            ("--style-mask", square),
        )
    ):
        assert run(photo, painting, "-o", tmp_path / f"{i}.png", *options)[0] == 0
        assert not same(tmp_path / "plain.png", tmp_path / f"{i}.png"), options
    two = ("-s", f"{painting}:0.7", "-s", f"{photo}:0.3")
    assert run(photo, *two, "-o", tmp_path / "two.png")[0] == 0
    assert not same(tmp_path / "plain.png", tmp_path / "two.png")
    assert run(photo, painting, "-o", tmp_path / "half.png", "--content-mask", mask)[0] == 0
    plain, half = (np.asarray(Pillow.open(tmp_path / f"{name}.png")).astype(int) for name in ("plain", "half"))
    change = np.abs(plain - half).max((0, 2))  # by column: white is on the right
    assert change[:10].max() > 20 > change[-5:].max()


def test_16_bits_paint_nearly_the_same(run, photo, painting, tmp_path):
    for precision in ("fp32", "bf16"):
        assert run(photo, painting, "-o", tmp_path / f"{precision}.png", "--precision", precision)[0] == 0
    exact, rounded = (np.asarray(Pillow.open(tmp_path / f"{p}.png"), dtype=int) for p in ("fp32", "bf16"))
    assert 0 < np.abs(exact - rounded).mean() < 4
    status, said = run(photo, painting, "-o", tmp_path / "out.png", "--precision", "fp8")
    assert (status, "no precision 'fp8'; there are auto, fp32, bf16" in said) == (2, True)


def test_a_folder_is_painted_whole_and_what_is_broken_is_named(run, photo, painting, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.jpg", "c.bmp"):
        Pillow.open(photo).save(folder / name)
    (folder / "d.png").write_bytes(b"no")
    (folder / "notes.txt").write_text("no picture")
    status, said = run(folder, painting, "-o", tmp_path / "painted")
    assert status == 1 and "d.png" in said and "3 of 4" in said
    assert sorted(p.name for p in (tmp_path / "painted").iterdir()) == ["a.png", "b.jpg", "c.bmp.png"]
    (tmp_path / "empty").mkdir()
    status, said = run(tmp_path / "empty", painting, "-o", tmp_path / "x")
    assert status == 1 and "no pictures in" in said


def test_pipes(weights, photo, painting, tmp_path):
    command = [sys.executable, "-m", "gatys_lab", "fast", "-", str(painting), "-o", "-", "--weights", str(weights)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, input=photo.read_bytes(), capture_output=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    assert Pillow.open(io.BytesIO(done.stdout)).size == Pillow.open(photo).size
    done = subprocess.run(command, input=b"hello", capture_output=True, timeout=120, env=environment)
    assert done.returncode == 1 and b"standard input is no picture" in done.stderr and not done.stdout


def test_what_is_wrong_is_said_in_one_line(run, photo, painting, tmp_path):
    out = tmp_path / "out.png"
    wide = tmp_path / "wide.png"
    Pillow.new("L", (200, 20), 255).save(wide)
    for arguments, status, message in (
        ((photo, "-o", out), 2, "give one STYLE"),
        ((photo, painting, "-s", painting, "-o", out), 2, "give one STYLE"),
        ((photo, painting, "-o", out, "--alpha", 1.5), 2, "1.5"),
        ((photo, painting, "-o", out, "--content-mask", wide), 1, "same proportions"),
        ((photo, "-s", painting, "-s", painting, "-o", out, "--style-mask", wide), 2, "1 times --style-mask for 2"),
        ((photo, "-s", f"{painting}:-1", "-o", out), 2, "-1"),
        ((photo, "-s", f"{painting}:0", "-o", out), 1, "weights"),
        ((photo, painting, "-o", tmp_path / "no" / "out.png"), 1, "no folder"),
        ((photo, painting, "-o", out, "--model", "inverse"), 1, "wanted weights of inverse"),
        ((photo, painting, "-o", out, "--model", "nothing"), 2, "no model 'nothing'; there are adaattn, adain"),
        ((photo, painting, "-o", out, "--model", "adain,patch=5"), 2, "adain has no option 'patch'"),
        ((photo, painting, "-o", out, "--encoder", "vgg16"), 2, "no encoder 'vgg16'"),
        ((photo, painting, "-o", out, "--max-pixels", 100), 1, "the limit is 100"),
        ((photo.parent, painting, "-o", photo.parent), 2, "wanted another folder"),
    ):
        code, said = run(*arguments, "--quiet")
        assert (code, said.count("\n")) == (status, 1) and message in said, said
        assert not out.exists()


def test_a_pictures_transparency_is_kept(weights, painting):
    model = adain.build(weights)
    alpha = torch.rand(1, 1, 50, 40)
    painted = Painter(model, [StyleSource(read(painting))], size_px=100)(Picture(torch.rand(1, 3, 50, 40), alpha))
    assert painted.image.shape == (1, 3, 100, 80) and painted.alpha.shape == (1, 1, 100, 80)


@pytest.mark.parametrize("colour", [None, "luma", "linear"])
def test_pictures_painted_together_are_painted_as_each_alone(weights, painting, colour):
    painter = Painter(adain.build(weights), [StyleSource(read(painting))], colour=colour)
    small, large = torch.rand(8, 3, 48, 64), torch.empty(1, 3, 1080, 1920)
    assert painter.together(large) == 1
    count = painter.together(small)
    assert count == 1 if colour == "linear" else count > 4  # there the style is another for every picture
    both = painter(Picture(small[:count])).image
    for image, one in zip(small.split(1), both.split(1), strict=False):
        torch.testing.assert_close(painter(Picture(image)).image, one, atol=1e-5, rtol=0)


def test_regions_are_painted_like_the_points_they_are_paired_with(weights, run, photo, painting, tmp_path):
    sources = regions(read(painting), read(photo), [((80, 10), (10, 10))])
    assert len(sources) == 2
    total = sources[0].content_mask + sources[1].content_mask
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-6, rtol=0)
    run(photo, painting, "-o", tmp_path / "plain.png")
    assert run(photo, painting, "-o", tmp_path / "region.png", "--region", "80,10:10,10")[0] == 0
    assert not same(tmp_path / "plain.png", tmp_path / "region.png")
    for region, status, message in (
        ("80,10", 2, "wanted x,y:x,y"),
        ("900,10:1,1", 1, "the point 900,10 is outside a picture of 90 x 72 px"),
    ):
        code, said = run(photo, painting, "-o", tmp_path / "no.png", "--region", region)
        assert code == status and message in said
