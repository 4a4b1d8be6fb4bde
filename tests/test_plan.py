"""What a run will need is told before it, and is about what it then needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gatys_lab import cli, memory
from gatys_lab.job import prepare
from gatys_lab.meter import Meter, resident
from gatys_lab.plan import Trial, _seconds, extrapolated, line, plan

planned = sys.modules["gatys_lab.plan"]

ROOT = Path(__file__).parent.parent


def run(*words):
    with pytest.raises(SystemExit) as done:
        cli.main([str(word) for word in words])
    return done.value.code


def job_of(size_px, **options):
    photo, painting = torch.rand(3, size_px * 3 // 4, size_px), torch.rand(3, size_px, size_px)
    return prepare(photo, painting, **{"size_px": size_px, "precision": "fp32", "evaluations": 10} | options)


def test_tensors_are_counted():
    kept = torch.zeros(1000)
    with Meter() as meter:
        x = torch.zeros(100) + 1
        assert (meter.now, meter.peak) == (400, 800)  # the zeros are gone
        views = x[:50].view(5, 10), x.view(10, 10), kept[:3], kept.add_(1)
        assert meter.now == 400 and len(views) == 4
        del x, views
        assert (meter.now, meter.peak) == (0, 800)
        leaf = torch.ones(1000, requires_grad=True)
        waves = leaf.sin().sin().sin()  # the way back wants the leaf and two waves
        assert meter.now == 4 * 4000
        (slope,) = torch.autograd.grad(waves.sum(), leaf)
        assert meter.now == 3 * 4000 + 0 * slope.numel() and meter.peak > 4 * 4000
    later = torch.zeros(1_000_000)
    assert meter.peak < later.numel()


@pytest.mark.parametrize("options", [{}, {"style_loss": "mmd-gaussian"}, {"style_loss": "style-swap"}])
def test_tensors_grow_with_the_pixels(options, one_thread):
    """What is counted at two small sizes foretells a third."""
    peaks = {}
    for size in (64, 96, 128):
        job = job_of(size, single_scale=True, **options | {"evaluations": 3})
        with Meter() as meter:
            job.run()
        peaks[size * size] = meter.peak
    small = list(peaks.items())[:2]
    assert line(small, 128 * 128) == pytest.approx(peaks[128 * 128], rel=0.1)


def test_lines_and_what_is_steeper():
    assert line([(10, 3.0), (20, 5.0)], 40) == 9
    assert line([(10, 5.0), (20, 3.0)], 40) == 3  # noise
    assert line([(10, 1.0), (20, 5.0)], 40) == 10  # not from below nothing
    assert extrapolated([(10, 3.0), (20, 5.0)], 40) == 9
    points = [(n, 2 * n + 3 * n * n) for n in (5, 10, 20)]
    assert extrapolated(points, 100) == pytest.approx(2 * 100 + 3 * 100**2)
    assert extrapolated([(10, 1.0), (20, 40.0)], 40) == 160  # no faster than the square
    trials = [Trial(10, 1.0, 0.1), Trial(20, 2.0, 0.2)]
    assert _seconds(trials, 40, 10) == pytest.approx(4 + (9 + 1 / 3) * 0.4)


def test_the_plan_of_a_job(one_thread):
    """By size, of time; of memory, less with an optimiser that remembers less."""
    job = job_of(128, smallest_px=64, style_loss="bn")
    found = plan(job)
    assert list(found.seconds) == [64, 128] and 0 < found.seconds[64] < found.seconds[128] < found.total < 600
    assert found.peak > found.more > 128 * 96 * 12 * 30  # L-BFGS's memory alone
    assert found.fits and found.largest_px is None
    assert plan(job_of(96, optimizer="adam")).more < plan(job_of(96)).more
    assert job.run().evaluations == 15  # it is as it was


def test_tensors_in_tiles_grow_with_the_pixels_and_the_tile(one_thread, monkeypatch):
    """What is counted at small sizes with small tiles foretells a larger picture in larger ones."""
    monkeypatch.setattr(planned, "IN_TILES", ((96, 32), (128, 32), (64, 48)))
    shallow = {"style_layers": {"relu1_1": 1.0, "relu2_1": 1.0}, "content_layers": {"relu2_1": 1.0}}
    job = job_of(256, single_scale=True, tile=64, optimizer="lbfgs,history=2", **shallow | {"evaluations": 3})
    with Meter() as meter:
        job.run()
    rest, each = planned._in_tiles(job, 1.0)
    assert rest > 0 and each > 10 * 12
    assert rest + each * 256 * 192 == pytest.approx(meter.peak, rel=0.15)


def test_the_plan_of_a_job_in_tiles(photo, painting, one_thread, monkeypatch, capsys):
    monkeypatch.setattr(planned, "IN_TILES", ((64, 32), (80, 32), (48, 32)))
    options = ["--size", 90, "--threads", 1, "--style-layers", "relu1_1", "--content-layers", "relu1_1"]
    assert run("plan", photo, painting, *options, "--tile", 32) == 0
    said = capsys.readouterr().out
    assert "in tiles of 32 px" in said and "memory: about" in said and "it fits" in said
    job = prepare(photo, painting, size_px=90, tile=32, precision="fp32", smallest_px=30)
    assert planned._work(job, 30) == 30 * 24 and planned._work(job, 90) > 90 * 72  # margins, and a second look


def test_what_does_not_fit(photo, painting, capsys, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: 1 << 20)
    found = plan(job_of(80))
    assert not found.fits and 0 <= found.largest_px < 80
    assert run("plan", photo, painting, "--size", 80, "--threads", 1, "--tile", "off") == 1
    said = capsys.readouterr().out
    assert "does not fit" in said and "--size" in said
    monkeypatch.setattr(memory, "available", lambda device: None)
    assert run("plan", photo, painting, "--size", 80, "--threads", 1) == 0


@pytest.mark.parametrize("words", [("plan",), ("stylize", "--plan"), ("stylize", "--plan", "-o", "out.png")])
def test_the_command(words, photo, painting, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    given = ["--size", 80, "--threads", 1, "--preset", "fast", "--evaluations", 500, "--style-loss", "bn"]
    assert run(*words, photo, painting, *given) == 0
    said = capsys.readouterr()
    for told in ("device cpu", "time: about", "80 px", "memory: about", "GB are free: it fits"):
        assert told in said.out
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["none.jpg", "{painting}"], 2, "none.jpg"),
        (["{photo}", "{painting}", "--size", "20"], 1, "needs 32 px"),
        (["{photo}", "{painting}", "--style-loss", "grem"], 2, "there are bn"),
        (["{photo}", "{painting}", "--preview", "3"], 2, "--preview"),
        (["{photo}"], 2, "give one STYLE"),
    ],
)
def test_what_is_wrong(words, status, told, photo, painting, capsys):
    assert run("plan", *(word.format(photo=photo, painting=painting) for word in words)) == status
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


FRESH = """
import json, sys, torch
from gatys_lab.devices import keep_freed_memory
from tests.test_plan import job_of
from gatys_lab.plan import AT_EXIT, plan
torch.set_num_threads(1)
keep_freed_memory()
job = job_of(160, evaluations=4)
if sys.argv[1] == "plan":
    print(plan(job).peak - AT_EXIT)
else:
    job.run()
    print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_is_what_it_then_takes():
    """Two fresh processes: what one foretells, the other holds, within the 20 % that are promised."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told, found = (
        json.loads(
            subprocess.run(
                [sys.executable, "-c", FRESH, what], capture_output=True, text=True, check=True, env=environment
            ).stdout
        )
        for what in ("plan", "run")
    )
    assert told == pytest.approx(found, rel=0.2)


def test_what_the_process_has():
    before = resident(torch.device("cpu"))
    if before is None:
        pytest.skip("not known on this system")
    kept = torch.ones(50_000_000)
    assert resident(torch.device("cpu")) > before + 0.4 * kept.numel() * 4
