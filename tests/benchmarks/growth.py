"""How cost grows with the picture: seconds of an evaluation, seconds to a given loss, memory. Each in a fresh process.

    python tests/benchmarks/growth.py growth.csv --plot growth.png

measures what is not in growth.csv yet, adds a row each (so that an interrupted run goes on), prints Markdown tables and
draws. --sizes, --threads, --losses, --networks and --precision choose; with an empty --sizes it only draws.
The photograph is examples/images/astronaut.jpg, enlarged, the painting strokes.png at the same size; one size, from the
content, as a whole where memory allows it, else in tiles.

Seconds are those of the processor in one thread, which other programs disturb less, and those of the clock in several.
VGG-19 has random weights where there are none in $GATYS_LAB_WEIGHTS: its time is the same, its losses are not.
`bare` is the network alone: a forward and backward pass to the same layers.
"""

import argparse
import csv
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "examples" / "images"
NETWORKS = ("lite", "vgg19")
LOSSES = (
    "bare", "gram", "bn", "mmd-linear", "mmd-poly", "mmd-gaussian", "sliced-wasserstein", "style-swap", "histogram",
)  # fmt: skip
SIZES = (128, 256, 512, 1024, 2048)
FEW, MANY = 8, 40  # evaluations: at least, and at most until a quarter of the loss is reached
LARGE = 2048  # px; from here on FEW are enough: no loss of those is near a quarter in forty
HALF, QUARTER = 0.5, 0.25  # of the loss at the first evaluation, which is the photograph's


@dataclass(frozen=True)
class Case:
    network: str
    loss: str
    size_px: int
    threads: int
    precision: str

    @property
    def clock(self) -> Callable[[], float]:
        return time.process_time if self.threads == 1 else time.perf_counter

    @property
    def most(self) -> int:
        """Evaluations."""
        return FEW if self.size_px >= LARGE else MANY


@dataclass(frozen=True)
class Found:
    """Seconds; memory of the process at its most, and before the job began, MiB. None: not reached, or not so."""

    tile_px: int | None
    begin_s: float | None  # until the first evaluation is done: features, targets, balance
    evaluation_s: float
    half_s: float | None
    quarter_s: float | None
    peak_mib: int
    before_mib: int


