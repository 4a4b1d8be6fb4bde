"""Small pictures and small networks, so that the tests that need an engine are quick."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # threads that wait for each other make small tensors slower, not faster
os.environ["GATYS_LAB_CACHE"] = tempfile.mkdtemp(prefix="gatys-lab-tests-")  # nothing of this machine's own
atexit.register(shutil.rmtree, os.environ["GATYS_LAB_CACHE"], ignore_errors=True)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from PIL import Image as Pillow  # noqa: E402

from gatys_lab.job import Job  # noqa: E402
from gatys_lab.networks._vgg import VGG, plan  # noqa: E402


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Two threads on small vectors wait for each other more than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny() -> VGG:
    """A VGG to relu3_1 with a handful of channels and random weights, float64."""
    widths = {step: 6 for step in plan((2, 2, 1)) if step.startswith("conv")}
    net = VGG("tiny", widths, padding="reflect").double().requires_grad_(False)
    for step in widths:
        torch.nn.init.kaiming_normal_(getattr(net, step).weight)
    return net


network = pytest.fixture(tiny, name="network")


@pytest.fixture
def photo(tmp_path):
    """A file of a smooth picture with an edge, 90 x 72."""
    y, x = np.mgrid[0:72, 0:90] / 90
    pixels = np.stack([x, y, (x > y) * 0.8], 2)
    Pillow.fromarray((pixels * 255).astype("uint8")).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def painting(tmp_path):
    """A file of coarse coloured noise, 80 x 80."""
    cells = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Pillow.fromarray(cells).resize((80, 80), Pillow.Resampling.NEAREST).save(tmp_path / "painting.png")
    return tmp_path / "painting.png"


@pytest.fixture
def folder(tmp_path):
    """Six pictures and a file that only looks like one."""
    (tmp_path / "pictures").mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 10 + i, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).resize((60, 48 + i)).save(tmp_path / "pictures" / f"{i}.png")
    (tmp_path / "pictures" / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    return tmp_path / "pictures"


@pytest.fixture
def runs(monkeypatch):
    """The configurations that the engine ran, one after the other."""
    seen, run = [], Job.run

    def counted(self, *arguments):
        seen.append(self.config)
        return run(self, *arguments)

    monkeypatch.setattr(Job, "run", counted)
    return seen
