"""Tasks on many workers: processes of this machine, or of a Ray cluster's. `pip install "gatys-lab[cluster]"` first.

A worker builds once what all tasks need and keeps it. One that dies is replaced, and its task given to another. Paths
and options travel between processes, never pictures: the machines of a cluster see one folder.

>>> with crew(build, folder, len(tasks), workers=4) as answers:                                # doctest: +SKIP
...     for task, answer in answers(tasks): ...
"""

import logging
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

import torch

from gatys_lab import devices
from gatys_lab._version import __version__
from gatys_lab.digests import code_digest

ANSWERS_S = 5  # seconds in which an address must take a call
REACHED_S = 30  # and its cluster have us
READY_S = 180  # in which one worker at least must be ready
GRACE_S = 5  # that work in hand is waited for when all ends early, so that files being written are whole
TRIES = 3  # workers that may die of one task, or as they start
STORE = 80_000_000  # bytes of Ray's shared memory on this machine, close to its least: we put nothing there
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # else Ray tells its makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what dies is told by us
}
Build = Callable[[int], Callable[[Any], Any]]  # of a number of threads, what is done with a task


class Lost(str):
    """The answer to a task whose workers died: what happened, in words."""


class Seats(NamedTuple):
    """How many workers, and what of a machine each of them has."""

    workers: int
    cores: int
    gpus: float

    def describe(self, machines: int) -> str:
        gpu = f" and {self.gpus:g} GPU" if self.gpus else ""
        return f"{_of(self.workers, 'worker')} on {_of(machines, 'machine')}, {_of(self.cores, 'core')}{gpu} each"


