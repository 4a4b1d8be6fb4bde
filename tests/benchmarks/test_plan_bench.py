"""What `plan` foretells beside what a run then takes, each in a fresh process. `python -m pytest -m benchmark -n 0 -s`

One thread, processor seconds, which other programs disturb less than those of a clock; memory is ru_maxrss. Runs are
from coarse to fine, of 10 evaluations a size, of noise. VGG-19 needs its weights: $GATYS_LAB_WEIGHTS, or downloaded.
"""

import json
import os
import subprocess
import sys

import pytest

from gatys_lab.networks import _weights

SIZES = (256, 512, 1024)
CASES = [("lite", loss, "fp32") for loss in ("gram", "bn", "mmd-gaussian", "style-swap")]
CASES += [("lite", "gram", "bf16"), ("vgg19", "gram", "fp32"), ("vgg19", "gram", "bf16")]
CHILD = """
import json, sys, time, torch
from gatys_lab.devices import keep_freed_memory
from gatys_lab.job import prepare
from gatys_lab.plan import plan
torch.set_num_threads(1)
keep_freed_memory()
what, network, loss, precision, size_px = sys.argv[1:]
size_px = int(size_px)
photo, painting = torch.rand(3, size_px * 3 // 4, size_px), torch.rand(3, size_px, size_px)
options = dict(network=network, style_loss=loss, precision=precision, size_px=size_px, evaluations=10)
job = prepare(photo, painting, **options)
began = time.process_time()
if what == "plan":
    found = plan(job, time.process_time)
    print(json.dumps([found.total, found.peak, time.process_time() - began]))
else:
    job.run()
    print(json.dumps(time.process_time() - began))
"""


def child(*words) -> tuple[object, int]:
    """What it printed, and its peak of resident memory, bytes."""
    running = subprocess.Popen([sys.executable, "-c", CHILD, *map(str, words)], stdout=subprocess.PIPE, text=True)
    said = running.stdout.read()
    _, status, used = os.wait4(running.pid, 0)
    assert status == 0
    return json.loads(said), used.ru_maxrss * 1024


@pytest.mark.benchmark
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("size_px", SIZES)
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_plan_and_its_run(case, size_px):
    if case[0] == "vgg19" and _weights.find("vgg19") is None:
        pytest.skip("no weights of vgg19 here")
    (seconds, peak, taken), _ = child("plan", *case, size_px)
    real, most = child("run", *case, size_px)
    time = f"time {seconds:.1f} of {real:.1f} s ({seconds / real - 1:+.0%})"
    print(f"\n{' '.join(case)} {size_px} px: {time}, memory {peak / 1e6:.0f} of {most / 1e6:.0f} MB "
          f"({peak / most - 1:+.0%}), told in {taken:.1f} s", end="")  # fmt: skip
