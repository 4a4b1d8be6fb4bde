import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image as Pillow

from gatys_lab import cli, job

QUICK = ["--size", "48", "--evaluations", "3"]


def run(capsys, *arguments):
    """Exit status and standard error of `gatys-lab ARGUMENTS`."""
    with pytest.raises(SystemExit) as done:
        cli.main([str(a) for a in arguments])
    return done.value.code, capsys.readouterr().err


def test_a_picture_comes_out(capsys, photo, painting, tmp_path):
    out = tmp_path / "out.jpg"
    status, said = run(capsys, "stylize", photo, painting, "-o", out, *QUICK)
    assert status == 0 and Pillow.open(out).size == (48, 38)
    for word in ("device cpu", "network lite-1", "48 px", "loss", str(out)):
        assert word in said


def test_quiet_says_nothing(capsys, photo, painting, tmp_path):
    status, said = run(capsys, "stylize", photo, painting, "-o", tmp_path / "out.png", "--quiet", *QUICK)
    assert (status, said) == (0, "")


def test_every_option_reaches_the_job(photo, painting, tmp_path, capsys, monkeypatch):
    arguments = {
        "--style-scale": ".9",
        "--colour": "histogram",
        "--style-loss": "mmd-poly:.5,degree=1",
        "--style-layers": "relu1_1:2,relu2_1",
        "--content-layers": "relu3_1",
        "--balance": "2",
        "--strength": ".25",
        "--tv": ".1",
        "--tv-kind": "l1",
        "--optimizer": "adam",
        "--tolerance": "1e-9",
        "--smallest": "40",
        "--init": "noise",
        "--seed": "3",
        "--threads": "1",
        "--device": "cpu",
        "--pooling": "avg",
        "--padding": "zeros",
        "--tile": "64",
        "--network": "lite",
    }
    seen = []
    monkeypatch.setattr(job.Job, "check", lambda self: seen.append(self))
    flat = [word for pair in arguments.items() for word in pair]
    more = ["--style-loss", "gram:2", "--single-scale"]
    status, said = run(capsys, "stylize", photo, painting, "-o", tmp_path / "o.png", *QUICK, *flat, *more)
    assert status == 0 and "mmd-poly + gram + content + tv" in said
    config = seen[0].config
    assert (config.style_scale, config.balance, config.tv, config.tv_kind) == (0.9, 2.0, 0.1, "l1")
    assert config.colour == "histogram" and config.strength == 0.25 and config.smallest_px == 40
    assert (config.optimizer, config.tolerance, config.init, config.seed) == ("adam", 1e-9, "noise", 3)
    assert (config.threads, config.device, config.pooling, config.padding) == (1, "cpu", "avg", "zeros")
    assert config.tile == "64"
    assert config.style_layers == {"relu1_1": 2, "relu2_1": 1} and config.content_layers == {"relu3_1": 1}
    assert config.single_scale and config.size_px == 48 and config.evaluations == 3
    assert [(spec.name, spec.weight, spec.options) for spec in config.style_loss] == [
        ("mmd-poly", 0.5, {"degree": 1}),
        ("gram", 2.0, {}),
    ]