def seats(machines: Sequence[tuple[int, int]], tasks: int, workers: int | None = None, device: str = "auto") -> Seats:
    """Divide machines of (cores, GPUs) among workers; by default as many as GPUs, or as machines where there are none.

    There are no more than tasks. Cores are as many each as can be, as long as all workers find a place. Raises
    ValueError for more workers than cores.
    """
    if ":" in device:
        raise ValueError(f"device '{device}' with workers, who share what there is; wanted {', '.join(devices.KNOWN)}")
    with_gpus = [(cores, gpus) for cores, gpus in machines if gpus and device in ("auto", "cuda")]
    if not machines:
        raise ValueError("a cluster without a core; wanted one a worker")
    machines, total = with_gpus or machines, sum(gpus for _, gpus in with_gpus)
    count = min(workers or total or len(machines), tasks)
    on_one = -(-count // total) if total else count  # workers on a GPU
    for share in range(max(cores for cores, _ in machines), 0, -1):
        if sum(min(cores // share, on_one * (gpus if total else 1)) for cores, gpus in machines) >= count:
            return Seats(count, share, int(10_000 / on_one) / 10_000 if total else 0)
    raise ValueError(f"{count} workers for {_of(sum(cores for cores, _ in machines), 'core')}; wanted a core each")


@contextmanager
def crew(
    build: Build,
    folder: Path,
    tasks: int,
    *,
    workers: int | None = None,
    address: str | None = None,
    threads: int | None = None,
    device: str = "auto",
) -> "Iterator[Crew]":
    """Workers, one at least ready, for so many tasks while the block lasts. `build` is a function of a module; it and
    the tasks are pickled.

    `address`: of a Ray cluster (host:port, or "auto": the one that this machine belongs to), whose machines see
    `folder` and the current one; None: this machine. `threads`: of each worker; None: its cores. Raises ValueError
    without Ray, OSError for a cluster that cannot be reached.
    """
    ray = _ray()
    session = _join(ray, address)
    try:
        machines = [
            (int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
            for node in ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        ]
        divided = seats(machines, tasks, workers, device)
        with NamedTemporaryFile(dir=folder, prefix=".seen-by-all-") as mark:
            begin = {"folder": Path.cwd(), "mark": Path(mark.name).resolve(), "version": _version()}
            yield Crew(ray, divided, len(machines), {**begin, "build": build, "threads": threads or divided.cores})
    finally:
        ray.shutdown()
        if session is not None:
            shutil.rmtree(session, ignore_errors=True)  # Ray's logs


class Crew:
    """Called with tasks, gives (task, answer) as they are done, in any order; of one that cannot be done, `Lost`.

    What a worker raises is raised here, and ends it all.
    """

    def __init__(self, ray: Any, divided: Seats, machines: int, begin: dict[str, Any]) -> None:
        self._ray, self._begin = ray, begin
        self._name = divided.describe(machines)
        self._actor = ray.remote(num_cpus=divided.cores, num_gpus=divided.gpus, max_restarts=0)(_Worker)
        self._busy = dict[Any, tuple[Any, int | None]]()  # workers by what tells of an end; None: of their beginning
        self._idle, self._waiting, self._deaths = list[Any](), deque[int](), dict[int | None, int]()
        for _ in range(divided.workers):
            self._start()
        while not self._idle:
            list(self._answers(self._ends()))

    def __str__(self) -> str:
        return self._name

    def __call__(self, tasks: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        self._waiting.extend(range(len(tasks)))
        try:
            while self._waiting or self._working:
                while self._waiting and self._idle:
                    worker, number = self._idle.pop(), self._waiting.popleft()
                    self._busy[worker.do.remote(tasks[number])] = worker, number
                yield from ((tasks[number], answer) for number, answer in self._answers(self._ends()))
        except KeyboardInterrupt:
            yield from ((tasks[number], answer) for number, answer in self._answers(self._last_ends()))
            raise
        finally:
            self._last_ends()

    @property
    def _working(self) -> list[Any]:
        return [end for end, (_, number) in self._busy.items() if number is not None]

    def _start(self) -> None:
        worker = self._actor.remote()
        self._busy[worker.begin.remote(**self._begin)] = worker, None

    def _ends(self) -> Sequence[Any]:
        """Wait until one worker at least has begun, or ended a task."""
        ends, _ = self._ray.wait(list(self._busy), timeout=None if self._working else READY_S)
        if not ends:
            raise OSError(f"no worker was ready within {READY_S} s: their cores are taken; `ray status` shows by whom")
        return list(ends)

    def _last_ends(self) -> Sequence[Any]:
        """What ends while nothing new begins."""
        if not self._working:
            return []
        ends, others = self._ray.wait(self._working, num_returns=len(self._working), timeout=GRACE_S)
        for end in others:
            del self._busy[end]
        return list(ends)

    def _answers(self, ends: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Of the tasks that are done."""
        for end in ends:
            worker, number = self._busy.pop(end)
            try:
                answer = self._ray.get(end)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except self._ray.exceptions.RayError as error:  # the worker died, or its machine
                yield from self._died(number, error)
                continue
            self._idle.append(worker)
            self._deaths[None] = 0
            if number is not None:
                yield number, answer

    def _died(self, number: int | None, error: Exception) -> Iterator[tuple[int, Any]]:
        """Replace a worker. Its task is the next that is done, or lost."""
        deaths = self._deaths[number] = self._deaths.get(number, 0) + 1
        if number is None and deaths >= TRIES:
            raise OSError(f"{deaths} workers died as they began, one after the other; {_sentence(error, -1)}")
        self._start()
        if number is not None and deaths < TRIES:
            self._waiting.appendleft(number)
        elif number is not None:
            yield number, Lost(f"{deaths} workers died of it, one after the other; {_sentence(error, -1)}")


class _Worker:
    """In a process of its own, on this machine or another."""

    def begin(self, build: Build, threads: int, folder: Path, mark: Path, version: str) -> None:
        """Raises OSError or ValueError of one line where this machine is not like the others."""
        here, shared = platform.node(), "; run in a folder that all machines share, and write to one"
        if not mark.exists():
            raise OSError(f"machine '{here}' sees another folder '{mark.parent}', or none{shared}")
        if version != _version():
            raise ValueError(f"machine '{here}' has {_version()}, this one {version}; install the same on both")
        try:
            os.chdir(folder)
        except OSError:
            raise OSError(f"machine '{here}' has no folder '{folder}'{shared}") from None
        devices.use_threads(threads)
        devices.keep_freed_memory()
        self._do = build(threads)

    def do(self, task: Any) -> Any:
        return self._do(task)


def _ray() -> Any:
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    try:
        import ray
    except ImportError as error:
        raise ValueError('no Ray here, which runs the workers; pip install "gatys-lab[cluster]"') from error
    return ray


def _join(ray: Any, address: str | None) -> Path | None:
    """Start a Ray of our own on this machine, the folder of whose logs comes back, or join a cluster."""
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        own = {"object_store_memory": STORE, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        try:
            with _found_by_others():
                return Path(ray.init(address="local", **own, **quiet).address_info["session_dir"])
        except (OSError, ValueError, RuntimeError) as error:
            raise OSError(f"Ray did not start on this machine: {_sentence(error)}; leave out --workers") from error
    try:
        _check_reached(address)
        ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConnectionError(
            f"no Ray cluster at '{address}': {_sentence(error)}; start one here with `ray start --head`, or use this "
            f"machine alone with --workers"
        ) from error
    return None


@contextmanager
def _found_by_others() -> Iterator[None]:
    """Processes that are started find the modules that this one does, installed or not."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _check_reached(address: str) -> None:
    """Raises OSError or ValueError soon; Ray itself would try for minutes, and in its own words."""
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError("that is no address; wanted host:port, or auto")
        socket.create_connection((host, int(port)), timeout=ANSWERS_S).close()
    trial = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False)"
    try:
        done = subprocess.run(  # noqa: S603, ourselves
            [sys.executable, "-c", trial, address], capture_output=True, text=True, timeout=REACHED_S
        )
    except subprocess.TimeoutExpired:
        raise ConnectionError(f"it did not answer as Ray does within {REACHED_S} s") from None
    if done.returncode:
        raise ConnectionError((done.stderr.strip().splitlines() or ["it ended"])[-1])


def _version() -> str:
    return f"gatys_lab {__version__} ({code_digest()[:12]}) with torch {torch.__version__}"


def _sentence(error: Exception, line: int = 0) -> str:
    """The first of what it says, or of one of its lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return getattr(error, "strerror", None) or lines[line].split(". ")[0].rstrip(".")


def _of(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
