"""Comparing: what is varied, the cross table's 0 and 1, and what is painted again."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from skimage.metrics import structural_similarity

from gatys_lab import catalog, devices, metrics
from gatys_lab.compare import _run, _store, compare
from gatys_lab.compare._judge import METRICS, Judge, judges
from gatys_lab.compare._plan import plan
from gatys_lab.compare._store import Painted, Store
from gatys_lab.config import COMPARED, STARTS
from gatys_lab.digests import picture_digest
from gatys_lab.errors import UnknownName
from gatys_lab.images import as_image, read, resize
from gatys_lab.job import Job, stylize
from gatys_lab.networks import lite
from gatys_lab.specs import parse_grid, parse_loss, parse_mixture

QUICK = {"size_px": 48, "evaluations": 3}
LOSSES = catalog.names("losses")


def labels(rows):
    return [[way.label for way in row] for row in rows]


def mixtures(*texts):
    return [parse_mixture(text) for text in texts]


def grids(*texts):
    return [parse_grid(text) for text in texts]


# --- what is compared


def test_the_usual_losses_alone_are_what_is_compared_by_default():
    (row,) = plan(None)
    assert [way.label for way in row] == [way.caption for way in row] == list(COMPARED)
    assert [way.options["style_loss"][0].name for way in row] == list(COMPARED)


def test_mixtures_and_models():
    (row,) = plan(mixtures("gram+bn:0.5", "mmd-poly,degree=3"), [parse_loss("adain,alpha=0.5")])
    assert [way.label for way in row] == ["gram + 0.5 bn", "mmd-poly degree=3", "adain alpha=0.5"]
    assert [(s.name, s.weight) for s in row[0].options["style_loss"]] == [("gram", 1), ("bn", 0.5)]
    assert row[2].model.name == "adain" and row[2].model.options == {"alpha": 0.5}


def test_one_grid_gives_a_row_a_loss_and_models_a_row_of_their_own():
    rows = plan(mixtures("gram", "bn"), [parse_loss("adain")], grids("balance=0.3,1,3"))
    assert labels(rows) == [
        ["gram, balance 0.3", "gram, balance 1", "gram, balance 3"],
        ["bn, balance 0.3", "bn, balance 1", "bn, balance 3"],
        ["adain"],
    ]
    assert [way.options["balance"] for way in rows[0]] == [0.3, 1, 3]
    assert [way.caption for way in rows[0]] == [way.label for way in rows[0]]


def test_two_grids_make_a_table_whose_captions_leave_out_what_all_share():
    rows = plan(mixtures("mmd-gaussian"), grids=grids("sigma=0.5,2", "layers=relu1_1,relu1_1+relu2_1:2"))
    assert [[way.caption for way in row] for row in rows] == [
        ["sigma 0.5, layers relu1_1", "sigma 0.5, layers relu1_1 + relu2_1:2"],
        ["sigma 2, layers relu1_1", "sigma 2, layers relu1_1 + relu2_1:2"],
    ]
    last = rows[1][1]
    assert last.label == "mmd-gaussian, sigma 2, layers relu1_1 + relu2_1:2"
    assert last.options["style_loss"][0].options == {"bandwidth": 2}
    assert last.options["style_layers"] == {"relu1_1": 1, "relu2_1": 2}


def test_by_default_a_grid_takes_the_losses_that_it_means_something_to():
    assert [row[0].label for row in plan(None, grids=grids("degree=1,2"))] == ["mmd-poly, degree 1"]
    assert "style-swap" not in {row[0].options["style_loss"][0].name for row in plan(None, grids=grids("balance=1,2"))}
    assert len(plan(None, grids=grids("tv=0,1"))) == len(COMPARED)
    (row,) = plan(None, grids=grids("directions=8,16"))  # an option of none of the usual ones
    assert [way.label for way in row] == ["sliced-wasserstein, directions 8", "sliced-wasserstein, directions 16"]


def test_in_a_mixture_an_option_goes_to_those_who_take_it():
    ((way, _),) = plan(mixtures("gram+mmd-poly,c=1"), grids=grids("degree=1,2"))
    assert [spec.options for spec in way.options["style_loss"]] == [{}, {"c": 1, "degree": 1}]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((mixtures("gram"), [], grids("sigma=1,2")), UnknownName, "gram: it has no option 'sigma'; leave one of them"),
        ((mixtures("style-swap"), [], grids("balance=1,2")), UnknownName, "its target carries the content"),
        ((None, [], grids("colour=red")), UnknownName, "no loss takes colour; there are balance, layers"),
        ((mixtures("gram"), [], grids("balance=-1")), ValueError, "balance: '-1'; wanted a number of at least 0"),
        ((mixtures("gram"), [], grids("style-scale=0")), ValueError, "wanted a number above 0"),
        ((mixtures("gram"), [], grids("precision=fp16,fp32")), ValueError, "'fp16'; wanted fp32 or bf16"),
        ((mixtures("gram"), [], grids("evaluations=1.5")), ValueError, "wanted a whole number of at least 2"),
        ((mixtures("gram"), [], grids("init=noise,none.png")), ValueError, "init: 'none.png'; wanted content, noise"),
        ((mixtures("gram", "gram")), ValueError, "'gram' twice"),
        ((mixtures("gram"), [parse_loss("adein")]), UnknownName, "no model 'adein'; there are adaattn, adain"),
        ((mixtures("gram"), [parse_loss("adain:0.5")]), ValueError, "wanted adain,alpha=0.5"),
        ((mixtures("gram"), [parse_loss("adain,alpha=2")]), ValueError, r"wanted 0 \(the photo\) to 1"),
        ((mixtures("gram"), [], grids("tv=1", "tv=2")), ValueError, "wanted one, or two that differ"),
        (([], []), ValueError, "nothing to compare"),
    ],
)
def test_what_cannot_be_varied_is_said(arguments, error, words):
    arguments = (arguments,) if isinstance(arguments, list) else arguments
    with pytest.raises(error, match=words):
        plan(*arguments)


# --- the cross table


@pytest.fixture
def judge(photo, painting):
    own = resize(read(photo).image, 64), resize(read(painting).image, 56)
    return Judge(lite.build(), *own, judges(mixtures(*LOSSES)))


def test_1_is_the_photo_and_0_the_style_by_every_loss(judge):
    untouched = judge(judge.photo)
    assert list(untouched.style) == list(LOSSES)
    assert untouched.style == pytest.approx(dict.fromkeys(LOSSES, 1.0), abs=1e-5)
    style = judge.network(judge.painting, judge.layers)
    alone = {name: scales for name, scales in judge.scales.items() if name != "style-swap"}
    for name, scales in alone.items():
        assert float(sum(scale(style) for scale in scales)) == pytest.approx(0, abs=1e-4), name


def test_judges_are_the_usual_losses_and_what_takes_part():
    assert tuple(judges([])) == COMPARED
    assert set(judges(mixtures("gram+mrf,patch=2"))) == {*COMPARED, "mrf"}


def test_0_is_style_swaps_target(judge):
    (scale,) = judge.scales["style-swap"]
    assert judge.style({**judge.kept, scale.layer: scale.target})["style-swap"] == pytest.approx(0, abs=1e-6)


def test_a_score_is_what_the_loss_says_between_the_two(judge):
    picture = (0.5 * judge.photo + 0.3).clamp(0, 1)
    features, style = (judge.network(image, judge.layers) for image in (picture, judge.painting))
    loss, wanted = catalog.load("losses", "gram"), []
    for layer in ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"):
        target = loss.fit(style[layer], judge.kept[layer])
        wanted.append(float(loss(features[layer], target) / loss(judge.kept[layer], target)))
    scores = judge(picture)
    assert scores.style["gram"] == pytest.approx(np.mean(wanted), rel=1e-5)
    alone = [scores.style[name] for name in LOSSES if name != "style-swap"]
    assert scores.style_left == pytest.approx(np.mean(alone))


def test_estimates_that_are_not_0_at_the_style_are_0_there_too(photo, painting):
    own = resize(read(photo).image, 64), resize(read(painting).image, 56)
    losses = {"linear": catalog.load("losses", "mmd-gaussian", estimator="linear")}
    linear = Judge(lite.build(), *own, losses, {"relu2_1": 1.0})
    (scale,) = linear.scales["linear"]
    assert float(scale(linear.kept)) == pytest.approx(1)
    assert float(scale.zero) == pytest.approx(float(scale.loss(*_fitted_to_itself(scale.loss, linear))))


def _fitted_to_itself(loss, judge):
    style = judge.network(judge.painting, judge.layers)["relu2_1"]
    return style, loss.fit(style, style)


def test_where_photo_and_style_are_one_there_is_nothing_to_measure(photo):
    own = resize(read(photo).image, 64)
    scores = Judge(lite.build(), own, own, {"gram": catalog.load("losses", "gram")})(own)
    assert np.isnan(scores.style["gram"]) and scores.metrics["features"] == 0


def test_the_metrics_are_those_of_the_library(judge):
    picture = (0.5 * judge.photo + 0.3).clamp(0, 1)
    scores = judge(picture).metrics
    assert list(scores) == list(METRICS)
    grey = [x[0].permute(1, 2, 0).double().numpy() @ [0.299, 0.587, 0.114] for x in (picture, judge.photo)]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    assert scores["ssim"] == pytest.approx(structural_similarity(*grey, **options), abs=1e-4)
    assert scores["histogram"] == pytest.approx(float(metrics.colour_histogram(picture, judge.painting)))
    here, there = ({"relu4_2": lite.build()(x, ("relu4_2",))["relu4_2"]} for x in (picture, judge.photo))
    assert scores["features"] == pytest.approx(float(metrics.feature_distance(here, there)), rel=1e-4)


# --- runs


def test_the_conditions_are_the_same_for_all(photo, painting, runs):
    found = compare(
        photo, painting, losses=["gram", "bn"], seed=3, balance=2.0, init="noise", precision="fp32", **QUICK
    )
    one, other = ({**vars(config), "style_loss": None} for config in runs)
    assert one == other and (one["seed"], one["balance"], one["init"], one["evaluations"]) == (3, 2.0, "noise", 3)
    assert (
        found.conditions
        == "start: noise, seed 3, 3 evaluations at 48 px, balance 2, lbfgs, on lite-1, in fp32; judged on lite-1"
    )
    alone = stylize(photo, painting, style_loss="bn", seed=3, balance=2.0, init="noise", precision="fp32", **QUICK)
    painted = found.pairs[0].results[1].painted
    assert np.array_equal(np.asarray(painted.image), np.asarray(alone.image))
    assert painted.curve["total"] == pytest.approx([row.total for row in alone.trace], rel=1e-6)


def test_a_grid_is_left_out_of_the_conditions_and_a_single_loss_named(photo, painting):
    found = compare(photo, painting, losses=["gram"], grids=["balance=0,5"], **QUICK)
    assert (
        found.conditions.startswith("gram, start: content, seed 0, 3 evaluations") and "balance" not in found.conditions
    )
    none, some = (result.scores for result in found.pairs[0].results)
    assert none.style_left > some.style_left and none.metrics["ssim"] > some.metrics["ssim"]


def test_the_precision_is_the_same_for_all_and_the_judge_sees_in_32_bits(photo, painting, monkeypatch, runs):
    monkeypatch.setattr(devices, "precision", lambda name, network, layers: "bf16" if name == "auto" else name)
    judged, init = [], Judge.__init__

    def spy(self, network, *arguments):
        judged.append(next(network.parameters()).dtype)
        init(self, network, *arguments)

    monkeypatch.setattr(Judge, "__init__", spy)
    for losses, wanted in ((["gram", "bn"], "bf16"), (["gram", "style-swap"], "fp32")):
        found = compare(photo, painting, losses=losses, **QUICK)
        assert [config.precision for config in runs[-2:]] == [wanted] * 2 and f"in {wanted};" in found.conditions
    compare(photo, painting, losses=["gram"], grids=["precision=fp32,bf16"], **QUICK)
    assert [config.precision for config in runs[-2:]] == ["fp32", "bf16"]
    assert set(judged) == {torch.float32}


def test_style_swap_is_said_to_have_no_balance(photo, painting):
    assert (
        "balance 5 (style-swap without)" in compare(photo, painting, losses=["gram", "style-swap"], **QUICK).conditions
    )


def test_what_is_done_is_not_done_again(photo, painting, tmp_path, runs):
    def again(losses, **options):
        before = len(runs)
        found = compare(photo, painting, losses=losses, folder=tmp_path / "kept", **{**QUICK, **options})
        return len(runs) - before, found

    count, first = again(["gram", "bn"])
    assert count == 2
    count, second = again(["bn", "gram", "mmd-linear"])
    assert count == 1 and runs[-1].style_loss[0].name == "mmd-linear"
    one, other = first.pairs[0].results[1], second.pairs[0].results[0]
    assert one.label == other.label == "bn" and one.scores == other.scores and one.painted.curve == other.painted.curve
    assert np.array_equal(np.asarray(one.painted.image), np.asarray(other.painted.image))
    for options in ({"evaluations": 4}, {"seed": 1}, {"balance": 2.0}, {"pooling": "avg"}, {"size_px": 50}):
        assert again(["gram", "bn"], **options)[0] == 2, options
    assert again(["gram", "bn"], max_pixels=10**6)[0] == 0  # which decides nothing


def test_another_picture_of_the_same_name_is_painted_anew(photo, painting, tmp_path, runs):
    arguments = {"losses": ["gram"], "folder": tmp_path / "kept", **QUICK}
    compare(photo, painting, **arguments)
    Pillow.open(painting).rotate(90).save(painting)
    compare(photo, painting, **arguments)
    assert len(runs) == 2
    Pillow.open(painting).save(tmp_path / "copy.bmp")
    compare(photo, tmp_path / "copy.bmp", **arguments)  # the same pixels under another name
    assert len(runs) == 2


def test_a_loss_file_that_changed_is_painted_anew(photo, painting, tmp_path, runs):
    own = tmp_path / "own.py"
    source = "from gatys_lab.losses import {0}\n\ndef build():\n    return {0}.build()\n"
    for module, count in (("gram", 1), ("gram", 1), ("bn", 2)):
        own.write_text(source.format(module))
        found = compare(photo, painting, losses=[str(own)], folder=tmp_path / "kept", **QUICK)
        assert len(runs) == count
    assert str(own) in found.pairs[0].untouched.style  # a loss of one's own is a judge, too


def test_other_code_is_another_run(monkeypatch, tmp_path):
    before = _store.key_of(seed=1)
    assert before == _store.key_of(seed=1) != _store.key_of(seed=2)
    monkeypatch.setattr(_store, "_code", lambda: "another")
    assert _store.key_of(seed=1) != before


@pytest.mark.parametrize(
    "damage", ["no picture", "cut picture", "another picture", "cut record", "empty record", "old"]
)
def test_what_is_damaged_is_done_again(damage, photo, painting, tmp_path, runs):
    kept = tmp_path / "kept"
    compare(photo, painting, losses=["gram", "bn"], folder=kept, **QUICK)
    picture, record = sorted(kept.glob("*.png"))[0], sorted(kept.glob("*.json"))[0]
    assert picture.stem == record.stem
    if damage == "no picture":
        picture.unlink()
    elif damage == "cut picture":
        picture.write_bytes(picture.read_bytes()[:-40])
    elif damage == "another picture":
        Pillow.new("RGB", (48, 38)).save(picture)
    elif damage == "cut record":
        record.write_bytes(record.read_bytes()[:-9])
    else:
        record.write_text("{}" if damage == "empty record" else json.dumps({"sha256": 1, "curve": 3}))
    compare(photo, painting, losses=["gram", "bn"], folder=kept, **QUICK)
    assert len(runs) == 3
    compare(photo, painting, losses=["gram", "bn"], folder=kept, **QUICK)
    assert len(runs) == 3


@pytest.mark.parametrize("where", ["in a run", "between"])
def test_interrupted_it_keeps_what_is_done(where, photo, painting, tmp_path, monkeypatch, runs):
    counted = Job.run

    def third_time_interrupted(self, callbacks=()):
        result = counted(self, callbacks)
        if len(runs) == 3 and where == "between":
            raise KeyboardInterrupt
        return type(result)(**{**vars(result), "reason": "interrupted"}) if len(runs) == 3 else result

    monkeypatch.setattr(Job, "run", third_time_interrupted)
    arguments = {"losses": ["gram", "bn", "mmd-linear", "mmd-poly"], "folder": tmp_path / "kept", **QUICK}
    with pytest.raises(KeyboardInterrupt):
        compare(photo, painting, **arguments)
    assert len(runs) == 3
    compare(photo, painting, **arguments)
    assert [config.style_loss[0].name for config in runs[3:]] == ["mmd-linear", "mmd-poly"]


def test_an_entry_that_could_not_be_written_whole_does_not_count(tmp_path, monkeypatch):
    store, curve = Store(tmp_path / "kept"), {name: [] for name in _store.CURVE}
    painted = Painted(Pillow.new("RGB", (8, 6), "red"), "budget", 3, 0.5, curve)

    def full(path, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_store, "write_whole", full)
        with pytest.raises(OSError, match="No space"):
            store.save("key", painted)
    assert store.load("key") is None
    store.save("key", painted)
    loaded = store.load("key")
    assert (loaded.reason, loaded.evaluations, loaded.seconds, loaded.curve) == ("budget", 3, 0.5, curve)
    assert loaded.image.getpixel((3, 3)) == (255, 0, 0)


def test_models_paint_at_the_same_size_without_evaluations(photo, painting, tmp_path, monkeypatch, runs):
    arguments = {"losses": ["gram"], "models": ["adain", "adain,alpha=0"], "folder": tmp_path / "kept", **QUICK}
    results = compare(photo, painting, **arguments).pairs[0].results
    assert len(runs) == 1 and [r.painted.evaluations for r in results] == [3, 0, 0]
    assert {r.painted.image.size for r in results} == {(48, 38)}
    assert results[1].scores.metrics["features"] > results[2].scores.metrics["features"]
    monkeypatch.setattr(_run, "_by_model", None)  # would fail if it were called again
    compare(photo, painting, **arguments)


def test_every_photo_meets_every_painting(photo, painting, tmp_path):
    other = tmp_path / "other.png"
    Pillow.open(photo).rotate(180).crop((0, 0, 64, 72)).save(other)
    found = compare([photo, other], [painting], losses=["gram"], **QUICK)
    assert [pair.title for pair in found.pairs] == [
        "photo in the manner of painting",
        "other in the manner of painting",
    ]
    assert [pair.results[0].painted.image.size for pair in found.pairs] == [(48, 38), (43, 48)]
    with pytest.raises(ValueError, match="twice; name each photo once"):
        compare([photo, photo], painting, losses=["gram"], **QUICK)


def test_what_cannot_be_compared_is_said(photo, painting, runs):
    with pytest.raises(UnknownName, match="no option 'style_weight' that could be the same for all"):
        compare(photo, painting, style_weight=3.0)
    with pytest.raises(ValueError, match="a grid varies balance, and one is given for all"):
        compare(photo, painting, balance=3.0, grids=["balance=1,2"])
    with pytest.raises(UnknownName, match="no layer 'relu9_9'"):
        compare(photo, painting, losses=["gram"], grids=["layers=relu1_1,relu9_9"], **QUICK)
    with pytest.raises(UnknownName, match="no network 'resnet'"):
        compare(photo, painting, losses=["gram"], judge="resnet", **QUICK)
    assert not runs  # all of it before the first run


def test_pictures_of_the_same_pixels_in_another_shape_differ():
    wide, high = (as_image(Pillow.new("RGB", size, "red")) for size in ((60, 40), (40, 60)))
    assert picture_digest(wide) != picture_digest(high) == picture_digest(as_image(Pillow.new("RGB", (40, 60), "red")))


def test_transparency_is_painted_kept_and_shown(tmp_path, painting, runs):
    pixels = np.full((48, 56, 4), 200, np.uint8)
    pixels[:20, :, 3], pixels[20:, ::3, 0], pixels[20:, :, 3] = 0, 90, 255
    Pillow.fromarray(pixels, "RGBA").save(tmp_path / "cut.png")
    arguments = {"losses": ["gram"], "models": ["adain"], "folder": tmp_path / "kept", **QUICK}
    fresh, kept = (compare(tmp_path / "cut.png", painting, **arguments) for _ in range(2))
    assert len(runs) == 1
    for one, other in zip(fresh.pairs[0].results, kept.pairs[0].results, strict=True):
        for image in (one.painted.image, other.painted.image):
            assert image.mode == "RGBA" and image.getpixel((5, 5))[3] == 0 and image.getpixel((5, 35))[3] == 255
        assert one.scores.style == pytest.approx(other.scores.style, rel=1e-4)
    assert all(file.stat().st_size for file in kept.write(tmp_path / "sheet.png"))


def test_a_grid_knows_every_word_for_a_beginning():
    rows = plan(mixtures("gram"), [], grids("init=" + ",".join(STARTS)))
    assert [way.options["init"] for row in rows for way in row] == list(STARTS)