def test_several_styles_and_what_each_has_of_its_own(photo, painting, tmp_path, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(job.Job, "check", lambda self: seen.append(self))
    Pillow.new("L", (45, 36), 99).save(tmp_path / "grey.png")
    styles = ["-s", f"{painting}:6", "-s", f"{photo}:2", "--style-scale", "1", "--style-scale", ".9"]
    for _ in range(2):
        styles += ["--content-mask", tmp_path / "grey.png"]
    status, said = run(capsys, "stylize", photo, *styles, "-o", tmp_path / "o.png", *QUICK)
    assert status == 0 and "weights sum to 8: divided" in said and "gram of style 1 + gram of style 2" in said
    assert [(style.weight, style.scale) for style in seen[0].styles] == [(0.75, 1.0), (0.25, 0.9)]
    assert [style.content_mask.shape for style in seen[0].styles] == [(1, 1, 36, 45)] * 2


BAD = {
    "no photo": (2, ["none.jpg", "{painting}"], "none.jpg"),
    "a folder": (2, ["{folder}", "{painting}"], "is a directory"),
    "a mask too many": (2, ["--content-mask", "{painting}", "--content-mask", "{painting}"], "2 times --content-mask"),
    "a mask that is no file": (2, ["--style-mask", "none.png"], "none.png"),
    "a mask of other proportions": (1, ["--content-mask", "{painting}"], "same proportions"),
    "an empty mask": (1, ["--style-mask", "{black}"], "black everywhere"),
    "no style": (2, [], "give one STYLE, or styles with -s"),
    "styles in two ways": (2, ["-s", "{painting}:1"], "but not both"),
    "a negative weight of a style": (2, ["-s", "{painting}:-1"], "at least 0"),
    "styles without weight": (1, ["-s", "{painting}:0"], "one of them above 0"),
    "scales of styles that are not there": (2, ["--style-scale", "1", "--style-scale", "2"], "2 times --style-scale"),
    "negative size": (2, ["--size", "-4"], "--size"),
    "unknown colour": (2, ["--colour", "hue"], "chroma"),
    "unknown loss": (2, ["--style-loss", "grem"], "there are bn, gaussian-wasserstein, gram"),
    "unknown option of a loss": (2, ["--style-loss", "gram,degree=2"], "no option 'degree'"),
    "negative weight": (2, ["--style-loss", "gram:-1"], "at least 0"),
    "unknown layer": (2, ["--style-layers", "relu9_1"], "no layer 'relu9_1'"),
    "unknown network": (2, ["--network", "resnet"], "there are lite, vgg16, vgg19"),
    "unknown optimizer": (2, ["--optimizer", "sgd"], "there are adam, lbfgs, lbfgsb"),
    "unknown tile": (2, ["--tile", "big"], "auto, off, or the side"),
    "a tile too small": (1, ["--tile", "4"], "at least 32"),
    "unknown device": (2, ["--device", "abacus"], "auto, cuda, mps, cpu"),
    "two kinds of weight": (2, ["--balance", "2", "--style-weight", "3"], "excludes"),
    "strength and raw weight": (2, ["--strength", ".2", "--content-weight", "3"], "excludes"),
    "too strong": (2, ["--strength", "2"], "--strength"),
    "no number": (2, ["--tv", "nan"], "nan is no finite number"),
    "no preset": (2, ["--preset", "nice"], "there are default, fast"),
    "a weight of an optimizer": (1, ["--optimizer", "adam:3"], "means nothing here"),
    "no picture to begin with": (2, ["--init", "none.png"], "none.png"),
    "one evaluation": (2, ["--evaluations", "1"], "--evaluations"),
    "unknown command line option": (2, ["--sise", "3"], "--sise"),
    "text named jpg": (1, ["{text}", "{painting}"], "text.jpg"),
    "too small": (1, ["--size", "20"], "needs 32 px"),
    "too many pixels": (1, ["--max-pixels", "100"], "--max-pixels"),
    "weights that do not fit": (1, ["--weights", "{text}"], "text.jpg"),
    "unknown suffix": (1, ["-o", "{folder}/out.xyz"], ".png, .jpg, .webp or .tif"),
    "no folder to write in": (1, ["-o", "{folder}/none/out.png"], "make it first"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_the_right_status(case, capsys, photo, painting, tmp_path):
    wanted, arguments, words = BAD[case]
    (tmp_path / "text.jpg").write_text("not a picture")
    Pillow.new("L", (40, 40)).save(tmp_path / "black.png")
    names = {
        "black": tmp_path / "black.png",
        "painting": painting,
        "folder": tmp_path,
        "text": tmp_path / "text.jpg",
    }
    arguments = [a.format(**names) for a in arguments]
    named = [photo] if case in ("no style", "styles without weight") else [photo, painting]
    pictures = arguments if arguments and arguments[0][0] != "-" else [*named, *arguments]
    before = sorted(tmp_path.rglob("*"))
    status, said = run(capsys, "stylize", "-o", tmp_path / "out.png", *QUICK, *pictures)
    lines = [line for line in said.splitlines() if line.startswith("gatys-lab: ")]
    assert status == wanted and len(lines) == 1 and words in lines[0], said
    assert "Traceback" not in said and sorted(tmp_path.rglob("*")) == before


def test_debug_shows_the_traceback(capsys, photo, painting, tmp_path):
    status, said = run(capsys, "stylize", photo, painting, "-o", tmp_path / "o.png", "--size", "20", "--debug")
    assert status == 1 and "Traceback" in said


def test_a_full_disk_leaves_the_old_picture(capsys, photo, painting, tmp_path, monkeypatch):
    out = tmp_path / "out.png"
    out.write_bytes(b"old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    status, said = run(capsys, "stylize", photo, painting, "-o", out, *QUICK)
    assert status == 1 and "No space left" in said and out.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.png", "painting.png", "photo.png"]


def test_help_is_quick_and_imports_no_torch():
    code = "import sys; from gatys_lab.cli import main\ntry: main(['stylize', '--help'])\n"
    code += "except SystemExit: assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert time.monotonic() - began < 3  # .3 s where nothing else runs: see docs/performance.md


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_leaves_the_best_picture(photo, painting, tmp_path):
    out, seen = tmp_path / "out.png", tmp_path / "seen.png"
    command = [
        sys.executable,
        "-m",
        "gatys_lab",
        "stylize",
        photo,
        painting,
        "-o",
        out,
        "--size",
        "64",
        "--single-scale",
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*map(str, command), "--evaluations", "100000", "--preview", "5", "--preview-file", str(seen)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell has it ignored
    ) as running:
        while not seen.exists():  # until it paints
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        try:
            _, said = running.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            running.kill()
            raise
    assert running.returncode == 130, said
    assert Pillow.open(out).size == (64, 51) and "interrupted" in said and "Traceback" not in said
