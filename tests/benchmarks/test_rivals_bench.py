"""Seconds to a given loss, beside neural-style-pt and pystiche, on the same genuine VGG-19. See rivals.py.

    GATYS_LAB_WEIGHTS=vgg19.pth python -m pytest -m benchmark -n 0 -s tests/benchmarks/test_rivals_bench.py

Processor seconds of one thread. Prints a line each; never passes or fails on a time, only where the programs do not
minimise the same. A picture is judged as its file would hold it, in 8 bits, by the other program's objective in 32
bits; the other program's own loss is that of its iterate as it is, whose pixels may lie where no file can hold them.

`-k seconds_to_a_loss` lets the other program run to its end, `-k as_good_as_lite` only until its picture is as good as
lite's, which is told nothing, or the same objective (rival_losses.as_strong).

| variable | what it says |
|---|---|
| GATYS_LAB_RIVALS_ITERATIONS | of the other program, at most; else 1,000, pystiche 500, and 150 until lite's picture |
| GATYS_LAB_RIVALS_FOLDER | where films are kept, so that an interrupted comparison goes on |

pystiche is compared where it can be imported: `pip install --no-deps --target FOLDER pystiche==1.0.1 tqdm`, and FOLDER
in $PYTHONPATH.
"""

import os
import subprocess
import sys
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from rival_losses import import_pystiche, judge
from rivals import sized

from gatys_lab.networks import _weights

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "examples" / "images"
PAIRS = (("astronaut.jpg", "strokes.png"), ("chelsea.jpg", "mosaic.png"), ("coffee.jpg", "ink.png"))
RIVALS = {  # program, objective, start, iterations where nothing is said
    "neural-style, noise": ("neural-style", "neural-style", "noise", 1000),
    "neural-style, content": ("neural-style", "neural-style", "content", 1000),
    "neural-style, our default": ("neural-style", "default", "content", 1000),
    "pystiche": ("pystiche", "pystiche", "content", 500),
}
MORE = 2  # evaluations of ours on the same network for each of its iterations, at the most
EVALUATIONS = 50  # of lite at the last size, which is its default
AGREE = 0.1  # of the loss: 8 bits, the clamp, bfloat16, and pixels of 0 to 256 for 0 to 255
pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(
        _weights.find("vgg19") is None, reason="no weights of vgg19 here: name them in $GATYS_LAB_WEIGHTS"
    ),
]


@dataclass(frozen=True)
class Task:
    pair: tuple[str, str]
    size_px: int

    def pictures(self):
        return [sized(IMAGES / name, self.size_px) for name in self.pair]

    def film(self, folder, program, objective, start, iterations, *goal):
        """What one program did, from the folder if it is there."""
        words = [program, objective, start, iterations, self.size_px, *self.pair, *goal]
        out = folder / f"{'-'.join(map(str, words))}.pt"
        if not out.exists():
            words = [program, objective, *(IMAGES / name for name in self.pair), self.size_px, iterations, start, out]
            words += goal
            command = [sys.executable, Path(__file__).with_name("rivals.py"), *words]
            paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
            env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
            subprocess.run([*map(str, command)], check=True, env=env)
        return torch.load(out)


@pytest.fixture
def folder(tmp_path):
    kept = Path(os.environ.get("GATYS_LAB_RIVALS_FOLDER") or tmp_path)
    kept.mkdir(parents=True, exist_ok=True)
    return kept


@pytest.mark.parametrize("size_px", [256, 512])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("rival", RIVALS)
def test_seconds_to_a_loss(rival, pair, size_px, folder, one_thread):
    program, objective, start, usual = RIVALS[rival]
    if program == "pystiche":
        _skip_without_pystiche()
    iterations = int(os.environ.get("GATYS_LAB_RIVALS_ITERATIONS") or usual)
    task = Task(pair, size_px)
    theirs = task.film(folder, program, objective, start, iterations)
    same = task.film(folder, "vgg19", objective, "single", MORE * iterations)
    small = task.film(folder, "lite", "default", "coarse", EVALUATIONS)
    judged = judge(_weights.find("vgg19"), objective, *task.pictures())
    end = judged(same["pictures"][-1:])
    assert same["losses"][-1] == pytest.approx(end, rel=AGREE), "not the same objective"
    _print(f"{size_px} px, {' x '.join(pair)}, {rival}", judged, theirs, same, small)


@pytest.mark.parametrize("size_px", [256, 512])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("start", ["noise", "content"])
def test_until_as_good_as_lite(start, pair, size_px, folder, one_thread):
    task, iterations = Task(pair, size_px), int(os.environ.get("GATYS_LAB_RIVALS_ITERATIONS") or 150)
    judged = judge(_weights.find("vgg19"), "neural-style", *task.pictures())
    small = {told: task.film(folder, "lite", told, "coarse", EVALUATIONS) for told in ("default", "neural-style")}
    goals = {told: judged(film["pictures"][-1:]) for told, film in small.items()}
    theirs = task.film(folder, "neural-style", "neural-style", start, iterations, f"{min(goals.values()):.5g}")
    print(f"\n{size_px} px, {' x '.join(pair)}, {start}: {len(theirs['seconds'])} iterations", end="")
    print(f", {theirs['seconds'][-1]:.0f} s, loss {judged(theirs['pictures'][-1:]):.4g}")
    for told, goal in goals.items():
        took = small[told]["seconds"][-1]
        print(f"  lite, told {told}: {goal:.4g} in {took:.1f} s; {_against(until(theirs, judged, goal), took)}")


def _print(title, judged, theirs, same, small):
    print(f"\n{title}: {len(theirs['seconds'])} iterations, {theirs['seconds'][-1]:.0f} s")
    for what, goal in (("loss", theirs["losses"][-1]), ("picture's loss", judged(theirs["pictures"][-1:]))):
        print(f"  its {what} {goal:.4g}: vgg19 ", end="")
        ours = until(same, judged, goal)
        ended = f"not in {same['seconds'][-1]:.1f} s, after which it is {judged(same['pictures'][-1:]):.4g}"
        print(ended if ours is None else f"in {ours:.1f} s, {ours / theirs['seconds'][-1]:.2f} of its seconds")
    goal, took = judged(small["pictures"][-1:]), small["seconds"][-1]
    own = next((s for s, loss in zip(theirs["seconds"], theirs["losses"], strict=True) if loss <= goal), None)
    print(f"  lite's picture, loss {goal:.4g}, in {took:.1f} s; {_against(own, took)} until its loss is that, ", end="")
    print(f"{_against(until(theirs, judged, goal), took)} until its picture's is")


def until(film, judged, goal):
    """Seconds to the first picture that is as good, or None. By bisection, as if losses only fell."""
    pictures = film["pictures"]
    found = bisect_left(range(len(pictures)), True, key=lambda i: judged(pictures[i : i + 1]) <= goal)
    return film["seconds"][found] if found < len(pictures) else None


def _against(theirs, ours):
    return "never" if theirs is None else f"{theirs:.1f} s ({theirs / ours:.1f} times)"


def _skip_without_pystiche():
    try:
        import_pystiche()
    except ImportError as error:
        pytest.skip(f"no pystiche 1.0.1 here ({error})")
