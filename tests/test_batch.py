"""Many pictures: every one with every style, what fails told, what is there left as it is, nothing twice."""

import json
import shutil
from dataclasses import replace
from functools import wraps

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from gatys_lab import batch, cli
from gatys_lab.images import picture_of, read_note
from gatys_lab.job import Job, prepare
from gatys_lab.manifest import facts_of
from gatys_lab.networks import lite

QUICK = ["--size", "48", "--evaluations", "3", "--threads", "1", "--precision", "fp32"]


@pytest.fixture
def many(tmp_path):
    """Two photographs, one file that is none, and two paintings, in folders."""
    for folder, names in (("photos", "ab"), ("styles", "xy")):
        (tmp_path / folder).mkdir()
        for i, name in enumerate(names):
            cells = np.random.default_rng(len(folder) + i).integers(0, 256, (8, 10, 3), dtype=np.uint8)
            Pillow.fromarray(cells).resize((60, 48)).save(tmp_path / folder / f"{name}.png")
    return tmp_path


@pytest.fixture
def run(many, capsys, monkeypatch):
    """Exit status and standard error of `gatys-lab batch ARGUMENTS`; by default every photo in every style."""
    monkeypatch.chdir(many)

    def go(*words):
        given = [str(word) for word in words]
        named = [] if "--pairs" in given or "--style" in given else ["photos", "--style", "styles"]
        with pytest.raises(SystemExit) as done:
            cli.main(["batch", *named, "-o", "out", *QUICK, *given])
        return done.value.code, capsys.readouterr().err

    return go


def names(folder, suffix="png"):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob(f"*.{suffix}"))


EVERY = ["a_stylized_x.png", "a_stylized_y.png", "b_stylized_x.png", "b_stylized_y.png"]


def test_every_photo_in_every_style(run, many):
    status, said = run()
    assert status == 0 and names(many / "out") == EVERY and len(names(many / "out", "json")) == 4
    assert "to paint: 4, found finished: 0" in said and "4/4" in said and "left)" in said and "4 of 4 pictures" in said
    with pytest.raises(SystemExit):
        cli.main(["stylize", "photos/b.png", "styles/y.png", "-o", "alone.png", *QUICK, "--quiet"])
    assert np.array_equal(*(np.asarray(Pillow.open(f)) for f in ("alone.png", "out/b_stylized_y.png")))
    assert read_note("alone.png") == read_note("out/b_stylized_y.png")  # and so it is replayed


def test_a_job_of_other_pictures_is_the_job_of_those(many):
    options = {"size_px": 48, "style_loss": "bn", "colour": "linear", "evaluations": 3, "threads": 1}
    photo, painting = many / "photos" / "a.png", many / "styles" / "x.png"
    job = batch.template(**options).of(picture_of(photo), picture_of(painting))
    other = prepare(photo, painting, **options)
    assert facts_of(job) == facts_of(other) and torch.equal(job.run().pixels, other.run().pixels)


def test_the_network_is_loaded_once(run, monkeypatch):
    loaded, build = [], lite.build

    @wraps(build)
    def counted(*arguments, **options):
        loaded.append(1)
        return build(*arguments, **options)

    monkeypatch.setattr(lite, "build", counted)
    assert run()[0] == 0 and len(loaded) == 1


def test_a_bad_file_is_told_once_and_left_out(run, many):
    (many / "photos" / "c.jpg").write_bytes(b"\xff\xd8 nothing")
    Pillow.new("RGB", (48, 9)).save(many / "photos" / "d.png")
    status, said = run()
    assert status == 1 and names(many / "out") == EVERY
    assert said.count("'photos/c.jpg' is no picture") == 1 and said.count("'photos/d.png' with") == 2
    assert "4 of 8 pictures, 4 could not be painted" in said and "Traceback" not in said
    status, said = run("--quiet")
    assert status == 1 and all(line.startswith("gatys-lab: ") for line in said.splitlines())


def test_only_what_is_missing_is_painted(run, runs, many):
    run()
    (many / "out" / EVERY[1]).unlink()
    kept = (many / "out" / EVERY[0]).stat().st_mtime_ns
    del runs[:]
    status, said = run()
    assert status == 0 and len(runs) == 1 and "to paint: 1, found finished: 3" in said
    assert (many / "out" / EVERY[0]).stat().st_mtime_ns == kept
    assert run()[0] == 0 and len(runs) == 1


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_what_was_made_otherwise_is_kept_unless_told(run, runs, many, suffix):
    name = ["--name", f"{{content}}-{{style}}.{suffix}"]
    run(*name)
    before = (many / "out" / f"a-x.{suffix}").read_bytes()
    del runs[:]
    status, said = run(*name, "--balance", "50")
    assert status == 2 and "'out/a-x." in said and "and 3 others" in said and "--redo" in said and runs == []
    assert (many / "out" / f"a-x.{suffix}").read_bytes() == before
    assert run(*name, "--balance", "50", "--redo")[0] == 0 and len(runs) == 4
    shutil.copy(many / "photos" / "a.png", many / "photos" / "b.png")  # another picture by the same name
    assert run(*name, "--balance", "50")[0] == 2
    assert run(*name, "--balance", "50", "--redo")[0] == 0 and len(runs) == 6


