"""What tiles save and cost: peak memory, found and foretold by `plan`, and processor seconds; each in its own process.

    python -m pytest -m benchmark -n 0 -s tests/benchmarks/test_tiling_bench.py -k "1024 or 2048 or 4096"

Prints a line each; never passes or fails on a figure. The picture is examples/images/astronaut.jpg, enlarged, in the
manner of strokes.png, at one size, begun from the content. 8,192 px in bfloat16 take 14 minutes of an idle processor
and 12 GB.
"""

import itertools
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from gatys_lab.devices import keep_freed_memory
from gatys_lab.job import Job, prepare
from gatys_lab.plan import AT_EXIT, plan

IMAGES = Path(__file__).parents[2] / "examples" / "images"
RUNS: dict[str, tuple[int, dict[str, Any]]] = {
    "1024 off": (1024, {"tile": "off"}),
    "1024 512": (1024, {"tile": 512}),
    "2048 off": (2048, {"tile": "off"}),
    "2048 512": (2048, {"tile": 512}),
    "2048 1024": (2048, {"tile": 1024}),
    "4096 512": (4096, {"tile": 512}),
    "8192 512": (8192, {"tile": 512}),
}
pytestmark = pytest.mark.benchmark


def peak_gb() -> float:
    """The most memory that this process ever held."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e9


def prepared(size_px: int, options: dict[str, Any]) -> Job:
    keep_freed_memory()  # as the command line does
    photo = Pillow.open(IMAGES / "astronaut.jpg").convert("RGB").resize((size_px, size_px), Pillow.Resampling.BICUBIC)
    return prepare(photo, IMAGES / "strokes.png", size_px=size_px, single_scale=True, evaluations=4, **options)


def foretold(size_px: int, options: dict[str, Any]) -> str:
    return f"{(plan(prepared(size_px, options), time.process_time).peak - AT_EXIT) / 1e9:.2f}"


def measured(size_px: int, options: dict[str, Any]) -> str:
    job = prepared(size_px, options)
    stamps = [time.process_time()]  # whatever else runs on this machine
    job.run([lambda step: stamps.append(time.process_time())])
    first, *rest = (b - a for a, b in itertools.pairwise(stamps))
    one = statistics.median(rest[:-1])  # the last has no backward pass
    return f"{job.describe()}: {first - one:.1f} s before, {one:.2f} s an evaluation, peak {peak_gb():.2f} GB"


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("label", RUNS)
def test_memory_and_seconds(label: str, precision: str) -> None:
    size_px, options = RUNS[label]
    said = []
    for what in ("measured", "foretold"):
        code = f"from tests.benchmarks.test_tiling_bench import *\nprint({what}({size_px}, "
        code += f"{options | {'precision': precision}!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        said.append(done.stdout.strip())
    print(f"\n{label}, {precision}: {', foretold '.join(said)}", end="")
