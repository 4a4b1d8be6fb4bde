"""Texture synthesis and content reconstruction: jobs with one side left out."""

import pytest
import torch
from PIL import Image as Pillow

from gatys_lab import catalog, cli
from gatys_lab.errors import UnknownName
from gatys_lab.images import read, resize
from gatys_lab.objective import content, smoothness, style
from gatys_lab.starts import enlarged_around
from gatys_lab.styles import Style
from gatys_lab.texture import prepare_reconstruction, prepare_texture, reconstruct, texture, wrapped

QUICK = {"evaluations": 8, "single_scale": True, "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0}}
PATCHES = ("mrf", "style-swap")  # which end at the edges; style swap's target holds a photo besides
every_texture = pytest.mark.parametrize("name", [n for n in catalog.names("losses") if n not in PATCHES])


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as done:
        cli.main([str(a) for a in arguments])
    return done.value.code, capsys.readouterr().err


def step_across(image, dim):
    """Mean absolute difference of the last row or column to the first, over that of neighbours inside."""
    first, last = image.select(dim, 0), image.select(dim, image.shape[dim] - 1)
    return float((first - last).abs().mean() / image.diff(dim=dim).abs().mean())


@every_texture
def test_a_tile_rolled_has_the_same_loss(network, name):
    """By any number of cells of the deepest layer, and a picture that is no tile does not."""
    tile, look = torch.rand(1, 3, 32, 48, dtype=torch.float64), torch.rand(1, 3, 28, 28, dtype=torch.float64)
    wanted = style(name, ("relu1_1", "relu3_1")) + smoothness(around=True) + smoothness("l1", around=True)
    for seen, same in ((network.around(), True), (network, False)):
        fitted = wanted.fit(seen(tile, wanted.layers), network(look, wanted.layers))
        plain, rolled = (fitted(seen(x, wanted.layers)).total for x in (tile, tile.roll((8, 20), (2, 3))))
        assert (abs(float(plain - rolled)) < 1e-9 * float(plain)) == same
    assert network.padding == "reflect" and network.stride_px(("relu1_1", "relu3_1")) == 4


def test_smoothness_around_counts_the_seam():
    ramp = torch.linspace(0, 1, 8).expand(1, 3, 8, 8)
    seam = torch.tensor(1.0) / 8  # one step of 1 in a row of 8
    inside = torch.tensor((1 / 7) ** 2 * 7 / 8)
    found = smoothness(around=True).fit({}, {})({"input": ramp}).total
    torch.testing.assert_close(found, seam + inside)


@every_texture
def test_a_tile_has_no_seam(painting, name):
    options = QUICK | {"style_loss": name, "evaluations": 25, "tv": 1.0}
    tile = texture(painting, 48, 64, tileable=True, **options).pixels
    assert tile.shape == (1, 3, 48, 64)
    assert step_across(tile, 2) < 1.5 and step_across(tile, 3) < 1.5


def test_a_tile_from_coarse_to_fine_has_no_seam_and_a_texture_has(painting):
    smooth = resize(read(painting).image, 20)
    smooth = torch.nn.functional.interpolate(smooth, size=(80, 80), mode="bicubic").clamp(0, 1)
    options = QUICK | {"single_scale": False, "smallest_px": 24, "evaluations": 40, "tv": 3.0}
    job = prepare_texture(smooth, 96, 64, tileable=True, **options)
    assert job.sizes == (24, 48, 96)
    tile, plain = job.run().pixels, texture(smooth, 96, 64, **options).pixels
    for dim in (2, 3):
        assert step_across(tile, dim) < 1.6 < 2 < step_across(plain, dim)


def test_enlarging_a_tile_knows_what_is_beyond_its_edges():
    waves = torch.sin(torch.arange(16) * 2 * torch.pi / 16 + 1) / 3 + 0.5
    tile = waves.expand(1, 3, 32, 16).contiguous()
    larger = enlarged_around(tile, 32)
    middle = enlarged_around(tile.roll(8, 3), 32).roll(-16, 3)
    torch.testing.assert_close(larger, middle)
    assert larger.shape == (1, 3, 64, 32)


def test_a_texture_has_its_styles_statistics_and_grain(painting):
    job = prepare_texture(painting, 64, 96, **QUICK | {"evaluations": 20})
    assert [max(p.shape[2:]) for p in job._paintings(torch.empty(1, 3, 64, 96))] == [80]  # its own
    assert prepare_texture(painting, 64, 48, **QUICK).config.style_scale == 1.0  # no more than the result's
    assert prepare_texture(painting, 64, 96, style_px=48, **QUICK).config.style_scale == 0.5
    result = job.run()
    assert result.image.size == (96, 64) and result.trace[-1].total < 0.2 * result.trace[0].total
    assert {term.group for term in job.objective.terms} == {"gram", "tv"}


def test_several_styles_and_a_mask_make_a_texture(painting, photo):
    mask = torch.zeros(1, 1, 80, 80)
    mask[..., :40] = 1
    plain, masked, mixed = (
        texture(look, 48, 48, **QUICK).pixels
        for look in (painting, Style(painting, style_mask=mask), [painting, Style(photo, 0.5)])
    )
    assert not torch.equal(plain, masked) and not torch.equal(plain, mixed)


def test_wrapped():
    image = torch.arange(12.0).view(1, 1, 3, 4)
    assert wrapped(image, 5, 6)[0, 0].tolist() == [
        [0, 1, 2, 3, 0, 1],
        [4, 5, 6, 7, 4, 5],
        [8, 9, 10, 11, 8, 9],
        [0, 1, 2, 3, 0, 1],
        [4, 5, 6, 7, 4, 5],
    ]


def test_a_reconstruction_is_nearer_from_a_shallower_layer(photo):
    own, left = resize(read(photo).image, 64), []
    for layer in ("relu1_1", "relu3_1"):
        result = reconstruct(photo, {layer: 1.0}, size_px=64, evaluations=40)
        assert {name for row in result.trace for name in row.parts} <= {f"content {layer}", "outside [0, 1]"}
        left.append(float((result.pixels - own).square().mean().sqrt()))
    assert left[0] < 0.15 and left[0] < 0.7 * left[1]
    with_tv = prepare_reconstruction(photo, {"relu1_1": 2.0}, tv=0.5, size_px=64)
    assert [(t.group, t.factor) for t in with_tv.objective.terms] == [("content", 1.0), ("tv", 0.5)]


def test_what_makes_no_texture_is_said(painting, photo):
    cases = {
        "no option 'balance' here: a texture shows no photo": {"balance": 3.0},
        "the target of style-swap holds a photo": {"style_loss": "style-swap"},
        "the patches of mrf end at the edges": {"style_loss": "mrf", "tileable": True},
        "a tile of 71 x 64 px; for these layers its sides are multiples of 2": {"width": 71, "tileable": True},
        "a texture of 0 x 64 px": {"width": 0},
        "no option 'sise'": {"sise": 3},
    }
    for words, options in cases.items():
        options = QUICK | options
        with pytest.raises(ValueError, match=words):
            prepare_texture(painting, 64, options.pop("width", 64), **options)
    with pytest.raises(UnknownName, match="no option 'style_loss' here: a reconstruction has no style"):
        prepare_reconstruction(photo, {"relu1_1": 1.0}, style_loss="gram")


def test_from_the_command_line(capsys, painting, photo, tmp_path):
    out = tmp_path / "out.png"
    few = ["--evaluations", "3", "--quiet"]
    assert run(capsys, "texture", painting, "-o", out, "--size", "64x48", "--tileable", *few) == (0, "")
    assert Pillow.open(out).size == (64, 48)
    assert run(capsys, "texture", "-s", painting, "-s", f"{photo}:.2", "-o", out, "--size", "48", *few) == (0, "")
    assert Pillow.open(out).size == (48, 48)
    assert run(capsys, "reconstruct", photo, "-o", out, "--size", "48", "--layers", "relu2_1", *few) == (0, "")
    assert Pillow.open(out).size == (48, 38)
    for words, arguments, wanted in (
        ("'4x' is no size; wanted 512, or 640x384", ["texture", painting, "--size", "4x"], 2),
        ("multiples of 16", ["texture", painting, "--size", "50", "--tileable"], 1),
        ("give one STYLE", ["texture"], 2),
        ("no layer 'relu9_9'", ["reconstruct", photo, "--layers", "relu9_9"], 2),
    ):
        status, said = run(capsys, *arguments, "-o", out)
        assert status == wanted and words in said and len(said.splitlines()) == 1


def test_content_alone_is_the_plain_term(photo):
    job = prepare_reconstruction(photo, {"relu2_1": 1.0, "relu3_1": 0.5}, size_px=64)
    wanted = content({"relu2_1": 1.0, "relu3_1": 0.5})
    assert [(t.name, t.factor, t.share) for t in job.objective.terms] == [
        (t.name, t.factor, t.share) for t in wanted.terms
    ]
    assert job.sizes == (64,)