def test_a_stranger_is_not_replaced(run, many, runs):
    (many / "out").mkdir()
    (many / "out" / EVERY[0]).write_text("precious")
    assert run()[0] == 2 and (many / "out" / EVERY[0]).read_text() == "precious" and runs == []
    (many / "out" / EVERY[0]).unlink()
    (many / "out" / "a_stylized_x.json").write_text("precious")
    status, said = run()
    assert status == 1 and "no manifest of ours" in said and runs == []


def test_ctrl_c_leaves_what_is_finished(run, many, monkeypatch):
    whole, count = Job.run, []

    def stopped(self, *arguments):
        count.append(1)
        if len(count) < 3:
            return whole(self, *arguments)
        seen = []

        def interrupt(step):
            seen.append(step)
            if len(seen) == 2:
                raise KeyboardInterrupt

        return whole(self, [interrupt])

    monkeypatch.setattr(Job, "run", stopped)
    status, said = run()
    assert status == 130 and "2 painted, 2 left" in said and "Traceback" not in said
    assert len(names(many / "out")) == 2 == len(names(many / "out", "json"))
    assert not list((many / "out").glob(".*"))
    monkeypatch.setattr(Job, "run", whole)
    status, said = run()
    assert status == 0 and "found finished: 2" in said and names(many / "out") == EVERY


@pytest.mark.parametrize("reason", ["interrupted", "diverged", "memory"])
def test_an_unfinished_picture_is_finished(run, many, reason):
    run()
    note = json.loads(read_note(many / "out" / EVERY[0]))
    note["result"]["reason"] = reason
    batch.write(Pillow.open(many / "out" / EVERY[0]), many / "out" / EVERY[0], note=json.dumps(note))
    assert "to paint: 1, found finished: 3" in run()[1]


def test_a_picture_that_memory_cut_short_is_told(run, many, monkeypatch):
    whole = Job.run
    monkeypatch.setattr(Job, "run", lambda self, *given: replace(whole(self, *given), reason="memory"))
    status, said = run()
    assert status == 1 and said.count(": memory\n") == 4 and names(many / "out") == EVERY


def test_pairs_from_a_table(run, many):
    (many / "lists").mkdir()
    table = many / "lists" / "pairs.csv"
    table.write_bytes(b"\xef\xbb\xbfstyle, content\r\n../styles/y.png,../photos/a.png\r\n../styles/y.png,none.png\r\n")
    status, said = run("--pairs", table, "--name", "{style}/{content}.jpg")
    assert status == 1 and names(many / "out", "jpg") == ["y/a.jpg"] and "none.png" in said
    for text, words in (
        ("content;style\na;b\n", "its columns are content;style"),
        ("content,style,size\na,b,c\n", "its columns are content, style, size"),
        ("content,style\n", "it has no rows"),
        ("content,style\na\n", "a row lacks a file"),
        ("\x00\xff", "no table of pairs"),
    ):
        table.write_text(text)
        status, said = run("--pairs", table)
        assert status == 1 and words in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--name", "{style}.png"], 1, "would both be 'out/x.png'"),
        (["--name", "{contents}.png"], 1, "is no name for pictures"),
        (["--name", "{content.stem}-{style}.png"], 1, "is no name for pictures"),
        (["--name", "{content}{style!r}.png"], 1, "is no name for pictures"),
        (["--name", "{content}{.png"], 1, "is no name for pictures"),
        (["--name", "../{content}{style}.png"], 1, "within the folder"),
        (["--name", "{content}-{style}.xyz"], 1, "no format '.xyz'"),
        (["-o", "photos", "--name", "{content}.png", "--style", "styles/x.png", "photos"], 1, "pictures that are read"),
        (["--pairs", "styles/x.png", "photos"], 2, "not both"),
        (["--style", "styles/x.png"], 2, "give CONTENTS and --style"),
        (["--style-scale", "1", "--style-scale", "2"], 2, "give --style-scale once"),
        (["--style-loss", "grem"], 2, "there are bn"),
        (["--optimizer", "sgd"], 2, "there are adam"),
        (["--weights", "styles/x.png"], 1, "x.png"),
        (["--size", "20"], 1, "needs 32 px"),
        (["--style", "none", "photos"], 2, "none"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_painted(run, runs, many, words, status, told):
    found, said = run(*words)
    assert found == status and told in said and said.count("\n") == 1 and runs == []
    assert not (many / "out").exists() or names(many / "out") == []


def test_two_photographs_of_one_name(run, many):
    shutil.copy(many / "photos" / "a.png", many / "photos" / "a.bmp")
    status, said = run()
    assert status == 1 and "'photos/a.bmp' with 'styles/x.png' and 'photos/a.png'" in said and "would both be" in said


def test_presets_and_files_of_options(run, many, runs):
    (many / "mine.toml").write_text('style-loss = "bn"\nstyle-scale = 0.9\n')
    assert run("--preset", "poster", "--config", "mine.toml")[0] == 0
    assert {(c.style_loss[0].name, c.style_scale, c.size_px) for c in runs} == {("bn", 0.9, 48)}
