"""`gatys-lab compare`."""

import subprocess
import sys

import pytest
from PIL import Image as Pillow

from gatys_lab import cli
from gatys_lab.compare import _results
from gatys_lab.config import Config
from gatys_lab.job import Job


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


def test_every_option_reaches_the_runs(capsys, photo, painting, tmp_path, monkeypatch, runs):
    other = tmp_path / "other.png"
    Pillow.open(painting).rotate(90).save(other)
    options = ["--style", other, "--grid", "degree=1,3", "--optimizer", "adam", "--seed", 7, "--init", "noise",
               "--tv", 0.1, "--style-layers", "relu1_1", "--content-layers", "relu3_1", "--single-scale",
               "--pooling", "avg", "--precision", "fp32", "--style-scale", 0.9, "--judge", "lite",
               "--zoom", "0.1,0.2"]  # fmt: skip
    zooms, sheet = [], _results.sheet
    monkeypatch.setattr(_results, "sheet", lambda found, zoom: zooms.append(zoom) or sheet(found, zoom))
    status, _, said = run(capsys, photo, painting, "-o", tmp_path / "s.png", *SMALL, *options)
    assert zooms == [((0.1, 0.2),)]
    assert status == 0 and len(runs) == 4, said
    assert [config.style_loss[0].options for config in runs] == [{"degree": 1}, {"degree": 3}] * 2
    wanted = {
        "optimizer": "adam", "seed": 7, "init": "noise", "tv": 0.1, "style_layers": {"relu1_1": 1}, "pooling": "avg",
        "precision": "fp32",
        "content_layers": {"relu3_1": 1}, "single_scale": True, "style_scale": 0.9, "size_px": 48, "evaluations": 3,
    }  # fmt: skip
    for config in runs:
        assert {name: getattr(config, name) for name in wanted} == wanted
        assert config.balance == Config().balance


BAD = {
    "no photo": (2, ["none.jpg", "{painting}"], "none.jpg"),
    "no grid": (2, ["--grid", "balance"], "wanted KEY=VALUE,VALUE"),
    "a value twice": (2, ["--grid", "balance=1,1"], "1 twice"),
    "unknown loss": (2, ["--style-loss", "grem"], "there are bn, gaussian"),
    "unknown key": (2, ["--grid", "colour=red"], "no loss takes colour"),
    "balance twice": (1, ["--grid", "balance=1,2", "--balance", "3"], "leave one of them out"),
    "raw weights": (2, ["--style-weight", "3"], "--style-weight"),
    "a place outside": (2, ["--zoom", "3,4"], "wanted X,Y"),
    "three places": (2, ["--zoom", "0,0", "--zoom", "0,1", "--zoom", "1,0"], "room for two"),
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
    assert status == 130 and "interrupted; what is done is kept in" in said and "the same command goes on" in said
    assert len(list((tmp_path / "sheet.compare").glob("*.json"))) == 1
    assert not (tmp_path / "sheet.png").exists()


def test_help_imports_no_torch():
    code = "import sys; from gatys_lab.cli import main\ntry: main(['compare', '--help'])\n"
    code += "except SystemExit: assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
