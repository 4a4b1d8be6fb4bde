"""Comparing: what is varied, the cross table's 0 and 1, what is painted again, and the four files."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw
from skimage.metrics import structural_similarity

from gatys_lab import catalog, cli, metrics
from gatys_lab.compare import _run, _store, compare
from gatys_lab.compare._curves import chart, part_lines, total_lines
from gatys_lab.compare._judge import METRICS, Judge, judges
from gatys_lab.compare._plan import plan
from gatys_lab.compare._sheet import MARKS, _drawable, places
from gatys_lab.compare._store import Painted, Store
from gatys_lab.config import Config
from gatys_lab.engine import FENCE
from gatys_lab.errors import UnknownName
from gatys_lab.images import read, resize
from gatys_lab.job import Job, stylize
from gatys_lab.networks import lite
from gatys_lab.specs import parse_grid, parse_loss, parse_mixture

QUICK = {"size_px": 48, "evaluations": 3}
LOSSES = catalog.names("losses")


@pytest.fixture
def runs(monkeypatch):
    """The configurations that the engine ran, one after the other."""
    seen, run = [], Job.run

    def counted(self, callbacks=()):
        seen.append(self.config)
        return run(self, callbacks)

    monkeypatch.setattr(Job, "run", counted)
    return seen


def labels(rows):
    return [[way.label for way in row] for row in rows]


def mixtures(*texts):
    return [parse_mixture(text) for text in texts]


def grids(*texts):
    return [parse_grid(text) for text in texts]


# --- what is compared


def test_every_loss_alone_is_what_is_compared_by_default():
    (row,) = plan(None)
    assert [way.label for way in row] == [way.caption for way in row] == list(LOSSES)
    assert [way.options["style_loss"][0].name for way in row] == list(LOSSES)


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
    assert len(plan(None, grids=grids("tv=0,1"))) == len(LOSSES)


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
        ((mixtures("gram"), [], grids("evaluations=1.5")), ValueError, "wanted a whole number of at least 2"),
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
    return Judge(lite.build(), *own, judges([]))


def test_1_is_the_photo_and_0_the_style_by_every_loss(judge):
    untouched = judge(judge.photo)
    assert list(untouched.style) == list(LOSSES)
    assert untouched.style == pytest.approx(dict.fromkeys(LOSSES, 1.0), abs=1e-5)
    style = judge.network(judge.painting, judge.layers)
    alone = {name: scales for name, scales in judge.scales.items() if name != "style-swap"}
    for name, scales in alone.items():
        assert float(sum(scale(style) for scale in scales)) == pytest.approx(0, abs=1e-4), name


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
    found = compare(photo, painting, losses=["gram", "bn"], seed=3, balance=2.0, init="noise", **QUICK)
    one, other = ({**vars(config), "style_loss": None} for config in runs)
    assert one == other and (one["seed"], one["balance"], one["init"], one["evaluations"]) == (3, 2.0, "noise", 3)
    assert (
        found.conditions
        == "start: noise, seed 3, 3 evaluations at 48 px, balance 2, lbfgs, on lite-1; judged on lite-1"
    )
    alone = stylize(photo, painting, style_loss="bn", seed=3, balance=2.0, init="noise", **QUICK)
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


def test_what_cannot_be_compared_is_said(photo, painting):
    with pytest.raises(UnknownName, match="no option 'style_weight' that could be the same for all"):
        compare(photo, painting, style_weight=3.0)
    with pytest.raises(ValueError, match="a grid varies balance, and one is given for all"):
        compare(photo, painting, balance=3.0, grids=["balance=1,2"])
    with pytest.raises(UnknownName, match="no layer 'relu9_9'"):
        compare(photo, painting, losses=["gram"], grids=["layers=relu1_1,relu9_9"], **QUICK)
    with pytest.raises(UnknownName, match="no network 'resnet'"):
        compare(photo, painting, losses=["gram"], judge="resnet", **QUICK)


# --- the four files


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two rows of two, and a model; with names that need care."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[0:72, 0:90] / 90
    Pillow.fromarray((np.stack([x, y, (x > y) * 0.8], 2) * 255).astype("uint8")).save(folder / "fjörd & <sea>.png")
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Pillow.fromarray(noise).resize((72, 80), Pillow.Resampling.NEAREST).save(folder / "painting.png")
    return compare(
        folder / "fjörd & <sea>.png", folder / "painting.png", losses=["gram", "bn"], models=["adain"],
        grids=["balance=1,10"], size_px=80, evaluations=4, smallest_px=40,
    )  # fmt: skip


@pytest.fixture(scope="module")
def files(found, tmp_path_factory):
    return found.write(tmp_path_factory.mktemp("out") / "sheet.png")


def test_there_are_four_files(files):
    assert [file.name for file in files] == ["sheet.png", "sheet.html", "sheet.csv", "sheet.json"]
    assert sorted(file.name for file in files[0].parent.iterdir()) == sorted(file.name for file in files)


def test_the_table_is_the_same_in_every_form(found, files):
    rows = list(csv.DictReader(io.StringIO(files[2].read_text())))
    whole = json.loads(files[3].read_text())
    (pair,) = whole["pairs"]
    names = ["gram, balance 1", "gram, balance 10", "bn, balance 1", "bn, balance 10", "adain"]
    assert [row["result"] for row in rows] == ["untouched photo", *names]
    assert [result["result"] for result in pair["results"]] == names
    assert pair["results"][1]["options"] == {"style_loss": "gram", "balance": 10}
    assert pair["results"][-1]["options"] == {"model": "adain"}
    for row, result, own in zip(rows[1:], pair["results"], found.pairs[0].results, strict=True):
        for name in LOSSES:
            assert (
                float(row[f"style by {name}"])
                == result["style"][name]
                == pytest.approx(own.scores.style[name], rel=1e-5)
            )
        for name in METRICS:
            assert float(row[name]) == result["metrics"][name] == pytest.approx(own.scores.metrics[name], rel=1e-5)
        assert int(row["evaluations"]) == result["evaluations"] == own.painted.evaluations
        assert row["reason"] == result["reason"] == own.painted.reason
    assert float(rows[0]["style left"]) == pytest.approx(1) and float(rows[0]["ssim"]) == pytest.approx(1)
    said = found.text()
    style = next(line for line in said.splitlines() if line.startswith("bn, balance 10"))
    assert style.split()[3:] == [f"{v:.2f}" for v in [*found.pairs[0].results[3].scores.style.values()]] + [
        f"{found.pairs[0].results[3].scores.style_left:.2f}"
    ]


def test_the_curves_are_those_of_the_runs(files):
    results = json.loads(files[3].read_text())["pairs"][0]["results"]
    assert results[-1]["curve"]["total"] == []  # the model's
    for result in results[:-1]:
        curve = result["curve"]
        assert curve["evaluation"] == list(range(1, 9)) and curve["size_px"] == [40] * 4 + [80] * 4
        assert curve["seconds"] == sorted(curve["seconds"])
        for i, total in enumerate(curve["total"]):
            assert sum(part[i] for part in curve["parts"].values()) == pytest.approx(total, rel=1e-3)
    assert not any("NaN" in file.read_text() for file in files[2:])


def test_what_is_not_there_is_empty_in_csv_and_null_in_json(photo, tmp_path):
    _, _, table, numbers = compare(photo, photo, losses=["gram"], **QUICK).write(tmp_path / "sheet.png")
    assert {row["style by gram"] for row in csv.DictReader(io.StringIO(table.read_text()))} == {""}
    assert json.loads(numbers.read_text())["pairs"][0]["untouched"]["style"]["gram"] is None


def test_the_sheet_shows_every_picture_with_its_caption_and_the_same_two_places(found, files, tmp_path, monkeypatch):
    written, write = [], ImageDraw.ImageDraw.text

    def spy(self, at, text, *rest, **more):
        written.append(text)
        return write(self, at, text, *rest, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    found.write(tmp_path / "sheet.png")
    pair = found.pairs[0]
    for words in ("photo", "style", "painting", "fjord & <sea>", *(result.way.caption for result in pair.results)):
        assert words in written
    for result in pair.results:
        s = result.scores
        note = f"style left {s.style_left:.2f} · SSIM {s.metrics['ssim']:.2f} · {result.painted.seconds:.1f}\u00a0s"
        assert note.replace("\u00a0", " ") in [text.replace("\u00a0", " ") for text in written]
    sheet = np.asarray(Pillow.open(files[0]).convert("RGB"), dtype=int)
    for result in (pair, *pair.results):
        picture = result.photo if result is pair else result.painted.image
        for box in places(pair.photo):
            crop = picture.convert("RGB").crop(box).resize((177, 177), Pillow.Resampling.LANCZOS)
            inner = np.asarray(crop, dtype=int)[60:110, 60:110]
            assert _contains(sheet, inner), result
    colours = [tuple(bytes.fromhex(mark[1:])) for mark in MARKS]
    assert all((sheet == colour).all(2).sum() > 500 for colour in colours)


def _contains(sheet, patch):
    """Whether a patch is somewhere in a picture, exactly."""
    height, width = patch.shape[:2]
    rows, columns = np.nonzero((sheet[: 1 - height, : 1 - width] == patch[0, 0]).all(2))
    return any(np.array_equal(sheet[y : y + height, x : x + width], patch) for y, x in zip(rows, columns, strict=True))


def test_the_places_are_where_the_detail_is_and_do_not_overlap():
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[10:20:2, 90:110], pixels[60:70:2, 10:30] = 255, 120
    one, other = places(Pillow.fromarray(pixels))
    assert one[0] <= 92 < 108 <= one[2] and one[1] <= 12 < 18 <= one[3]
    assert other[0] <= 12 < 28 <= other[2] and other[1] <= 62 < 68 <= other[3]
    assert all(right - left == bottom - top == 20 for left, top, right, bottom in (one, other))


def test_captions_are_in_signs_that_the_font_has():
    assert _drawable("fjörd × 3 – 海.") == "fjord ? 3 ? ?."


class Page(HTMLParser):
    """The tags of a page, with their attributes, checked to be closed."""

    EMPTY = ("meta", "img", "input")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_holds_every_picture_and_asks_for_nothing(found, files):
    text = files[1].read_text()
    page, pair = Page(text), found.pairs[0]
    shown = [attributes for tag, attributes in page.tags if tag == "img" and attributes.get("src")]
    wanted = [pair.photo, pair.painting, *(result.painted.image for result in pair.results)]
    assert len(shown) == len(wanted) == 7
    for attributes, picture in zip(shown, wanted, strict=True):
        kind, data = attributes["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        embedded = Pillow.open(io.BytesIO(base64.b64decode(data)))
        assert embedded.size == picture.size
        assert np.abs(np.asarray(embedded, int) - np.asarray(picture.convert("RGB"), int)).mean() < 4
    without = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", text)
    assert not re.search(r"(https?:)?//\w|@import|url\(|<link|<iframe|fetch\(|XMLHttp", without)
    assert {tag for tag, attributes in page.tags if "src" in attributes} == {"img"}
    assert not any("href" in attributes for _, attributes in page.tags)
    words = "".join(page.text)
    assert "fjörd & <sea> in the manner of painting" in words and "<sea>" not in without
    for result in pair.results:
        assert words.count(result.label) >= 4  # caption, both choices, table
        assert f"{result.scores.style['gram']:.2f}" in words
    charts = [
        attributes for tag, attributes in page.tags if tag == "svg" and "viewbox" in attributes and "role" in attributes
    ]
    assert len(charts) == 2 + 2 * 4  # all runs and each, over evaluations and over seconds


def test_a_chart_draws_what_it_is_given_and_leaves_out_what_has_no_logarithm():
    curve = {
        "evaluation": [1, 2, 3, 4, 5],
        "size_px": [32, 32, 64, 64, 64],
        "seconds": [0.1, 0.2, 0.4, 0.5, 0.6],
        "total": [9.0, 5.0, 4.0, -1.0, 1.0],
        "parts": {"gram relu1_1": [1.0] * 5, "gram relu2_1": [2.0] * 5, "content relu4_2": [0.0] * 5, FENCE: [7.0] * 5},
    }
    (line,) = total_lines({"run": curve}, "evaluation")
    assert (line.label, line.x, line.y) == ("run", [1, 2, 3], [1.0, -0.25, 0.25])
    assert total_lines({"run": curve}, "seconds")[0].x == pytest.approx([0.2, 0.3, 0.4])
    assert {part.label: list(part.y)[:1] for part in part_lines(curve, "seconds")} == {
        "total": [9.0],
        "gram": [3.0],
        "content": [0.0],
    }
    drawn = re.findall(r'<path d="([^"]*)" fill', chart([line], "evaluation", "loss"))
    assert drawn[0].count("M") == 2 and drawn[0].count("L") == 0  # broken at the negative value
    assert chart([], "evaluation", "loss") == ""


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PLAY = """<script>
const [first, second] = document.querySelectorAll("select"), range = document.querySelector(".slider input");
first.value = 6; first.dispatchEvent(new Event("change"));
range.value = 25; range.dispatchEvent(new Event("input"));
const [under, over] = document.querySelectorAll(".slider img"), pictures = document.querySelectorAll(".gallery img");
const seen = [over.alt, under.alt, over.src === pictures[6].src, under.src === pictures[second.value].src,
  getComputedStyle(over).clipPath, document.querySelectorAll(".gallery img").length,
  [...pictures].every((picture) => picture.complete && picture.naturalWidth > 0),
  performance.getEntriesByType("resource").filter((entry) => !entry.name.startsWith("data:")).length];
