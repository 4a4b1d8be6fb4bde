"""Where the weights of vgg19 and vgg16 come from, and the network made of them.

In this order: the path given, $GATYS_LAB_WEIGHTS (a file, or a folder of files called vgg19*, vgg16*), our own slim
files, torch's hub cache, torchvision's download. Of a download only the convolutions are kept (80 MB of 548 for vgg19).
"""

import logging
import os
import socket
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError

import torch
from torch import nn

from gatys_lab.files import cache_folder
from gatys_lab.networks._formats import PREPROCESSINGS, Stored, read, write
from gatys_lab.networks._vgg import DEPTHS, PADDINGS, POOLINGS, VGG, check_option

logger = logging.getLogger(__name__)

WEIGHTS_VARIABLE = "GATYS_LAB_WEIGHTS"
URLS = {  # torchvision's; the digits are the beginning of the file's SHA-256
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
}
PATTERNS = {"vgg19": ("vgg19*", "vgg_*"), "vgg16": ("vgg16*",)}  # vgg_conv.pth and vgg_normalised.pth are VGG-19
SUFFIXES = (".pth", ".safetensors")
TIMEOUT_SECONDS = 30  # a network that swallows packets would hang for ever


def create(name: str, weights: str | Path | None, pooling: str, padding: str | None, preprocessing: str | None) -> VGG:
    """The network `name`, ready to look at pictures. Raises ValueError or OSError, each one line."""
    check_option("pooling", pooling, POOLINGS)  # before anything is downloaded
    for option, value, known in (("padding", padding, PADDINGS), ("preprocessing", preprocessing, PREPROCESSINGS)):
        if value is not None:
            check_option(option, value, known)
    path = Path(weights).expanduser() if weights is not None else find(name) or fetch(name)
    stored = fitting(name, path, preprocessing)
    with torch.device("meta"):  # no random numbers drawn, nothing initialised in vain
        net = VGG(
            name,
            stored.widths,
            depths=DEPTHS[name],
            pooling=pooling,
            padding=stored.padding if padding is None else padding,
            ceil_mode=stored.ceil_mode,
        )
        net.preprocess = nn.Conv2d(3, 3, 1)
    net.load_state_dict(stored.tensors, assign=True)
    net.source = stored.source
    return net.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def fitting(name: str, path: Path, preprocessing: str | None = None) -> Stored:
    """The file's weights, if they are those of the network `name`; else ValueError."""
    stored = read(path, preprocessing)
    if name not in stored.architectures:
        found = stored.architectures[0]
        raise ValueError(f"'{path}' holds {found}, wanted {name}; use --network {found} or another file")
    return stored


def find(name: str) -> Path | None:
    """The file that would be used without a path given, or None where it would be downloaded."""
    return next(candidates(name), None)


def candidates(name: str) -> Iterator[Path]:
    """Every file at hand for a network, the preferred one first."""
    if given := os.environ.get(WEIGHTS_VARIABLE):
        yield from _given(name, Path(given).expanduser())
    if slim_path(name).is_file():
        yield slim_path(name)
    published = Path(URLS[name]).name
    yield from sorted(hub_folder().glob(f"{name}-*.pth"), key=lambda file: (file.name != published, file.name))


def fetch(name: str) -> Path:
    """Download torchvision's weights and keep them slim. Returns at once where that was done before.

    Raises ConnectionError where there is no internet, OSError for a damaged download or a full disk; then nothing is
    kept.
    """
    slim = slim_path(name)
    if slim.is_file():
        return slim
    slim.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="download-", dir=slim.parent) as folder:
        whole = Path(folder) / Path(URLS[name]).name
        _download(name, whole)
        write(fitting(name, whole), slim)
    return slim


def slim_path(name: str) -> Path:
    """Where our own copy of the downloaded weights stands."""
    return cache_folder() / Path(URLS[name]).with_suffix(".safetensors").name


def hub_folder() -> Path:
    """Where torch keeps what other programs downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _given(name: str, place: Path) -> Iterator[Path]:
    """What $GATYS_LAB_WEIGHTS offers: itself, or the files of a folder that fit, the deepest first."""
    if not place.exists():
        raise FileNotFoundError(f"${WEIGHTS_VARIABLE} is '{place}', which does not exist; set it to a file or folder")
    if place.is_file():
        yield place
        return
    files = sorted(f for pattern in PATTERNS[name] for f in place.glob(pattern) if f.suffix in SUFFIXES)
    if len(files) < 2:
        yield from files
        return
    depths: dict[Path, int] = {}
    reason = ""
    for file in files:
        try:
            depths[file] = len(fitting(name, file).widths)
        except ValueError as error:
            reason = str(error)
            logger.info("passed over: %s", reason)
    if not depths:
        raise ValueError(f"no file in ${WEIGHTS_VARIABLE} '{place}' fits {name}: {reason}")
    yield from sorted(depths, key=lambda file: -depths[file])


def _download(name: str, target: Path) -> None:
    url = URLS[name]
    logger.warning("downloading %s from %s: half a gigabyte, once", name, url)
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        torch.hub.download_url_to_file(url, str(target), hash_prefix=target.stem.rpartition("-")[2], progress=True)
    except (URLError, ConnectionError, TimeoutError, HTTPException) as error:
        raise ConnectionError(
            f"cannot download {url} ({getattr(error, 'reason', error)}); put the file at {hub_folder() / target.name}, "
            "or pass --weights PATH; --network lite needs no download"
        ) from error
    except RuntimeError as error:  # what torch raises for a wrong hash
        raise OSError(f"the download of {url} was damaged ({error}); nothing was kept: try again") from error
    finally:
        socket.setdefaulttimeout(previous)
