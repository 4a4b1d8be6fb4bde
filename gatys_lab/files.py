"""Files that are whole or not there: written beside their place under another name, then renamed. No torch here."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Put `data` at `path`. Whatever fails, an older file of that name stays as it was and nothing is left behind."""
    path = path.resolve()  # a link is kept, and what it points to is replaced
    part = path.with_name(f".{secrets.token_hex(8)}.part")  # in the same folder, so that the last step is atomic
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # some disks notice only here that they are full
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def check_target(path: Path, suffix: str) -> None:
    """Raises, before long work instead of after it, if a file of this kind could not be written there."""
    if path.suffix != suffix:
        raise ValueError(f"'{path}' is no {suffix} file; name one")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write '{path}': no folder '{path.parent}'; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"cannot write '{path}': no right to write in '{path.parent}'; choose another folder")