document.body.setAttribute("data-seen", JSON.stringify(seen));
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the page with; apt-get install chromium")
def test_the_slider_works_in_a_browser(files, tmp_path):
    played = tmp_path / "played.html"
    played.write_text(files[1].read_text().replace("</body>", PLAY))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", played.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "Uncaught" not in done.stderr
    seen = next(attributes["data-seen"] for tag, attributes in Page(done.stdout).tags if tag == "body")
    over, under, left, right, clip, count, loaded, asked = json.loads(seen)
    assert (over, under, left, right) == ("adain", "gram, balance 10", True, True)
    assert "75%" in clip and (count, loaded, asked) == (7, True, 0)


# --- the command


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as done:
        cli.main(["compare", *map(str, arguments)])
    said = capsys.readouterr()
    return done.value.code, said.out, said.err


SMALL = ("--size", 48, "--evaluations", 3)


def test_the_command_writes_all_and_does_only_what_is_missing(capsys, photo, painting, tmp_path, runs):
    out = tmp_path / "sheet.png"
    arguments = [photo, painting, "-o", out, "--style-loss", "gram", "--style-loss", "gram+bn:0.5", *SMALL]
    status, table, said = run(capsys, *arguments)
    assert status == 0 and len(runs) == 2, said
    assert (
        "gram + 0.5 bn" in table and "untouched photo" in table and "1/2  photo in the manner of painting: gram" in said
    )
    names = {file.name for file in tmp_path.iterdir()}
    assert {"sheet.png", "sheet.html", "sheet.csv", "sheet.json", "sheet.compare"} <= names
    out.unlink()
    status, again, said = run(capsys, *arguments, "--quiet")
    assert (status, again, said, len(runs)) == (0, "", "", 2) and out.is_file()


