"""Several styles in one job: weights, scales and losses of their own, with every style loss."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from gatys_lab import catalog, cli, stylize
from gatys_lab.images import read, resize
from gatys_lab.job import prepare
from gatys_lab.losses import bn
from gatys_lab.models import adain
from gatys_lab.objective import content, smoothness, style
from gatys_lab.specs import parse_mixture
from gatys_lab.styles import Style, divided, gather

QUICK = {"size_px": 64, "evaluations": 4, "smallest_px": 32}
LAYERS = ("relu1_1", "relu3_1")


@pytest.fixture
def other(tmp_path):
    """A file of diagonal stripes, 96 x 70."""
    stripes = torch.arange(96)[None] + torch.arange(70)[:, None]
    pixels = torch.stack([stripes % 16 * 15, stripes % 32 * 8, 255 - stripes % 8 * 20], 2)
    Pillow.fromarray(pixels.byte().numpy()).save(tmp_path / "other.png")
    return tmp_path / "other.png"


@pytest.mark.parametrize("name", catalog.names("losses"))
def test_the_loss_is_the_weighted_sum_of_each_styles(network, name):
    photo, one, two, x = (torch.rand(1, 3, h, 24, dtype=torch.float64) for h in (20, 28, 32, 20))
    whole = content("relu2_1") + 0.7 * style(name, LAYERS) + 0.3 * style(name, LAYERS, name="b", of=1)
    features = [network(picture, whole.layers) for picture in (photo, one, two)]
    found = whole.fit(*features)(network(x, whole.layers))
    parts = [style(name, LAYERS).fit(features[0], look)(network(x, LAYERS)).total for look in features[1:]]
    kept = content("relu2_1").fit(features[0])(network(x, ("relu2_1",))).total
    torch.testing.assert_close(found.total, kept + 0.7 * parts[0] + 0.3 * parts[1])


def test_only_layers_of_a_style_itself_are_asked_for():
    wanted = content("relu2_1") + style("gram", "relu1_1") + style("bn", "relu3_1", of=1) + smoothness()
    assert wanted.layers_of(style=True) == ("relu1_1", "relu3_1")
    assert wanted.layers_of(style=True, of=1) == ("relu3_1",)
    assert wanted.layers_of(style=False) == ("relu2_1",)
    wanted += style("mmd-gaussian", "relu1_2")  # whose bandwidth is measured between the two pictures
    assert wanted.layers_of(style=False) == ("relu2_1", "relu1_2")


def test_a_list_of_one_is_that_style(photo, painting):
    alone = stylize(photo, painting, **QUICK)
    for form in ([painting], [Style(painting, 0.2)], Style(painting), (painting,)):
        assert torch.equal(stylize(photo, form, **QUICK).pixels, alone.pixels)


@pytest.mark.parametrize("loss", catalog.names("losses"))
def test_weights_are_felt(photo, painting, other, loss):
    options = {"style_loss": loss, "style_layers": {"relu2_1": 1.0, "relu3_1": 1.0}, "single_scale": True, **QUICK}
    first, mostly, second = (
        stylize(photo, [Style(painting, w), Style(other, 1 - w)], **options).pixels for w in (1.0, 0.7, 0.0)
    )
    assert torch.equal(first, stylize(photo, painting, **options).pixels)
    assert torch.equal(second, stylize(photo, other, **options).pixels)
    near, far = (float((mostly - end).norm()) for end in (first, second))
    assert 0 < near < far


def test_each_style_has_its_scale_and_its_losses(photo, painting, other):
    styles = [Style(painting, 3, scale=0.6), Style(other, 1, loss={bn.build(): 1.0, "gram": 3.0})]
    job = prepare(photo, styles, style_scale=0.9, balance=8.0, style_loss="mmd-linear", **QUICK)
    assert [max(p.shape[2:]) for p in job._paintings(torch.zeros(1, 3, 40, 50))] == [30, 45]
    factors = {term.group: (term.of, term.factor) for term in job.objective.terms if term.factor != 1}
    factors.pop("tv")
    wanted = {"mmd-linear of style 1": (0, 6), "BNStatistics of style 2": (1, 0.5), "gram of style 2": (1, 1.5)}
    assert factors == wanted
    assert job.run().reason == "budget"


def test_on_the_command_line_the_nth_loss_is_the_nth_styles(photo, painting, other, tmp_path, capsys):
    command = ["stylize", photo, "-s", painting, "-s", f"{other}:0.5", "-o", tmp_path / "out.png", "--quiet",
               "--size", 64, "--evaluations", 4, "--smallest", 32]  # fmt: skip
    words = [str(word) for word in (*command, "--own-loss", "gram", "--own-loss", "bn:0.5+mmd-gaussian")]
    with pytest.raises(SystemExit, match="0"):
        cli.main(words)
    own = [Style(painting, loss="gram"), Style(other, 0.5, loss=parse_mixture("bn:0.5+mmd-gaussian"))]
    wanted, plain = (stylize(photo, styles, **QUICK).image for styles in (own, [painting, Style(other, 0.5)]))
    assert np.array_equal(Pillow.open(tmp_path / "out.png"), wanted)
    assert not np.array_equal(wanted, plain)
    with pytest.raises(SystemExit, match="2"):
        cli.main(words[:-2])
    assert "1 times --own-loss for 2 styles: give one each, or none" in capsys.readouterr().err


def test_a_model_begins_with_all_styles(photo, painting, other):
    images = []
    styles = [Style(painting, 0.25), Style(other, 0.75, scale=0.8)]
    stylize(photo, styles, init="adain", callbacks=[lambda step: images.append(step.image.clone())], **QUICK)
    model = adain.build()
    looks = [model.style_of(resize(read(path).image, size)) for path, size in ((painting, 64), (other, 51))]
    wanted = model(resize(read(photo).image, 64), looks, weights=[0.25, 0.75])
    torch.testing.assert_close(images[0], wanted, atol=1e-5, rtol=0)


def test_what_is_no_set_of_styles_is_said(photo, painting):
    assert divided([1, 3]) == [0.25, 0.75]
    with pytest.raises(ValueError, match="no style; wanted at least one"):
        stylize(photo, [])
    for weights in ([-1.0, 2.0], [0.0], [float("inf")], [float("nan")]):
        with pytest.raises(ValueError, match="the styles' weights are"):
            divided(weights)
    with pytest.raises(ValueError, match="a style's scale is -1; wanted"):
        gather(Style(painting, scale=-1), 10_000)
    with pytest.raises(ValueError, match="painting 2 is 20 x 20 px at this size; lite needs 32 px"):
        stylize(photo, [painting, Style(painting, scale=20 / 64)], **QUICK)
