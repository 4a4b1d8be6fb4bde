"""Files that are whole or not there: written beside their place under another name, then renamed. No torch here."""

import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gatys_lab.config import PICTURES

CACHE_VARIABLE = "GATYS_LAB_CACHE"


def write_whole(path: Path, data: bytes | memoryview | Iterable[bytes | memoryview], mark: str = "") -> None:
    """Put `data` at `path`. Whatever fails, an older file of that name stays as it was and nothing is left behind."""
    with whole(path, mark) as part, part.open("wb") as file:
        file.writelines([data] if isinstance(data, bytes | memoryview) else data)


@contextmanager
def whole(path: Path, mark: str = "") -> Iterator[Path]:
    """A name to write under, in the same folder, for what becomes `path` if the block ends well, else nothing.

    `mark` is in that name: who is killed while writing finds by it, later, what was left.
    """
    path = path.resolve()  # a link is kept, and what it points to is replaced
    part = path.with_name(f".{mark}{secrets.token_hex(8)}.part")  # in the same folder, so that the last step is atomic
    try:
        part.open("xb").close()
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())  # some disks notice only here that they are full
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def check_ordinary(path: Path, wanted: str) -> None:
    """Raises if there is no ordinary file to read: a pipe may keep a program waiting for ever, a device never end."""
    if path.is_dir():
        raise IsADirectoryError(f"'{path}' is a folder; wanted {wanted}: name a file in it")
    if not path.exists():
        raise FileNotFoundError(f"no file '{path}'; wanted {wanted}: check the name and the folder")
    if not path.is_file():
        raise ValueError(f"'{path}' is a device or a pipe; wanted {wanted}: save it in a file first")


def pictures_in(folder: Path) -> list[Path]:
    """The files of a folder, sorted, that are called pictures. Raises ValueError if there is none."""
    found = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in PICTURES and file.is_file()]
    if not found:
        raise ValueError(f"no pictures in '{folder}'; wanted {', '.join(PICTURES)}")
    return found


def check_target(path: Path, suffix: str) -> None:
    """`check_place`, for a file of one kind."""
    if path.suffix != suffix:
        raise ValueError(f"'{path}' is no {suffix} file; name one")
    check_place(path)


def check_place(path: Path) -> None:
    """Raises, before a long run instead of after it, if no file could be written there. Creates nothing."""
    if path.is_dir():
        raise IsADirectoryError(f"cannot write '{path}': it is a folder; name a file in it")
    if not path.parent.exists():
        raise FileNotFoundError(f"cannot write '{path}': no folder '{path.parent}'; make it first")
    if not path.parent.is_dir():
        raise NotADirectoryError(f"cannot write '{path}': '{path.parent}' is no folder; choose another place")
    if path.exists() and not path.is_file():
        raise OSError(f"cannot write '{path}': it is a device or a pipe; name an ordinary file")
    if not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write '{path}': no right to write in '{path.parent}'; choose another folder")


def cache_folder() -> Path:
    """$GATYS_LAB_CACHE, or a folder of our own where the system keeps its caches."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gatys_lab"
