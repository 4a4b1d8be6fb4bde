"""A picture is made once more from what is recorded in it, of the same files only."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image as Pillow

from gatys_lab import cli
from gatys_lab.images import read_note, write
from gatys_lab.manifest import KIND
from gatys_lab.replay import prepare_replay

QUICK = ["--size", "80", "--smallest", "32", "--evaluations", "4", "--threads", "1"]


def run(*words):
    with pytest.raises(SystemExit) as done:
        cli.main([str(word) for word in words])
    return done.value.code


@pytest.fixture
def made(photo, painting, tmp_path):
    """A picture with its manifest; `made(*options)` makes another."""

    def make(*options, name="out.png"):
        assert run("stylize", photo, painting, "-o", tmp_path / name, "--quiet", *QUICK, *options) == 0
        return tmp_path / name

    return make


def pixels(path):
    return np.asarray(Pillow.open(path))


def noted(path, **changes):
    """The picture with another note."""
    note = json.loads(read_note(path)) | changes
    write(Pillow.open(path), path, note=json.dumps(note))
    path.with_suffix(".json").unlink(missing_ok=True)


def test_what_is_recorded(made, photo, painting):
    out = made("--balance", "3", "--style-loss", "mmd-poly:0.5,degree=3", "--style-loss", "bn")
    beside, inside = json.loads(out.with_suffix(".json").read_text()), json.loads(read_note(out))
    assert beside["kind"] == KIND and beside["options"]["balance"] == 3 and beside["options"]["seed"] == 0
    assert beside["options"]["style-loss"] == ["mmd-poly:0.5,degree=3", "bn:1"]
    assert beside["content"]["file"] == "photo.png" and len(beside["styles"]) == 1
    assert beside["chosen"] == {
        "device": "cpu",
        "precision": beside["chosen"]["precision"],
        "threads": 1,
        "tile": "off",
    }
    assert beside["result"]["evaluations"] == 6 and beside["result"]["reason"] == "budget"
    assert [size["size_px"] for size in beside["result"]["sizes"]] == [40, 80]
    assert beside["seen"]["seconds"] > 0 and str(photo) in beside["seen"]["paths"].values()
    assert inside == {name: value for name, value in beside.items() if name != "seen"}
    assert str(photo.parent) not in read_note(out) and "seconds" not in read_note(out)
    assert out.read_bytes() == made("--balance", "3", "--style-loss", "mmd-poly:0.5,degree=3", "--style-loss", "bn",
                                    name="twice.png").read_bytes()  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--style-loss", "mmd-gaussian", "--optimizer", "adam,lr=0.05", "--tv", "0.1"),
        ("--content-weight", "1", "--style-weight", "1000", "--style-layers", "relu1_1:0.3,relu3_1"),
        ("--init", "noise", "--seed", "7", "--colour", "luma", "--precision", "fp32"),
        ("--init", "{painting}", "--style-scale", "0.9", "--content-mask", "{mask}"),
        ("--own-loss", "bn:0.5+mmd-poly,degree=3"),
    ],
)
def test_the_same_pixels(made, tmp_path, painting, capsys, options):
    Pillow.linear_gradient("L").resize((90, 72)).save(tmp_path / "mask.png")
    out = made(*(word.format(painting=painting, mask=tmp_path / "mask.png") for word in options))
    assert run("replay", out, "-o", tmp_path / "again.png") == 0
    said = capsys.readouterr().err
    assert "the same pixels" in said and "not as it was" not in said
    assert np.array_equal(pixels(out), pixels(tmp_path / "again.png"))
    assert read_note(out) == read_note(tmp_path / "again.png") and str(tmp_path) not in read_note(out)


def test_from_the_file_beside_a_jpeg(made, tmp_path):
    out = made(name="out.jpg")
    assert run("replay", out, "-o", tmp_path / "a.png") == run(
        "replay", tmp_path / "out.json", "-o", tmp_path / "b.png"
    )
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))


def test_moved_files_are_known_by_their_hash(made, photo, painting, tmp_path, capsys):
    out, away = made(), tmp_path / "away"
    away.mkdir()
    for file in (photo, painting):
        shutil.move(file, away)
    assert run("replay", out, "-o", tmp_path / "again.png") == 1 and "no 'photo.png'" in capsys.readouterr().err
    moved = ["--content", away / "photo.png", "--style", away / "painting.png"]
    assert run("replay", out, "-o", tmp_path / "again.png", *moved) == 0
    assert run("replay", out, "-o", tmp_path / "again.png", *moved[:3], away / "photo.png") == 1
    shutil.copy(out, away)  # without the paths in the file beside it
    assert run("replay", away / "out.png", "-o", tmp_path / "third.png") == 0
    shutil.copy(away / "photo.png", painting)
    shutil.copy(away / "painting.png", photo)  # the names, but not the files
    capsys.readouterr()
    assert run("replay", out, "-o", tmp_path / "again.png") == 1 and "recorded SHA-256" in capsys.readouterr().err
    assert run("replay", out, "-o", tmp_path / "again.png", "--content", painting) == 1


@pytest.mark.parametrize("options", [(), ("--colour", "linear", "--content-mask", "{mask}", "--init", "noise")])
def test_a_finished_picture_is_gone_on_with(made, tmp_path, capsys, options):
    Pillow.linear_gradient("L").resize((90, 72)).save(tmp_path / "mask.png")
    out, more, again = made(*(word.format(mask=tmp_path / "mask.png") for word in options)), *(
        tmp_path / name for name in ("more.png", "again.png")
    )  # fmt: skip
    assert run("replay", out, "-o", more, "--more", "12") == 0
    before, after = (json.loads(read_note(picture)) for picture in (out, more))
    assert f"was {before['result']['loss']:.4g}" in capsys.readouterr().err
    assert after["result"]["loss"] < before["result"]["loss"] and after["result"]["evaluations"] == 12
    assert [size["size_px"] for size in after["result"]["sizes"]] == [80] and after["init"]["file"] == "out.png"
    assert run("replay", more, "-o", again) == 0 and np.array_equal(pixels(more), pixels(again))
    assert run("replay", more, "-o", tmp_path / "third.png", "--more", "12") == 0
    assert json.loads(read_note(tmp_path / "third.png"))["result"]["loss"] < after["result"]["loss"]
    out.unlink()
    assert run("replay", more, "-o", again) == 1 and "no 'out.png'" in capsys.readouterr().err


def test_what_cannot_be_gone_on_with(made, tmp_path, capsys):
    out = made("--colour", "luma")
    assert run("replay", out, "-o", tmp_path / "more.png", "--more", "4") == 1
    assert "colour luma" in capsys.readouterr().err
    assert run("replay", out.with_suffix(".json"), "-o", tmp_path / "more.png", "--more", "4") == 1
    assert "no picture to go on from" in capsys.readouterr().err
    noted(out, options=3)
    assert run("replay", out, "-o", tmp_path / "more.png", "--more", "4") == 1
    assert "damaged" in capsys.readouterr().err and not (tmp_path / "more.png").exists()


def test_it_says_what_differs(made, tmp_path, capsys):
    out = made()
    note = json.loads(read_note(out))
    noted(out, versions=note["versions"] | {"torch": "1.0"}, result=note["result"] | {"pixels": "0" * 64})
    assert run("replay", out, "-o", tmp_path / "again.png") == 1
    said = capsys.readouterr().err
    assert "not as it was: torch: was 1.0, is" in said and "other pixels" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "another"}, "holds no manifest"),
        ({"options": {"style-loss": ["evil.py"], "optimizer": "lbfgs", "network": "lite"}}, "no other code"),
        ({"options": {"style-loss": ["gram"], "optimizer": "evil.py", "network": "lite"}}, "no other code"),
        ({"options": {"style-loss": ["gram"], "optimizer": "lbfgs", "network": "evil.py"}}, "no other code"),
        (
            {"options": {"style-loss": ["gram"], "optimizer": "lbfgs", "network": "lite", "init": "/etc/hostname"}},
            "hash",
        ),
        ({"options": {"sise": 3}}, "no option 'sise'"),
        ({"options": 3}, "damaged"),
        ({"content": {"file": "../../photo.png", "sha256": "0"}}, "no 'photo.png'"),
        ({"styles": None}, "damaged"),
        ({"chosen": {}}, "damaged"),
    ],
)
def test_what_is_recorded_is_not_trusted(made, tmp_path, monkeypatch, capsys, changes, words):
    out = made()
    noted(out, **changes)
    (tmp_path / "evil.py").write_text("open('ran', 'w')\ndef build(): pass\n")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert run("replay", out, "-o", tmp_path / "again.png") in (1, 2)
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and sorted(tmp_path.iterdir()) == before


def test_nothing_is_recorded_if_not_wanted(made, tmp_path, capsys):
    out = made("--no-manifest")
    assert read_note(out) is None and not out.with_suffix(".json").exists()
    assert run("replay", out, "-o", tmp_path / "again.png") == 1
    assert "says how it was made" in capsys.readouterr().err


def test_a_file_that_is_no_manifest_is_not_replaced(photo, painting, tmp_path, capsys):
    (tmp_path / "out.json").write_text("precious")
    assert run("stylize", photo, painting, "-o", tmp_path / "out.png", *QUICK) == 1
    assert "--no-manifest" in capsys.readouterr().err and (tmp_path / "out.json").read_text() == "precious"
    assert not (tmp_path / "out.png").exists()


def test_from_python(made):
    out = made()
    again = prepare_replay(out)
    assert again.is_same(again.job.run()) and again.differs == ()


def test_what_was_seen_in_tiles_is_seen_in_tiles_again(made, tmp_path):
    out = made("--tile", "48", "--precision", "fp32")
    assert json.loads(read_note(out))["chosen"]["tile"] == "48"
    assert run("replay", out, "-o", tmp_path / "again.png", "--quiet") == 0
    assert (pixels(tmp_path / "again.png") == pixels(out)).all()
    assert prepare_replay(out).job.tile_px == 48
