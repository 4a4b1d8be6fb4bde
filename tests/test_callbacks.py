"""What watches a run: previews, frames, clips."""

import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from gatys_lab import cli, stylize, trace
from gatys_lab.callbacks import Frames, Preview, Timelapse
from gatys_lab.types import Step

SMALL = ["--size", "80", "--smallest", "32", "--evaluations", "8", "--threads", "1", "--quiet"]


def run(*words):
    with pytest.raises(SystemExit) as done:
        cli.main([str(word) for word in words])
    return done.value.code


def step(evaluation, loss, level, size_px=8):
    return Step(evaluation, 9, size_px, torch.tensor(loss), {}, 0.0, torch.full((1, 3, 6, size_px), level))


def level(path):
    return np.asarray(Pillow.open(path)).mean() / 255


def test_a_preview_is_the_best_of_its_size(tmp_path):
    preview, out = Preview(tmp_path / "so-far.png", every=2), tmp_path / "so-far.png"
    preview(step(1, 3.0, 0.2))
    assert not out.exists()
    preview(step(2, 5.0, 0.4))
    assert level(out) == pytest.approx(0.2)
    for each in (step(3, float("nan"), 0.9), step(4, 1.0, 1.6)):
        preview(each)
    assert level(out) == 1.0  # clamped
    for each in (step(1, 7.0, 0.6, size_px=12), step(2, 8.0, 0.8, size_px=12)):
        preview(each)
    assert level(out) == pytest.approx(0.6) and Pillow.open(out).size == (12, 6)


def test_previews_change_nothing(photo, painting, tmp_path):
    options = {"size_px": 64, "evaluations": 5, "single_scale": True}
    plain = stylize(photo, painting, **options)
    watched = stylize(photo, painting, callbacks=[Preview(tmp_path / "a.png", 1), Frames(tmp_path / "f", 1)], **options)
    assert torch.equal(plain.pixels, watched.pixels)
    assert len(list((tmp_path / "f").iterdir())) == 5


def test_the_preview_of_the_command(photo, painting, tmp_path, monkeypatch):
    from gatys_lab import callbacks

    written, write = [], callbacks.write
    monkeypatch.setattr(
        callbacks, "write", lambda picture, path: (written.append((picture.size, path)), write(picture, path))
    )
    out, aside = tmp_path / "out.png", tmp_path / "aside.jpg"
    assert run("stylize", photo, painting, "-o", out, *SMALL, "--preview", 5) == 0
    assert written == [((80, 64), out)] * 2  # of twelve evaluations, at the final size from the first on
    assert run("stylize", photo, painting, "-o", out, *SMALL, "--preview", 12, "--preview-file", aside) == 0
    assert written[2:] == [((80, 64), aside)] and aside.exists()


def test_a_preview_has_the_colours_of_the_result(photo, painting, tmp_path):
    words = ["--preview", "12", "--preview-file", tmp_path / "aside.png", "--colour", "luma", "--optimizer", "lbfgs"]
    assert run("stylize", photo, painting, "-o", tmp_path / "out.png", *SMALL, *words) == 0
    near, out = (np.asarray(Pillow.open(tmp_path / name)).astype(float) for name in ("aside.png", "out.png"))
    assert abs(near - out).max() <= 8


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_a_timelapse(photo, painting, tmp_path, suffix):
    pytest.importorskip("av")
    out, clip = tmp_path / "out.png", tmp_path / f"clip{suffix}"
    words = ["--size", "81", "--timelapse", clip, "--frames-every", "3"]
    assert run("stylize", photo, painting, "-o", out, *SMALL, *words) == 0
    if suffix == ".webp":  # which libav cannot read
        found = Pillow.open(clip)
        assert 4 <= found.n_frames <= 5 and found.size == (80, 64)  # it keeps equal ones once
        return
    from gatys_lab.clips import Clip

    frames = list(Clip(clip))
    assert len(frames) == 4 + 2 and frames[0].image.shape[2:] == (64, 80)
    last = np.asarray(Pillow.open(out).resize((80, 64))).astype(float) / 255
    assert abs(frames[-1].image[0].permute(1, 2, 0).numpy() - last).mean() < 0.06
    assert abs(frames[0].image - frames[-1].image).mean() > 0.02
    assert float(frames[-1].time - frames[-2].time) == pytest.approx(2, abs=0.05)


def test_frames_are_in_order_and_those_of_before_stay(photo, painting, tmp_path):
    words = ["stylize", photo, painting, "-o", tmp_path / "out.png", *SMALL, "--frames", tmp_path / "frames"]
    assert run(*words, "--frames-every", "2") == 0
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [f"{size:06}-{k:06}.png" for size, k in ((40, 2), (40, 4), (80, 2), (80, 4), (80, 6), (80, 8))]
    assert run(*words) == 1  # not among others
    assert run(*words, "--checkpoint", tmp_path / "run", "--resume") == 0
    assert len(list((tmp_path / "frames").iterdir())) == 12


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_curves_of_the_losses(photo, painting, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    plot = tmp_path / f"curves{suffix}"
    assert run("stylize", photo, painting, "-o", tmp_path / "out.png", *SMALL, "--plot", plot) == 0
    if suffix == ".png":
        assert min(Pillow.open(plot).size) > 400
    elif suffix == ".svg":
        assert plot.read_text().count('<g id="line2d') > 6  # axes, marks, and a line for each loss


def test_the_curves_are_the_trace(photo, painting, tmp_path, monkeypatch):
    rows = stylize(photo, painting, size_px=80, smallest_px=32, evaluations=4).trace
    drawn = {}
    monkeypatch.setattr(trace.plots, "draw", lambda curves, path, **words: drawn.update(curves=curves, **words))
    trace.draw(rows, tmp_path / "x.png")
    steps, totals = drawn["curves"]["total"]
    assert steps == list(range(1, 7)) and totals == [row.total for row in rows]
    assert set(drawn["curves"]) == {"total", "content", "gram", "tv"} and drawn["marks"] == {1: "40 px", 3: "80 px"}
    assert drawn["curves"]["gram"][1][0] == pytest.approx(sum(v for k, v in rows[0].parts.items() if "gram" in k))


def test_without_matplotlib_it_says_so_before_it_paints(photo, painting, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    words = ["stylize", photo, painting, "-o", tmp_path / "out.png", *SMALL, "--plot", tmp_path / "curves.png"]
    assert run(*words) == 1 and not (tmp_path / "out.png").exists()
    assert 'pip install "gatys_lab[plot]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--preview-file", "x.png"], 2, "needs --preview"),
        (["--frames-every", "2"], 2, "needs --frames or --timelapse"),
        (["--preview", "0"], 2, "--preview"),
        (["--timelapse", "{folder}/clip.txt"], 1, "no format '.txt'"),
        (["--timelapse", "{folder}/clip"], 1, "no suffix"),
        (["--plot", "{folder}/curves.jpg"], 1, "no format '.jpg'; wanted .png, .svg, .pdf"),
        (["--plot", "{folder}/none/curves.png"], 1, "none"),
        (["--preview", "3", "--preview-file", "{folder}/x.txt"], 1, ".png, .jpg"),
    ],
)
def test_bad_options(photo, painting, tmp_path, capsys, words, status, said):
    words = [word.format(folder=tmp_path) for word in words]
    assert run("stylize", photo, painting, "-o", tmp_path / "out.png", *SMALL, *words) == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and re.search(re.escape(said), lines[0])


def test_at_least_every_evaluation(tmp_path):
    with pytest.raises(ValueError, match="at least 1"):
        Timelapse(tmp_path / "a.gif", every=0)
