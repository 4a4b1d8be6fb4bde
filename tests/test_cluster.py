"""Many pictures by workers: whoever dies is replaced, nothing is painted twice, the pixels are those of one process."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from gatys_lab import batch, cli, cluster
from gatys_lab.cluster import Crew, Lost, Seats, seats

QUICK = ["--size", "40", "--evaluations", "2", "--threads", "1", "--precision", "fp32", "--style-layers", "relu1_1"]
LOSS = """
import os, signal

class Mortal:
    def fit(self, style, content, weights=None):
        with open("fits", "a") as log:
            log.write(f"{os.getpid()}\\n")
        if len(open("fits").readlines()) >= 3:
            try:
                os.unlink("armed")
            except FileNotFoundError:  # the other one was quicker
                return style.mean((2, 3))
            os.kill(os.getpid(), signal.SIGKILL)
        return style.mean((2, 3))

    def __call__(self, features, target, weights=None):
        return (features.mean((2, 3)) - target).square().mean()

def build():
    return Mortal()
"""
TWO_MACHINES = """
import os, sys
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
from ray.cluster_utils import Cluster
machine = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
two = Cluster(initialize_head=True, head_node_args=machine)
two.add_node(**machine)
try:
    from gatys_lab import cli
    cli.main([*sys.argv[1:], "--cluster", two.address])
finally:
    two.shutdown()
