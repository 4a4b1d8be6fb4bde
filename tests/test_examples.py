"""The example pictures: the script draws them, they are worth stylising with, and each one's source is written down."""

import importlib
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
STYLES = ("strokes", "ink", "mosaic")
SIZE = 128


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("styles")
    command = [sys.executable, str(EXAMPLES / "draw_styles.py"), str(folder), "--size", str(SIZE)]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    return folder


def shipped(name: str) -> np.ndarray:
    with Image.open(EXAMPLES / "images" / name) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", STYLES)
def test_script_draws_the_shipped_pictures(drawn: Path, name: str) -> None:
    with Image.open(drawn / f"{name}.png") as image:
        assert image.size == (SIZE, SIZE) and image.mode == "RGB"
        ours = np.asarray(image, np.float64)
    theirs = np.asarray(Image.fromarray(shipped(f"{name}.png")).resize((SIZE, SIZE), Image.Resampling.BOX), np.float64)
    ours, theirs = (gaussian_filter(x, (4, 4, 0)).ravel() for x in (ours, theirs))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9  # the same composition; single strokes differ with the size


def test_the_same_size_gives_the_same_picture(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    ink = importlib.import_module("styles.ink")

    with Image.open(drawn / "ink.png") as image:
        assert np.abs(np.asarray(image, int) - ink.draw(SIZE)).mean() < 0.01
    assert np.abs(np.asarray(ink.draw(SIZE, seed=1), int) - ink.draw(SIZE)).mean() > 5


@pytest.mark.parametrize("name", STYLES)
def test_style_pictures_have_texture_at_several_scales_and_a_palette(name: str) -> None:
    picture = shipped(f"{name}.png") / 255
    assert picture.shape == (640, 640, 3)
    blurred = [gaussian_filter(picture, (sigma, sigma, 0)) for sigma in (0.0, 1.5, 5.0, 15.0, 45.0)]
    bands = [float((fine - coarse).std()) for fine, coarse in itertools.pairwise(blurred)]
    assert min(bands) > 0.04, bands  # a smooth gradient has 0 in the fine bands, noise next to 0 in the coarse ones
    colours, counts = np.unique((picture * 5.999).astype(int).reshape(-1, 3), axis=0, return_counts=True)
    assert (counts > 0.002 * counts.sum()).sum() >= 20 and len(colours) > 40


@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg"])
def test_photographs_are_there(name: str) -> None:
    assert max(shipped(name).shape) >= 451


def test_every_picture_has_its_source_and_the_folder_is_small() -> None:
    files = [path for path in (EXAMPLES / "images").iterdir() if path.name != "SOURCES.md"]
    listed = (EXAMPLES / "images" / "SOURCES.md").read_text(encoding="utf-8")
    assert len(files) >= 7
    assert [path.name for path in files if f"| {path.name} |" not in listed] == []
    assert sum(path.stat().st_size for path in files) < 3_000_000
