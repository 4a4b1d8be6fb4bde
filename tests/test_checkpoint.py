"""A run that was ended at any moment and goes on delivers what the uninterrupted one delivers, to the last bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load, save_file

from gatys_lab import catalog, checkpoint, cli, manifest, stylize
from gatys_lab.checkpoint import Checkpoint, pieces
from gatys_lab.states import freeze, thaw

QUICK = {"size_px": 80, "evaluations": 12, "smallest_px": 32, "threads": 1}  # two sizes, 6 at the first


class Killed(Exception):
    """What a callback ends a run with."""


def until(evaluations):
    """A callback that ends the run at the n-th evaluation."""
    seen = []

    def callback(step):
        seen.append(step)
        if len(seen) == evaluations:
            raise Killed

    return callback


@pytest.mark.parametrize("optimizer", [*catalog.names("optimizers"), "lbfgs,history=2"])
def test_a_run_that_was_ended_goes_on_to_the_same_bits(photo, painting, tmp_path, optimizer):
    options = QUICK | {"optimizer": optimizer}
    whole = stylize(photo, painting, **options)
    assert whole.evaluations == 18
    moments = {1, 6, 7, 18, *random.Random(optimizer).sample(range(2, 18), 4)}
    for moment in sorted(moments):
        kept = Checkpoint(tmp_path / f"{moment}.ckpt", every_seconds=0, resume=True)
        with pytest.raises(Killed):
            stylize(photo, painting, checkpoint=kept, callbacks=[until(moment)], **options)
        seen = []
        again = stylize(photo, painting, checkpoint=kept, callbacks=[seen.append], **options)
        assert torch.equal(again.pixels, whole.pixels) and again.loss == whole.loss, moment
        assert [row.total for row in again.trace] == [row.total for row in whole.trace]
        assert len(seen) < 18 if moment > 7 else len(seen) <= 18
        assert again.reason == whole.reason and again.evaluations == 18


def test_a_run_that_was_ended_twice(photo, painting, tmp_path):
    kept = Checkpoint(tmp_path / "run", every_seconds=0, resume=True)
    for moment in (5, 4):
        with pytest.raises(Killed):
            stylize(photo, painting, checkpoint=kept, callbacks=[until(moment)], **QUICK)
    again = stylize(photo, painting, checkpoint=kept, **QUICK)
    assert torch.equal(again.pixels, stylize(photo, painting, **QUICK).pixels)


@pytest.mark.parametrize(
    "more",
    [{"tolerance": 0.02}, {"init": "noise", "style_loss": "style-swap"}, {"init": "adain"}, {"colour": "luma"}],
    ids=lambda more: " ".join(more),
)
def test_whatever_the_run_is_like(photo, painting, tmp_path, more):
    whole, kept = stylize(photo, painting, **QUICK, **more), Checkpoint(tmp_path / "run", 0, resume=True)
    with pytest.raises(Killed):
        stylize(photo, painting, checkpoint=kept, callbacks=[until(6)], **QUICK, **more)
    assert torch.equal(stylize(photo, painting, checkpoint=kept, **QUICK, **more).pixels, whole.pixels)


def test_what_is_painted_in_a_soft_mask_only(photo, painting, tmp_path):
    from gatys_lab.styles import Style

    Pillow.linear_gradient("L").resize((90, 72)).save(tmp_path / "mask.png")
    style, kept = Style(painting, content_mask=tmp_path / "mask.png"), Checkpoint(tmp_path / "run", 0, resume=True)
    for moment in (1, 12):
        with pytest.raises(Killed):
            stylize(photo, style, checkpoint=kept, callbacks=[until(moment)], **QUICK)
        again = stylize(photo, style, checkpoint=kept, **QUICK)
        assert torch.equal(again.pixels, stylize(photo, style, **QUICK).pixels)
        kept.remove()


def test_the_clock_says_when_it_is_written(photo, painting, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(checkpoint, "write_whole", lambda path, data, mark: written.append(len(list(data))))
    stylize(photo, painting, checkpoint=Checkpoint(tmp_path / "run", every_seconds=1000), **QUICK)
    rarely = len(written)
    stylize(photo, painting, checkpoint=Checkpoint(tmp_path / "run", every_seconds=0), **QUICK)
    assert rarely == 2 and len(written) - rarely > 6  # at the beginning of a size; between all iterations


def test_what_was_chosen_when_it_began_is_kept(photo, painting, tmp_path, monkeypatch):
    from gatys_lab import devices

    monkeypatch.setattr(devices, "_has_bf16", lambda device: True)
    monkeypatch.setattr(devices, "_faster", lambda network, layers: "bf16")
    whole, kept = stylize(photo, painting, **QUICK), Checkpoint(tmp_path / "run", 0, resume=True)
    with pytest.raises(Killed):
        stylize(photo, painting, checkpoint=kept, callbacks=[until(12)], **QUICK)
    monkeypatch.setattr(devices, "precision", lambda name, *rest: "fp32" if name == "auto" else name)
    assert not torch.equal(stylize(photo, painting, **QUICK).pixels, whole.pixels)
    assert torch.equal(stylize(photo, painting, checkpoint=kept, **QUICK).pixels, whole.pixels)
    with pytest.raises(ValueError, match=r"other .*precision"):
        stylize(photo, painting, checkpoint=kept, precision="fp32", **QUICK)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"balance": 4}, "balance"),
        ({"style_loss": "bn"}, "style_loss"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"evaluations": 8}, "evaluations"),
        ({"pooling": "avg"}, "pooling"),
        ({"photo": "other"}, "photo"),
        ({"painting": "other"}, "styles"),
        ({"torch": "other"}, "version"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(photo, painting, tmp_path, monkeypatch, change, name):
    kept = Checkpoint(tmp_path / "run", 0, resume=True)
    with pytest.raises(Killed):
        stylize(photo, painting, checkpoint=kept, callbacks=[until(3)], **QUICK)
    Pillow.fromarray(np.asarray(Pillow.open(photo))[::-1]).save(tmp_path / "other.png")
    if change.pop("torch", None):
        monkeypatch.setattr(manifest, "versions", lambda: {"torch": "0.1"})
    pictures = [tmp_path / "other.png" if change.pop(word, None) else file
                for word, file in (("photo", photo), ("painting", painting))]  # fmt: skip
    with pytest.raises(ValueError, match=f"other {name};") as said:
        stylize(*pictures, checkpoint=kept, **QUICK | change)
    assert "\n" not in str(said.value)


def test_a_checkpoint_is_not_written_over(photo, painting, tmp_path):
    (tmp_path / "run").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="--resume"):
        stylize(photo, painting, checkpoint=Checkpoint(tmp_path / "run"), **QUICK)
    with pytest.raises(ValueError, match="no checkpoint"):
        stylize(photo, painting, checkpoint=Checkpoint(tmp_path / "run", resume=True), **QUICK)
    save_file({"x": torch.zeros(2)}, tmp_path / "weights")
    with pytest.raises(ValueError, match="another kind of file"):
        stylize(photo, painting, checkpoint=Checkpoint(tmp_path / "weights", resume=True), **QUICK)
    assert (tmp_path / "run").read_bytes() == b"precious"


def test_a_full_disk_ends_a_run_at_its_beginning_only(photo, painting, tmp_path, monkeypatch, caplog):
    written, write = [], checkpoint.write_whole

    def full(*arguments):
        written.append(arguments)
        if len(written) > allowed:
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(checkpoint, "write_whole", full)
    allowed = 0
    with pytest.raises(OSError, match="No space"):
        stylize(photo, painting, checkpoint=Checkpoint(tmp_path / "run", 0), **QUICK)
    allowed = 3
    assert stylize(photo, painting, checkpoint=Checkpoint(tmp_path / "run", 0), **QUICK).reason == "budget"
    assert "No space left" in caplog.text


def test_a_state_that_does_not_fit_is_refused():
    optimizer = catalog.load("optimizers", "lbfgs", history=3)
    state, other = optimizer.start(torch.rand(1, 3, 4, 5)), optimizer.start(torch.rand(1, 3, 4, 6))
    frozen = freeze(state)
    assert set(frozen.tensors) > {"history.pairs", "x"} and frozen.numbers["restarts"] == 0
    assert torch.equal(thaw(frozen, optimizer.start(torch.rand(1, 3, 4, 5))).x, state.x)
    with pytest.raises(ValueError, match="'x' is"):
        thaw(frozen, other)
    with pytest.raises(ValueError, match="nothing is kept for 'good'"):
        thaw(frozen, catalog.load("optimizers", "adam").start(state.x))


@pytest.mark.parametrize("words", [["--resume"], ["--checkpoint-every", "3"]])
def test_options_of_a_checkpoint_need_one(words, photo, painting, tmp_path, capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["stylize", str(photo), str(painting), "-o", str(tmp_path / "o.png"), *words])
    assert done.value.code == 2 and f"{words[0]} needs --checkpoint" in capsys.readouterr().err


def command(photo, painting, out, kept):
    small = ["--size", "80", "--smallest", "32", "--evaluations", "60", "--threads", "1", "--quiet"]
    words = [sys.executable, "-m", "gatys_lab", "stylize", photo, painting, "-o", out, *small]
    keeping = [] if kept is None else ["--checkpoint", kept, "--checkpoint-every", "0", "--resume"]
    return [str(word) for word in [*words, *keeping]]


def killed_and_resumed(photo, painting, folder, seconds, environment):
    """The pixels of a run that is killed so many seconds after its checkpoint appeared; whether it was."""
    out, kept = folder / "out.png", folder / "run.ckpt"
    out.unlink(missing_ok=True)
    with subprocess.Popen(command(photo, painting, out, kept), env=environment) as running:
        while not kept.exists() and running.poll() is None:
            time.sleep(0.001)
        time.sleep(seconds)
        running.send_signal(signal.SIGKILL)
    killed = running.returncode == -signal.SIGKILL and kept.exists()  # else it was done, but for its goodbye
    assert killed or out.exists()
    if killed:
        subprocess.run(command(photo, painting, out, kept), check=True, env=environment)
    assert not kept.exists() and not list(folder.glob(".run.ckpt.*.part"))
    return np.asarray(Pillow.open(out)), killed


@pytest.fixture
def environment():
    return os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_sigkill(photo, painting, tmp_path, environment):
    subprocess.run(command(photo, painting, tmp_path / "whole.png", None), check=True, env=environment)
    (tmp_path / "killed").mkdir()
    pixels, killed = killed_and_resumed(photo, painting, tmp_path / "killed", 0.3, environment)
    assert killed and np.array_equal(pixels, np.asarray(Pillow.open(tmp_path / "whole.png")))


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_sigkill_at_twenty_moments(photo, painting, tmp_path, environment):
    """Written between all iterations, it spends much of its time writing: some kills fall into that."""
    began = time.monotonic()
    subprocess.run(command(photo, painting, tmp_path / "whole.png", None), check=True, env=environment)
    most, whole = time.monotonic() - began, np.asarray(Pillow.open(tmp_path / "whole.png"))
    (tmp_path / "killed").mkdir()
    moments, count = random.Random(0), 0
    while count < 20:
        seconds = moments.uniform(0, most)
        pixels, killed = killed_and_resumed(photo, painting, tmp_path / "killed", seconds, environment)
        assert np.array_equal(pixels, whole), seconds
        count += killed


def test_a_file_is_written_without_a_copy_of_what_it_holds():
    picture = torch.rand(1, 3, 5, 7)
    tensors = {"x": picture, "count": torch.tensor(3), "loss": torch.tensor(0.1, dtype=torch.float64)}
    header, *held = pieces(tensors, {"kind": "a run"})
    found = load(b"".join([header, *held]))
    assert found.keys() == tensors.keys() and all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert np.frombuffer(held[-1], np.float32).ctypes.data == picture.data_ptr()
