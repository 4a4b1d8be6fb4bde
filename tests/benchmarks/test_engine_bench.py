"""What one engine evaluation costs over the bare network, and how memory grows. `python -m pytest -m benchmark -n 0 -s`

Prints tables; never passes or fails on a time. The bare network is a forward and backward pass to the same layers, its
padding and heads included; the engine adds the losses, their gradients, and L-BFGS with a history of 10.
"""

import itertools
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gatys_lab.devices import PRECISIONS
from gatys_lab.engine import optimize
from gatys_lab.networks import lite
from gatys_lab.networks._vgg import VGG
from gatys_lab.objective import balanced, content, style
from gatys_lab.optimizers import lbfgs

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
WARM = 12  # evaluations, after which the history is full
pytestmark = pytest.mark.benchmark


def vgg19() -> VGG:
    """VGG-19 to relu5_1 with random weights: the time is the genuine one's."""
    widths = {step: (64, 128, 256, 512, 512)[int(step[4]) - 1] for step in lite.WIDTHS}
    net = VGG("vgg19", widths, padding="reflect")
    for step in widths:
        torch.nn.init.kaiming_normal_(getattr(net, step).weight)
    return net.requires_grad_(False).to(memory_format=torch.channels_last)


NETWORKS = {"vgg19": vgg19, "lite": lite.build}


def bare(network, image, layers) -> float:
    """Seconds of one forward and backward pass."""
    began = time.perf_counter()
    leaf = image.clone().requires_grad_()
    features = network(leaf, layers)
    torch.autograd.grad([f.sum() for f in features.values()], leaf)
    return time.perf_counter() - began


def engine(network, photo, painting, loss, evaluations) -> float:
    """Seconds of one evaluation, the median after the history is full."""
    wanted = content("relu4_2") + 5 * style(loss, LAYERS)
    with torch.no_grad():
        fitted = wanted.fit(network(photo, wanted.layers), network(painting, wanted.layers))
    fitted = balanced(fitted, network, photo)
    stamps = []
    optimize(
        photo,
        network,
        fitted,
        lbfgs.build(history=10),
        evaluations=evaluations,
        callbacks=[lambda step: stamps.append(time.perf_counter())],
    )
    stamps = stamps[WARM:-1]  # the last evaluation has no backward pass
    return statistics.median(b - a for a, b in itertools.pairwise(stamps))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size_px", [512, 1024])
def test_one_evaluation_over_the_bare_network(name, size_px, precision):
    network = NETWORKS[name]().to(PRECISIONS[precision])
    photo, painting = torch.rand(2, 1, 3, size_px, size_px)
    layers = ("relu4_2", *LAYERS)
    bare(network, photo, layers)
    for loss in ("gram", "bn", "mmd-linear", "mmd-poly", "mmd-gaussian"):
        before = [bare(network, photo, layers) for _ in range(5)]
        one = engine(network, photo, painting, loss, WARM + 12)
        after = [bare(network, photo, layers) for _ in range(5)]
        base = statistics.median(before + after)
        print(
            f"\n{name} {precision} {size_px} px {loss}: bare {base:.3f} s, engine {one:.3f} s, ratio {one / base:.2f}",
            end="",
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_compiled(name):
    """Seconds of the bare network as it is and by torch.compile, whose first call is apart."""
    network, photo, layers = NETWORKS[name](), torch.rand(1, 3, 512, 512), ("relu4_2", *LAYERS)
    compiled = torch.compile(network)
    first = bare(compiled, photo, layers)
    seconds = [(bare(network, photo, layers), bare(compiled, photo, layers)) for _ in range(6)]
    plain_s, compiled_s = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(f"\n{name}: {plain_s:.3f} s, compiled {compiled_s:.3f} s, its first {first:.0f} s", end="")


def test_lite_over_vgg19():
    nets = {name: build() for name, build in NETWORKS.items()}
    photo = torch.rand(1, 3, 512, 512)
    layers = ("relu4_2", *LAYERS)
    seconds = {name: [] for name in nets}
    for _ in range(6):
        for name, net in nets.items():
            seconds[name].append(bare(net, photo, layers))
    lite_s, vgg19_s = (statistics.median(seconds[name][1:]) for name in ("lite", "vgg19"))
    print(f"\nlite {lite_s:.3f} s, vgg19 {vgg19_s:.3f} s, vgg19 / lite {vgg19_s / lite_s:.1f}", end="")


def peak_mib() -> int:
    """The most memory that this process ever held; ru_maxrss would begin with its parent's."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024


CHILD = """
import sys, torch
from tests.benchmarks.test_engine_bench import *
torch.rand(1)
network = NETWORKS[sys.argv[1]]()
photo, painting = torch.rand(2, 1, 3, int(sys.argv[2]), int(sys.argv[2]))
before = peak_mib()
engine(network, photo, painting, "gram", WARM + 4)
print(peak_mib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("name", NETWORKS)
def test_peak_memory(name):
    for size_px in (128, 256, 512, 1024):
        command = [sys.executable, "-c", CHILD, name, str(size_px)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"\n{name} {size_px} px: {done.stdout.strip()} MiB above the program and its weights", end="")