def test_every_option_reaches_the_runs(capsys, photo, painting, tmp_path, runs):
    other = tmp_path / "other.png"
    Pillow.open(painting).rotate(90).save(other)
    options = ["--style", other, "--grid", "degree=1,3", "--optimizer", "adam", "--seed", 7, "--init", "noise",
               "--tv", 0.1, "--style-layers", "relu1_1", "--content-layers", "relu3_1", "--single-scale",
               "--pooling", "avg", "--style-scale", 0.9, "--judge", "lite"]  # fmt: skip
    status, _, said = run(capsys, photo, painting, "-o", tmp_path / "s.png", *SMALL, *options)
    assert status == 0 and len(runs) == 4, said
    assert [config.style_loss[0].options for config in runs] == [{"degree": 1}, {"degree": 3}] * 2
    wanted = {
        "optimizer": "adam", "seed": 7, "init": "noise", "tv": 0.1, "style_layers": {"relu1_1": 1}, "pooling": "avg",
        "content_layers": {"relu3_1": 1}, "single_scale": True, "style_scale": 0.9, "size_px": 48, "evaluations": 3,
    }  # fmt: skip
    for config in runs:
        assert {name: getattr(config, name) for name in wanted} == wanted
        assert config.balance == Config().balance


BAD = {
    "no photo": (2, ["none.jpg", "{painting}"], "none.jpg"),
    "no grid": (2, ["--grid", "balance"], "wanted KEY=VALUE,VALUE"),
    "a value twice": (2, ["--grid", "balance=1,1"], "1 twice"),
    "unknown loss": (2, ["--style-loss", "grem"], "there are bn, gram"),
    "unknown key": (2, ["--grid", "colour=red"], "no loss takes colour"),
    "balance twice": (1, ["--grid", "balance=1,2", "--balance", "3"], "leave one of them out"),
    "raw weights": (2, ["--style-weight", "3"], "--style-weight"),
    "unknown model": (2, ["--model", "adein"], "there are adaattn, adain, inverse"),
    "unknown suffix": (1, ["-o", "{folder}/out.xyz"], ".png, .jpg, .webp or .tif"),
    "no folder": (1, ["-o", "{folder}/none/out.png"], "make it first"),
    "a page that is a folder": (1, ["-o", "{folder}/taken.png"], "it is a folder"),
    "a file where runs are to be kept": (1, ["-o", "{folder}/kept.png"], "move it away"),
    "too small": (1, ["--size", "20"], "needs 32 px"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_the_right_status(case, capsys, photo, painting, tmp_path):
    wanted, arguments, words = BAD[case]
    (tmp_path / "taken.html").mkdir()
    (tmp_path / "kept.compare").touch()
    arguments = [a.format(painting=painting, folder=tmp_path) for a in arguments]
    pictures = arguments if arguments[-1] == str(painting) else [photo, painting, *arguments]
    before = sorted(tmp_path.rglob("*"))
    status, _, said = run(capsys, "-o", tmp_path / "out.png", *SMALL, *pictures)
    lines = [line for line in said.splitlines() if line.startswith("gatys-lab: ")]
    assert status == wanted and len(lines) == 1 and words in lines[0], said
    assert "Traceback" not in said and sorted(tmp_path.rglob("*")) == before


def test_ctrl_c_says_what_is_kept(capsys, photo, painting, tmp_path, monkeypatch, runs):
    counted = Job.run

    def second_time_interrupted(self, callbacks=()):
        if len(runs) == 1:
            raise KeyboardInterrupt
        return counted(self, callbacks)

    monkeypatch.setattr(Job, "run", second_time_interrupted)
    status, _, said = run(capsys, photo, painting, "-o", tmp_path / "sheet.png", *SMALL)
    assert status == 130 and "interrupted; 1 runs are kept in" in said and "the same command goes on" in said
    assert not (tmp_path / "sheet.png").exists()


def test_help_imports_no_torch():
    code = "import sys; from gatys_lab.cli import main\ntry: main(['compare', '--help'])\n"
    code += "except SystemExit: assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
