"""What a style costs of a run: its features, and fitting the losses to them. One thread, processor seconds."""

import time
from pathlib import Path

import pytest
import torch

from gatys_lab.images import resize
from gatys_lab.job import prepare

IMAGES = Path(__file__).parents[2] / "examples" / "images"
LOSSES = ("gram", "mmd-gaussian", "gaussian-wasserstein", "sliced-wasserstein", "mrf")
FEW, RUN, SIZE_PX = 10, 50, 256  # evaluations that are timed, and of a run


@pytest.mark.benchmark
@pytest.mark.parametrize("loss", LOSSES)
def test_a_style_beside_its_run(loss, one_thread):
    options = {"style_loss": loss, "size_px": SIZE_PX, "single_scale": True, "evaluations": FEW, "precision": "fp32"}
    job = prepare(IMAGES / "chelsea.jpg", IMAGES / "strokes.png", **options)
    photo, wanted = resize(job.photo.image, SIZE_PX), job.objective
    with torch.no_grad():
        features = job.network(photo, wanted.layers_of(style=False))
        fitting = min(_seconds(lambda: wanted.fit(features, _look(job, photo))) for _ in range(3))
    run = _seconds(job.run) / FEW * RUN
    print(f"\n{loss}: {fitting:.3f} of {run:.2f} s, {fitting / run:.2%}")


def _look(job, photo):
    return job.network(job._paintings(photo)[0], job.objective.layers_of(style=True, of=0))


def _seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began
