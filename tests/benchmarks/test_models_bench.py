"""Seconds and memory of the fast path. `python -m pytest -m benchmark -n 0 -s tests/benchmarks/test_models_bench.py`

Prints tables; never passes or fails on a time. Weights are random where none are needed: they cost the same.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import test_engine_bench
import torch
from torch.nn import functional as F

from gatys_lab import devices, stylize
from gatys_lab.losses import style_swap
from gatys_lab.models import adain
from gatys_lab.networks import lite

pytestmark = pytest.mark.benchmark
BIG = 6144  # MiB; the naive form is not tried where its matrices alone are larger


def seconds(function, times=7) -> float:
    """The median, after one that is not counted."""
    function()
    stamps = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        stamps.append(time.perf_counter() - began)
    return statistics.median(stamps)


@torch.no_grad()
def test_adain_with_its_style_at_hand():
    photo = torch.rand(1, 3, 512, 512)
    devices.keep_freed_memory()  # as the command line does
    found, ways = {}, {"vgg19": (test_engine_bench.vgg19, "none")}
    ways |= {"lite": (lite.build, "none")} | {f"lite {norm}": (lite.build, norm) for norm in adain.LEVELS}
    for name, (encoder, norm) in ways.items():
        model = adain.create(encoder(), norm=norm).to(memory_format=torch.channels_last).eval()
        style = model.style_of(photo)
        found[name] = seconds(lambda model=model, style=style: model(photo, style))
        halves = model.bfloat16()
        half = {k: v.bfloat16() for k, v in style.items()}
        found[f"{name} bf16"] = seconds(lambda model=halves, style=half: model(photo.bfloat16(), style))
    for name in ways:
        halves = found[f"{name} bf16"]
        print(
            f"\nAdaIN, 512 px, {name}: {found[name]:.3f} s, bf16 {halves:.3f} s, {found['vgg19'] / found[name]:.1f}",
            end="",
        )


def usual_swap(content, style):
    """The published way: one convolution with all patches of the style, and one transposed of their one-hot choice."""
    patches = F.unfold(style, 3).view(style.shape[1], 3, 3, -1).permute(3, 0, 1, 2)
    scores = F.conv2d(content, patches / patches.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp_min(1e-12))
    one_hot = torch.zeros_like(scores).scatter_(1, scores.argmax(1, keepdim=True), 1)
    total = F.conv_transpose2d(one_hot, patches)
    return total / F.conv_transpose2d(torch.ones_like(scores[:, :1]), torch.ones(1, 1, 3, 3))


def smooth(*shape, seed):
    """Features with neighbours alike, as a network's are."""
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return F.relu(F.avg_pool2d(noise, 5, 1, 2) * 5)


SWAPS = {
    "usual": usual_swap,
    "ours": lambda content, style: style_swap.build().fit(style, content),
    "512 candidates": lambda content, style: style_swap.build(candidates=512).fit(style, content),
}
SWAP = """
import sys, torch
from test_models_bench import *
content, style = smooth(1, 256, 128, 128, seed=0), smooth(1, 256, 128, 128, seed=1)
before = test_engine_bench.peak_mib()
swap = SWAPS[sys.argv[1]]
print(f"{seconds(lambda: swap(content, style), 3):.2f} s")
print(test_engine_bench.peak_mib() - before, "MiB")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_style_swap_at_relu3_1_of_512_px():
    content, style = smooth(1, 256, 128, 128, seed=0), smooth(1, 256, 128, 128, seed=1)
    targets = {name: swap(content, style) for name, swap in SWAPS.items()}
    best = (targets["usual"] - content).square().mean()
    for name, target in targets.items():
        done = child(SWAP, name)
        same = (target - targets["usual"]).abs().amax(1).lt(1e-3).float().mean()
        loss = (target - content).square().mean() / best
        print(f"\nswap, {name}: {done}; {100 * float(same):.2f} % of cells the same, loss {float(loss):.3f}", end="")


def child(program, *arguments) -> str:
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=here)
    return " ".join(done.stdout.split()) if done.returncode == 0 else f"failed: {done.stderr.strip().splitlines()[-1:]}"


ATTENTION = """
import sys, torch
from test_models_bench import *
from gatys_lab.models import adaattn
form, size_px = sys.argv[1], int(sys.argv[2])
model = adaattn.create(lite.build(), "softmax" if form == "naive" else form).eval()
if form == "naive":
    from gatys_lab.models import _attention
    _attention.FORMS["softmax"] = naive
photo = torch.rand(1, 3, size_px, size_px)
before = test_engine_bench.peak_mib()
began = time.perf_counter()
with torch.no_grad():
    model(photo, model.style_of(photo.flip(3)))
print(f"{time.perf_counter() - began:.2f} s")
print(test_engine_bench.peak_mib() - before, "MiB")
"""


def naive(query, key, value):
    """Softmax attention with its whole matrix."""
    a = (query.mT @ key).softmax(2)
    mean = value @ a.mT
    return mean, (value.square() @ a.mT - mean.square()).clamp_min(0).sqrt()


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("form", ["naive", "softmax", "cosine"])
def test_adaattn(form):
    for size_px in (256, 512, 1024, 2048, 4096):
        matrix = (size_px / 4) ** 4 * 4 / 2**20  # at relu3_1
        if (form == "naive" and 2 * matrix > BIG) or (form == "softmax" and size_px > 2048):
            continue
        print(f"\nAdaAttN {form} {size_px} px: {child(ATTENTION, form, str(size_px))}", end="")


@pytest.mark.parametrize("name", ["adain", "adaattn", "inverse"])
@pytest.mark.parametrize("pair", [("astronaut.jpg", "strokes.png"), ("coffee.jpg", "mosaic.png")])
def test_a_warm_start(name, pair):
    """Evaluations and seconds until the loss that the default run from the content ends with."""
    photo, painting = (Path("examples/images") / file for file in pair)
    cold = stylize(photo, painting)
    warm = stylize(photo, painting, init=name)
    there = next((row for row in warm.trace if row.size_px == 512 and row.total <= cold.loss), None)
    end = "never" if there is None else f"{there.evaluation} evaluations, {there.seconds:.1f} s"
    print(f"\n{name}, {pair[0]}: cold {cold.loss:.4g} in {cold.evaluations}, {cold.seconds:.1f} s; warm {end}", end="")
