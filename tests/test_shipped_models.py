"""The weights in the package: small, of the embedded encoder, described by a card, and good for pictures."""

import hashlib
from pathlib import Path

import pytest
import torch

from gatys_lab import cli
from gatys_lab.config import STYLE_LAYERS
from gatys_lab.images import read, resize
from gatys_lab.models import adaattn, load_model
from gatys_lab.models._files import EMBEDDED
from gatys_lab.networks import lite
from gatys_lab.objective import content, style

IMAGES = Path(__file__).parents[1] / "examples" / "images"
OPTIONS = {"adaattn-cosine": "adaattn,form=cosine"}  # what is typed where it is not the file's name
NAMES = [file.stem for file in sorted(EMBEDDED.glob("*.safetensors"))]
MIB = 2**20


def file_of(name):
    return EMBEDDED / f"{name}.safetensors"


def test_they_are_small():
    assert set(NAMES) == {"adaattn", "adaattn-cosine", "adain", "inverse"}
    sizes = [file_of(name).stat().st_size for name in NAMES]
    assert max(sizes) <= 4 * MIB and sum(sizes) <= 16 * MIB


@pytest.mark.parametrize("name", NAMES)
def test_a_card_stands_beside_them(name):
    card = file_of(name).with_suffix(".md").read_text(encoding="utf-8")
    assert hashlib.sha256(file_of(name).read_bytes()).hexdigest() in card
    for word in ("gatys-lab train", "photographs", "Licence", "steps"):
        assert word in card, word


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("photo", "painting"), [("astronaut.jpg", "strokes.png"), ("coffee.jpg", "mosaic.png")])
def test_they_paint_the_style_and_keep_the_content(name, photo, painting):
    """Colours and textures come nearer to the painting's; what is kept is nearer to the photograph than another is."""
    model, network = load_model(file_of(name)), lite.build()
    photo, painting, other = (resize(read(IMAGES / file).image, 256) for file in (photo, painting, "rocket.jpg"))
    with torch.no_grad():
        picture = model(photo, model.style_of(painting))
        assert picture.shape == photo.shape and torch.isfinite(picture).all()
        look = style("bn", STYLE_LAYERS)
        fitted = look.fit(network(photo, look.layers), network(painting, look.layers))
        before, after = (float(fitted(network(image, look.layers)).total) for image in (photo, picture))
        assert after < 0.7 * before
        kept = content("relu4_1").fit(network(photo, ("relu4_1",)), {})
        strange = torch.nn.functional.interpolate(other, photo.shape[2:])
        here, there = (float(kept(network(image, ("relu4_1",))).total) for image in (picture, strange))
        assert here < there


@pytest.mark.parametrize("name", NAMES)
def test_without_style_the_photograph_comes_back_about(name):
    model = load_model(file_of(name))
    photo = resize(read(IMAGES / "coffee.jpg").image, 200)
    with torch.no_grad():
        again = model(photo, model.style_of(photo), 0.0)
    assert (again - photo).abs().mean() < 0.22
    assert torch.corrcoef(torch.stack([again.flatten(), photo.flatten()]))[0, 1] > 0.6


@pytest.mark.parametrize("name", NAMES)
def test_the_command_needs_nothing_but_two_pictures(name, tmp_path, capsys):
    out = tmp_path / "out.png"
    arguments = [
        IMAGES / "chelsea.jpg",
        IMAGES / "ink.png",
        "-o",
        out,
        "--model",
        OPTIONS.get(name, name),
        "--size",
        128,
    ]
    with pytest.raises(SystemExit) as done:
        cli.main(["fast", *map(str, arguments)])
    assert done.value.code == 0, capsys.readouterr().err
    assert max(read(out).image.shape[2:]) == 128


def test_adaattn_is_there_in_two_forms():
    assert adaattn.build().form == "softmax" and adaattn.build(form="cosine").form == "cosine"
    with pytest.raises(ValueError, match="trained with softmax attention, not cosine"):
        adaattn.build(file_of("adaattn"), form="cosine")
    with pytest.raises(ValueError, match="no weights of AdaAttN with attention 'sanet'; there are softmax, cosine"):
        adaattn.build(form="sanet")
