"""What tiles save and cost: peak memory and processor seconds an evaluation, each in a process of its own.

    python -m pytest -m benchmark -n 0 -s tests/benchmarks/test_tiling_bench.py -k "1024 or 2048 or 4096"

Prints a line each; never passes or fails on a figure. The picture is examples/images/astronaut.jpg, enlarged, in the
manner of strokes.png, at one size, begun from the content. 8,192 px take a
quarter of an hour of an idle processor and perhaps 13 GB.
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
from gatys_lab.job import prepare

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


def peak_gib() -> float:
    """The most memory that this process ever held."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20


def measure(size_px: int, options: dict[str, Any]) -> str:
    keep_freed_memory()  # as the command line does
    photo = Pillow.open(IMAGES / "astronaut.jpg").convert("RGB").resize((size_px, size_px), Pillow.Resampling.BICUBIC)
    job = prepare(photo, IMAGES / "strokes.png", size_px=size_px, single_scale=True, evaluations=4, **options)
    stamps = [time.process_time()]  # whatever else runs on this machine
    job.run([lambda step: stamps.append(time.process_time())])
    first, *rest = (b - a for a, b in itertools.pairwise(stamps))
    one = statistics.median(rest[:-1])  # the last has no backward pass
    return f"{job.describe()}: {first - one:.1f} s before, {one:.2f} s an evaluation, peak {peak_gib():.2f} GiB"


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("label", RUNS)
def test_memory_and_seconds(label: str, precision: str) -> None:
    size_px, options = RUNS[label]
    code = "import sys\nfrom tests.benchmarks.test_tiling_bench import *\n"
    code += f"print(measure({size_px}, {options | {'precision': precision}!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    print(f"\n{label}, {precision}: {done.stdout.strip()}", end="")
