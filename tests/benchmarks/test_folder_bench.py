"""What limits how many pictures a second `fast` paints over a folder: processor time of each step, one thread."""

import time
from pathlib import Path

import pytest
import torch

from gatys_lab.fast import Painter, ready, source
from gatys_lab.images import read, resize, write

IMAGES = Path(__file__).parents[2] / "examples" / "images"
COUNT = 3
CPU = torch.device("cpu")


def milliseconds(step):
    """Processor time of a call, a mean, after one to warm up."""
    step()
    began = time.process_time()
    for _ in range(COUNT):
        step()
    return 1000 * (time.process_time() - began) / COUNT


@pytest.mark.benchmark
@pytest.mark.parametrize("size_px", [256, 512])
def test_steps_of_a_picture(size_px, tmp_path, one_thread):
    photo = tmp_path / "photo.jpg"
    write(resize(read(IMAGES / "astronaut.jpg").image, size_px), photo)
    print(f"\n{size_px} px: read {milliseconds(lambda: read(photo)):.1f} ms", end="")
    for suffix in ("jpg", "png"):
        out = tmp_path / f"out.{suffix}"
        print(f", write {suffix} {milliseconds(lambda: write(read(photo).image, out)):.1f} ms with reading", end="")  # noqa: B023
    picture = read(photo)
    for precision in ("fp32", "bf16"):
        for name in ("adain", "adaattn", "inverse"):
            model, _ = ready(name, CPU, precision)
            painter = Painter(model, [source(IMAGES / "ink.png", model)])
            print(f", {name} {precision} {milliseconds(lambda: painter(picture)):.0f} ms", end="")  # noqa: B023
    print()
