"""Files and words that nobody means well with, and what is promised about them: a picture, or one line of an error.

The strategies are hypothesis's; what they damage are real files of every kind that the package reads.
"""

import contextlib
import faulthandler
import hashlib
import io
import json
import random
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hostile_files import safetensors
from hypothesis import strategies as st

from gatys_lab import cli

resource = pytest.importorskip("resource", reason="Windows has no such limits")

SECONDS, HANG = 30.0, 300.0  # of work, on a busy machine too; by the clock, when the process is ended
ROOM = 3 * 2**29  # bytes that a case may take beyond what the process has


class Blob(bytes):
    """Bytes that are not printed when a case fails."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


class Ended(NamedTuple):
    status: int
    said: str


@contextlib.contextmanager
def limited(room: int = ROOM) -> Iterator[None]:
    """Memory and time are limited within. A hang ends the process, wherever it hangs."""
    began = time.process_time()
    faulthandler.dump_traceback_later(HANG, exit=True)
    before = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        faulthandler.cancel_dump_traceback_later()
    assert time.process_time() - began < SECONDS


def state_of(folder: Path) -> dict[str, str]:
    """What lies in a folder, links, pipes and folders included."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "file" if path.is_file() else "other"
        data = str(path.readlink()).encode() if kind == "link" else path.read_bytes() if kind == "file" else b""
        found[str(path.relative_to(folder))] = f"{kind} {hashlib.sha256(data).hexdigest()}"
    return found


def run(*words: Any) -> Ended:
    """`gatys-lab WORDS` in this process."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        status = cli._run([str(word) for word in words])
        streams[1].flush()
    return Ended(status, streams[1].buffer.getvalue().decode())


def kept_promise(folder: Path, *words: Any, out: tuple[str, ...] = ("out.png", "out.json")) -> bool:
    """Run a command and see to it that it keeps what is promised. Whether it did what it was told."""
    before = state_of(folder)
    with limited():
        ended = run(*words)
    after = state_of(folder)
    errors = [line for line in ended.said.splitlines() if line.startswith("gatys-lab: ")]
    told = f"{' '.join(map(str, words))}\n{ended.status}: {ended.said}"
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed <= set(out), f"{changed} written by {told}"
    assert "Traceback" not in ended.said and "--debug shows where" not in ended.said, told
    if ended.status == 0:
        assert not errors, told
        return True
    assert ended.status in (1, 2) and (len(errors) == 1 or (folder / out[0]).exists()), told
    return False


def refused_in_one_line(error: BaseException) -> None:
    """What the library may raise."""
    assert isinstance(error, ValueError | OSError | MemoryError), repr(error)
    assert "\n" not in str(error), str(error)


# ---- damage


MAGIC = (
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80",
    b"\0",
    b"\xff",
    b"\n",
    b"{",
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The file with up to five changes, more of them near its beginning, where it says what it is."""
    chance, data = random.Random(draw(st.integers(0, 2**32 - 1))), bytearray(whole)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 5))):
        at = chance.randrange(min(len(data), chance.choice((96, 2**32))) or 1)
        piece = chance.choice((chance.choice(MAGIC), chance.randbytes(chance.randint(1, 12))))
        what = chance.choice(("set", "set", "set", "insert", "delete", "repeat", "cut"))
        if what == "set":
            data[at : at + len(piece)] = piece
        elif what == "insert":
            data[at:at] = piece
        elif what == "delete":
            del data[at : at + chance.randint(1, 40)]
        elif what == "repeat":
            data[at:at] = data[at : at + chance.randint(1, 400)]
        else:
            del data[at:]
    return Blob(data)


# ---- values


SIMPLE = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2, 3, 40, 2**31, 2**63, 2**64, -(2**70), 10**30, 10**400]),
    st.integers(-5, 300),
    st.sampled_from([0.0, -0.0, 1.0, 0.5, -1.5, 1e-300, 1e300, 5e-324, 1e38, 1e39]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["", " ", "a", "../../x", "/dev/zero", "/etc/hostname", "~", "nan", "inf", "-inf", "1e999",
                     "relu1_1", "relu1_1:nan", "gram", "gram:1e400", "evil.py", "lbfgs,history=0", "cuda", "cuda:99",
                     "cpu:7", "mps", "auto", "\0", "é", "😀", "x" * 5000, "a\nb", "%s%n", "-", "--", "photo.png",
                     "bf16", "fp32"]),
    st.text(max_size=8),
)  # fmt: skip
VALUES = st.recursive(
    SIMPLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything within, itself included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places_in(item, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any, *, drop: bool = False) -> Any:
    """A copy with something else at one place, or without it."""
    if not path:
        return new
    copy = json.loads(json.dumps(value))
    inside = copy
    for key in path[:-1]:
        inside = inside[key]
    if drop:
        del inside[path[-1]]
    else:
        inside[path[-1]] = new
    return copy


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """Plain values with one to three others in the place of some, or some left out."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places_in(value)))
        value = put(value, path, draw(VALUES), drop=draw(st.integers(0, 4)) == 0 and bool(path))
    return value


@st.composite
def altered_safetensors(draw: st.DrawFn, whole: bytes) -> bytes:
    """Its header altered as plain values, what JSON within it says too, or its bytes damaged."""
    if draw(st.booleans()):
        return draw(damaged(whole))
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    said = header.get("__metadata__", {})
    for key, text in said.items():
        if text.startswith("{") and draw(st.booleans()):
            said[key] = json.dumps(draw(altered(json.loads(text))))
            if "sha256" in said and draw(st.booleans()):  # by one who knows how
                said["sha256"] = hashlib.sha256(said[key].encode()).hexdigest()
            return Blob(safetensors(header, whole[8 + length :]))
    return Blob(safetensors(draw(altered(header)), whole[8 + length :]))