"""


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Exit status and standard error of `gatys-lab ARGUMENTS`, in a folder with photographs and a painting."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in "abcde":
        cells = np.random.default_rng(ord(name)).integers(0, 256, (8, 10, 3), dtype=np.uint8)
        Pillow.fromarray(cells).resize((60, 48)).save(f"photos/{name}.png")
    Pillow.open("photos/a.png").rotate(90).save("style.png")
    Path("photos/broken.png").write_text("none")

    def go(*words):
        with pytest.raises(SystemExit) as done:
            cli.main([str(word) for word in words])
        return done.value.code, capsys.readouterr().err

    return go


def pixels(folder):
    return {file.name: np.asarray(Pillow.open(file)).tobytes() for file in Path(folder).glob("*.png")}


def test_a_worker_that_is_killed_is_replaced_and_its_picture_is_done_once(run):
    pytest.importorskip("ray", reason="of the extra [cluster]")
    Path("mortal.py").write_text(LOSS)
    command = ["batch", "photos", "--style", "style.png", *QUICK, "--style-loss", "mortal.py"]
    assert run(*command, "-o", "alone")[0] == 1
    Path("fits").unlink()
    Path("armed").touch()
    status, said = run(*command, "-o", "out", "--workers", "2")
    fits = Path("fits").read_text().split()
    assert status == 1 and not Path("armed").exists() and len(fits) == 6 and str(os.getpid()) not in fits, said
    assert pixels("out") == pixels("alone") and len(pixels("out")) == 5
    assert all(said.count(f"out/{name}_stylized_style.png  (40 x 32 px") == 1 for name in "abcde")
    assert "6/6" in said and "left)" in said and said.count("'photos/broken.png' is no picture") == 1
    assert "5 of 6 pictures, 1 could not be painted" in said and said.count("\n") == 10, said
    assert len(list(Path("out").iterdir())) == 10  # each with its manifest, and nothing else
    Path("out/c_stylized_style.png").unlink()
    status, said = run(*command, "-o", "out")  # without workers: where the others stood
    assert "to paint: 2, found finished: 4" in said and pixels("out") == pixels("alone")


@pytest.mark.long
def test_a_folder_is_painted_by_two_machines(run, tmp_path):
    pytest.importorskip("ray", reason="of the extra [cluster]")
    command = ["fast", "photos", "style.png", "--size", "40", "--threads", "1", "--missing", "-o"]
    assert run(*command, "alone")[0] == 1
    (tmp_path / "out").mkdir()
    Path("out/b.png").write_text("here already")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", TWO_MACHINES, *command, "out"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 1 and "2 workers on 2 machines, 1 core each" in done.stderr, done.stderr
    assert done.stderr.count("gatys-lab: ") == 1 and "'photos/broken.png' is no picture" in done.stderr
    assert "5 of 6 pictures" in done.stderr and Path("out/b.png").read_text() == "here already"
    Path("out/b.png").write_bytes(Path("alone/b.png").read_bytes())
    assert pixels("out") == pixels("alone") and len(list(Path("out").iterdir())) == 5


class FakeRay:
    """Does at once, in this process, what workers are asked to; a task "deadly" kills its worker, "broken" raises."""

    def __init__(self, begins=True):
        self.started, self.ends, self.begins = 0, {}, begins
        self.exceptions = type(
            "", (), {"RayTaskError": type("T", (OSError,), {}), "RayError": type("R", (OSError,), {})}
        )

    def remote(self, **options):
        return lambda kind: self

    def __getattr__(self, name):  # of workers: worker.begin.remote(...), worker.do.remote(...)
        return type("", (), {"remote": staticmethod(lambda *task, **_: self._asked(name, *task))})

    def _asked(self, name, task=None):
        self.started += name == "begin"
        self.ends[end := object()] = task if self.begins else "deadly"
        return end

    def wait(self, ends, num_returns=1, timeout=None):
        return ends[:num_returns], ends[num_returns:]

    def get(self, end):
        task = self.ends.pop(end)
        if task == "deadly":
            raise self.exceptions.RayError("The worker died unexpectedly.\n\tpid: 1\nIt was killed. Memory was short.")
        if task == "broken":
            error = self.exceptions.RayTaskError("a long trace")
            error.cause = OSError("the disk is full")
            raise error
        return f"{task} done"


def fake_crew(ray, workers=2):
    worker = type("", (), {"remote": staticmethod(lambda: ray)})
    ray.remote = lambda **options: lambda kind: worker
    return Crew(ray, Seats(workers, 1, 0), 1, {})


def test_what_kills_every_worker_is_given_up_and_the_rest_is_done():
    ray = FakeRay()
    answers = list(fake_crew(ray)(["a", "deadly", "b", "c"]))
    assert sorted(answers) == [("a", "a done"), ("b", "b done"), ("c", "c done"), ("deadly", answers[-1][1])]
    lost = answers[-1][1]
    assert isinstance(lost, Lost) and lost == "3 workers died of it, one after the other; It was killed"
    assert ray.started == 5  # two, and one for each that died


def test_an_error_of_a_worker_ends_it_all():
    with pytest.raises(OSError, match=r"^the disk is full$"):
        list(fake_crew(FakeRay())(["a", "broken", "b"]))


def test_workers_that_die_as_they_begin_are_not_replaced_for_ever():
    ray = FakeRay(begins=False)
    with pytest.raises(OSError, match=r"^3 workers died as they began, one after the other; It was killed$"):
        fake_crew(ray)


def test_workers_that_never_begin():
    ray = FakeRay()
    ray.wait = lambda ends, **given: ([], ends)
    with pytest.raises(OSError, match="no worker was ready within 180 s"):
        fake_crew(ray)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"mark": Path("nowhere/mark")}, "sees another folder 'nowhere'"),
        ({"version": "gatys_lab 0"}, "this one gatys_lab 0; install the same on both"),
        ({"folder": Path("/nowhere")}, "has no folder '/nowhere'"),
    ],
)
def test_a_machine_that_is_unlike_the_others_is_told(tmp_path, changed, told):
    given = {"mark": tmp_path, "version": cluster._version(), "folder": tmp_path, "threads": 1, "build": None}
    with pytest.raises((OSError, ValueError), match=told):
        cluster._Worker().begin(**{**given, **changed})


def test_a_picture_that_killed_its_workers_is_told(tmp_path):
    pair = batch.Pair(Path("a.jpg"), Path("ink.png"), tmp_path / "out.png")
    (done,) = batch.paint_together(lambda pairs: [(pair, Lost("3 workers died of it")) for pair in pairs], [pair])
    assert not done.fine and done.error == "'a.jpg' with 'ink.png': 3 workers died of it"


def test_without_ray(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for command in (["batch", "photos", "--style", "style.png", *QUICK], ["fast", "photos", "style.png"]):
        status, said = run(*command, "-o", "out", "--workers", "2", "--quiet")
        assert (status, said.count("\n")) == (1, 1) and 'pip install "gatys-lab[cluster]"' in said


def test_a_cluster_that_cannot_be_reached(run, monkeypatch):
    pytest.importorskip("ray", reason="of the extra [cluster]")
    monkeypatch.setattr(cluster, "REACHED_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for address, why in (
            (f"127.0.0.1:{closed.getsockname()[1]}", "refused"),
            (f"127.0.0.1:{silent.getsockname()[1]}", "did not answer as Ray does within 1 s"),
            ("nowhere", "no address; wanted host:port, or auto"),
        ):
            status, said = run("fast", "photos", "style.png", "-o", "out", "--cluster", address, "--quiet")
            assert (status, said.count("\n")) == (1, 1) and f"'{address}'" in said and why in said, said


@pytest.mark.parametrize(
    ("machines", "asked", "wanted"),
    [
        ([(8, 0)], {}, Seats(1, 8, 0)),
        ([(8, 0), (4, 0)], {}, Seats(2, 4, 0)),
        ([(8, 0)], {"workers": 3}, Seats(3, 2, 0)),
        ([(3, 0), (5, 0)], {"workers": 2}, Seats(2, 3, 0)),
        ([(8, 0)], {"workers": 8, "tasks": 2}, Seats(2, 4, 0)),
        ([(16, 2), (64, 0)], {}, Seats(2, 8, 1)),
        ([(16, 2), (64, 0)], {"device": "cpu"}, Seats(2, 32, 0)),
        ([(16, 2)], {"workers": 6}, Seats(6, 2, 0.3333)),
        ([(16, 1), (4, 4)], {"workers": 5}, Seats(5, 1, 1)),
        ([(2, 0)], {"workers": 3}, "3 workers for 2 cores"),
        ([(8, 1)], {"device": "cuda:1"}, "wanted auto, cuda"),
        ([], {}, "without a core"),
    ],
)
def test_machines_are_divided(machines, asked, wanted):
    if isinstance(wanted, str):
        with pytest.raises(ValueError, match=wanted):
            seats(machines, **{"tasks": 99, **asked})
    else:
        assert seats(machines, **{"tasks": 99, **asked}) == wanted


def test_workers_are_for_folders(run):
    status, said = run("fast", "photos/a.png", "style.png", "-o", "out.png", "--workers", "2")
    assert status == 2 and "for a folder" in said
