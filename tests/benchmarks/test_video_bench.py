"""Frames a second of a clip, decoding and encoding included, beside the model alone on the same frames in memory.

python -m pytest -m benchmark -n 0 -s tests/benchmarks/test_video_bench.py

The clip is drawn (640 px, H.264), or is $GATYS_LAB_CLIP, of 24 frames a second. Frames a second are of the best of
TIMES runs, one of each in turn; processor milliseconds a frame, of all threads, are of the same run. Two threads.
"""

import importlib.util
import os
import time
from contextlib import closing
from fractions import Fraction
from itertools import islice
from pathlib import Path

import pytest
import torch

from gatys_lab import clips, devices, video
from gatys_lab.fast import Painter, ready, source
from gatys_lab.images import Picture, read, resize

pytestmark = pytest.mark.benchmark
EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMES, TIMES, RATE = 240, 2, 24
FEW = 8  # frames of a model that is slow: finding the flow adds little to it
MODELS = {  # name and options, and how many frames are enough at 256 px; at 512 half as many
    "adain": ("adain", {}, FRAMES),
    "adaattn": ("adaattn", {}, FEW),
    "adaattn,form=cosine": ("adaattn", {"form": "cosine"}, 48),
    "inverse": ("inverse", {}, FEW),
}


@pytest.fixture(scope="module", autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    devices.keep_freed_memory()  # as the command does
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    if own := os.environ.get("GATYS_LAB_CLIP"):
        return Path(own)
    spec = importlib.util.spec_from_file_location("draw_clip", EXAMPLES / "draw_clip.py")
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    photo = resize(read(EXAMPLES / "images" / "chelsea.jpg").image, 640)
    photo = photo[..., : photo.shape[2] // 2 * 2, :]
    shown = (drawing.frame(photo, i / FRAMES) for i in range(FRAMES))
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    clips.write((clips.Frame(f, Fraction(i, RATE), Fraction(1, RATE)) for i, f in enumerate(shown)), path)
    return path


@pytest.mark.parametrize("size_px", [256, 512])
@pytest.mark.parametrize("name", MODELS)
def test_a_clip_beside_its_model(clip, tmp_path, name, size_px):
    kind, options, count = MODELS[name]
    count = count * 256 // size_px
    model, precision = ready(kind, devices.choose(), "auto", **options)
    painter = Painter(model, [source(EXAMPLES / "images" / "strokes.png", model)])
    with closing(iter(clips.Clip(clip, size_px=size_px))) as frames:
        images = [frame.image for frame in islice(frames, count)]
    end = (len(images) - 0.5) / RATE

    def film(steady):
        manner = video.OneByOne(painter, steady)
        outcome = video.paint(clip, tmp_path / "out.mp4", manner, end=end, size_px=size_px)
        assert outcome.frames == len(images)

    works = {"model alone": lambda: alone(painter, images), "film": lambda: film(0.0)}
    if len(images) > FEW:
        works["steady 2"] = lambda: film(2.0)
    figures = least(works, len(images))
    height, width = images[0].shape[2:]
    print(f"\n{name}, {precision}, {width} x {height} px, {painter.together(images[0])} a pass:", end=" ")
    print(", ".join(f"{work} {rate:.3g} frames/s ({cpu:.3g} ms)" for work, (rate, cpu) in figures.items()), end="")


def alone(painter, images):
    """The model with all threads, as many frames a pass as in the film."""
    together = painter.together(images[0])
    with torch.inference_mode():
        for i in range(0, len(images), together):
            painter(Picture(torch.cat(images[i : i + together])))


def least(works, count):
    """Frames a second and processor milliseconds a frame, of the best run."""
    figures = {}
    for _ in range(TIMES):
        for name, work in works.items():
            began, used = time.perf_counter(), time.process_time()
            work()
            figure = count / (time.perf_counter() - began), (time.process_time() - used) / count * 1000
            if figure[0] > figures.get(name, (0, 0))[0]:
                figures[name] = figure
    return figures
