"""PyAV, which is libav for Python, imported when a clip is opened: an extra, `pip install "gatys-lab[video]"`."""

from pathlib import Path
from typing import Any


def opened(path: Path) -> Any:
    """A container with a video stream. Raises ValueError or OSError of one line."""
    av = pyav()
    if path.is_dir():
        raise IsADirectoryError(f"'{path}' is a folder; wanted a video file")
    if not path.is_file():
        raise FileNotFoundError(f"no file '{path}'; wanted a video")
    try:
        container = av.open(str(path))
    except av.FFmpegError as error:
        raise ValueError(
            f"'{path}' is no video that libav can read ({error.strerror}); wanted MP4, WebM, ..."
        ) from error
    if not container.streams.video:
        container.close()
        raise ValueError(f"'{path}' has no video stream; wanted a clip with pictures")
    return container


def pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise ValueError('no PyAV here, which reads and writes clips; pip install "gatys-lab[video]"') from error
    return av