def measure(case: Case) -> Found:
    """In this process, which should be fresh."""
    import torch
    from test_engine_bench import bare, peak_mib

    from gatys_lab.devices import PRECISIONS, keep_freed_memory

    torch.set_num_threads(case.threads)
    keep_freed_memory()  # as the command line does
    network = _network(case.network).to(PRECISIONS[case.precision])
    photo = _picture("astronaut.jpg", case.size_px)
    before = peak_mib()
    if case.loss == "bare":
        image = torch.rand(1, 3, case.size_px, case.size_px)
        layers = ("relu4_2", "relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
        seconds = [_timed(case, lambda: bare(network, image, layers)) for _ in range(4)]
        return Found(None, None, statistics.median(seconds[1:]), None, None, peak_mib(), before)
    return replace(_run(case, network, photo), peak_mib=peak_mib(), before_mib=before)


def _run(case: Case, network: Any, photo: Any) -> Found:
    from gatys_lab.job import prepare

    painting = _picture("strokes.png", case.size_px)
    options = {"style_loss": case.loss, "size_px": case.size_px, "precision": "fp32", "single_scale": True}
    job = replace(prepare(photo, painting, evaluations=case.most, **options), network=network).in_tiles()
    began, stamps, losses = case.clock(), [], []

    def seen(step: Any) -> None:
        if step.evaluation < case.most and not _enough(losses):  # the last one, of what is delivered, has no way back
            stamps.append(case.clock() - began)
            losses.append(float(step.loss))
            if _enough(losses):
                raise KeyboardInterrupt  # which ends the run

    job.run([seen])
    one = statistics.median(b - a for a, b in itertools.pairwise(stamps))
    reached = [next((s for s, x in zip(stamps, losses, strict=True) if x <= part * losses[0]), None)
               for part in (HALF, QUARTER)]  # fmt: skip
    return Found(job.tile_px, stamps[0], one, *reached, 0, 0)


def _enough(losses: Sequence[float]) -> bool:
    return len(losses) >= FEW and losses[-1] <= QUARTER * losses[0]


def _network(name: str) -> Any:
    from test_engine_bench import NETWORKS as RANDOM

    from gatys_lab import catalog
    from gatys_lab.networks import _weights

    known = name != "vgg19" or _weights.find(name) is not None
    return catalog.load("networks", name) if known else RANDOM[name]()


def _picture(name: str, size_px: int) -> Any:
    from PIL import Image

    return Image.open(IMAGES / name).convert("RGB").resize((size_px, size_px), Image.Resampling.BICUBIC)


def _timed(case: Case, work: Callable[[], Any]) -> float:
    began = case.clock()
    work()
    return case.clock() - began


def rows(path: Path) -> dict[Case, Found]:
    """What was measured before."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {_read(Case, row): _read(Found, row) for row in csv.DictReader(file)}


def _read(kind: Any, row: dict[str, str]) -> Any:
    def value(text: str, of: Any) -> Any:
        if of is str:
            return text
        return None if text == "" else float(text) if "float" in str(of) else int(text)

    return kind(**{field.name: value(row[field.name], field.type) for field in fields(kind)})


def add(path: Path, case: Case, found: Found) -> None:
    row = asdict(case) | asdict(found)
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def measure_all(path: Path, cases: Sequence[Case]) -> None:
    """A fresh process each, small pictures first. One that fails is told and left out: memory may not suffice."""
    for case in sorted(cases, key=lambda case: case.size_px):
        if case in rows(path):
            continue
        code = f"from growth import *\nadd(Path({str(path.resolve())!r}), {case!r}, measure({case!r}))"
        env_path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        done = subprocess.run([sys.executable, "-c", env_path + code], capture_output=True, text=True)
        said = rows(path).get(case) if done.returncode == 0 else done.stderr.strip().splitlines()[-1:]
        print(*asdict(case).values(), said, flush=True)


def table(found: dict[Case, Found], network: str, threads: int, precision: str) -> str:
    """Markdown: seconds of an evaluation, seconds to a quarter of the loss, peak of memory in MiB."""
    chosen = {
        (c.loss, c.size_px): f
        for c, f in found.items()
        if (c.network, c.threads, c.precision) == (network, threads, precision)
    }
    sizes = sorted({size for _, size in chosen})
    lines = [
        f"| {network}, {threads} thread{'s' * (threads > 1)}, {precision} | "
        + " | ".join(f"{s:,} px" for s in sizes)
        + " |"
    ]
    lines.append("|---" * (len(sizes) + 1) + "|")
    for loss in dict.fromkeys(loss for loss, _ in chosen):
        lines.append(f"| {loss} | " + " | ".join(_cell(chosen.get((loss, size))) for size in sizes) + " |")
    return "\n".join(lines)


def _cell(found: Found | None) -> str:
    if found is None:
        return ""
    to = "" if found.begin_s is None else f", {_short(found.quarter_s)}"
    return f"{_short(found.evaluation_s)}{to}, {found.peak_mib:,}"


def _short(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2g}" if seconds < 10 else f"{seconds:,.0f}"


def draw(found: dict[Case, Found], path: Path, precision: str) -> None:
    """Three panels a network, one thread: what the tables say."""
    import matplotlib.pyplot as plt

    panels = (("evaluation_s", "seconds an evaluation"), ("quarter_s", "seconds to a quarter of the loss"),
              ("peak_mib", "peak of memory, MiB"))  # fmt: skip
    figure, axes = plt.subplots(len(NETWORKS), len(panels), figsize=(11, 7), sharex=True, squeeze=False)
    for (row, network), (column, (name, title)) in itertools.product(enumerate(NETWORKS), enumerate(panels)):
        axis = axes[row][column]
        for loss in LOSSES:
            points = sorted(
                (case.size_px, getattr(one, name)) for case, one in found.items()
                if (case.network, case.loss, case.threads, case.precision) == (network, loss, 1, precision)
                and getattr(one, name) is not None
            )  # fmt: skip
            style = {"color": "black", "linestyle": "--"} if loss == "bare" else {"marker": "."}
            if points:
                axis.loglog(*zip(*points, strict=True), label=loss, **style)
        axis.set_title(f"{network}: {title}")
        sizes = sorted({case.size_px for case in found})
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.3)
    axes[-1][1].set_xlabel("px a side, one thread")
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--threads", type=int, nargs="*", default=(1, 2))
    parser.add_argument("--losses", nargs="*", choices=LOSSES, default=LOSSES)
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    asked = parser.parse_args(arguments)
    chosen = itertools.product(asked.networks, asked.losses, asked.sizes, asked.threads, [asked.precision])
    measure_all(asked.csv, [Case(*words) for words in chosen])
    found = rows(asked.csv)
    for network, threads in sorted(
        {(case.network, case.threads) for case in found if case.precision == asked.precision}
    ):
        print(f"\n{table(found, network, threads, asked.precision)}")
    if asked.plot is not None:
        draw(found, asked.plot, asked.precision)


if __name__ == "__main__":
    main()
