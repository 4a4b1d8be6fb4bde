"""The published weight files of VGG-19 and VGG-16, recognised by what they hold, whatever they are called.

| layout      | keys                  | files                                                                     |
|-------------|-----------------------|---------------------------------------------------------------------------|
| torchvision | `features.<i>.weight` | torchvision's; Simonyan & Zisserman's own as jcjohnson converted them     |
| named       | `conv1_1.weight`      | Gatys' vgg_conv.pth; our own slim files, which hold `preprocess.weight`   |
| normalised  | `<i>.weight`          | vgg_normalised.pth (Huang & Belongie 2017): key 0 is the preprocessing    |

Whatever a network expects of its input becomes a 1x1 convolution on RGB in [0, 1], `preprocess`, so that the walk knows
one case. Zeros are padded after it, as in the originals. Pickles are read as tensors only, never as code.
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gatys_lab.files import check_ordinary, write_whole
from gatys_lab.networks._vgg import DEPTHS, check_option, plan, reach

logger = logging.getLogger(__name__)

WIDTHS = (64, 128, 256, 512, 512)  # output channels by block
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, of RGB in [0, 1]
CAFFE_MEAN = (123.68, 116.779, 103.939)  # RGB here, of 0 ... 255
PREPROCESSINGS = {  # factor and mean of R, G, B in [0, 1], and whether red and blue then change places
    "torchvision": (tuple(1 / s for s in STD), MEAN, False),
    "caffe": ((255.0,) * 3, tuple(m / 255 for m in CAFFE_MEAN), True),
    "caffe-rgb": ((255.0,) * 3, (0.48235, 0.45882, 0.40784), False),  # torchvision's features-only VGG-16
    "none": ((1.0,) * 3, (0.0,) * 3, False),
}
KNOWN_FILES = {  # leading digits of the SHA-256: keys and shapes are the same in all of these
    "dcbb9e9d": "torchvision",
    "397923af": "torchvision",
    "d01eb7cb": "caffe",
    "00b39a1b": "caffe",
    "88682ab5": "caffe-rgb",
}
FAMILIES = {  # what a convolution's weight is called in each layout
    "torchvision": re.compile(r"features\.\d+\.weight"),
    "named": re.compile(r"conv\d+_\d+\.weight"),
    "normalised": re.compile(r"\d+\.weight"),
}
PREPROCESS_KEYS = {"torchvision": "preprocess", "named": "preprocess", "normalised": "0"}


@dataclass(frozen=True)
class Stored:
    """What a file holds, in this package's names."""

    architectures: tuple[str, ...]  # those it fits: both, where it ends before they part after conv3_3
    tensors: Mapping[str, Tensor]  # conv1_1.weight ..., preprocess.weight and .bias; float32
    preprocessing: str
    padding: str
    ceil_mode: bool
    origin: str  # the published file's name

    @property
    def widths(self) -> dict[str, int]:
        """Output channels by convolution."""
        names = (key.removesuffix(".weight") for key in self.tensors if FAMILIES["named"].fullmatch(key))
        return {name: _width(name) for name in names}

    @property
    def deepest(self) -> str:
        """The last layer that these weights reach."""
        return reach(DEPTHS[self.architectures[0]], self.widths)[-1]

    @property
    def source(self) -> str:
        """Which weights, for a person to read."""
        return f"{self.origin} ({self.preprocessing})"

    @property
    def summary(self) -> str:
        """What they are, for a person to read."""
        fits = " or ".join(self.architectures)
        layers = f"layers conv1_1 ... {self.deepest}"
        rounding = ", pooling rounds up" if self.ceil_mode else ""
        return f"{fits}, preprocessing {self.preprocessing}, {layers}, padding {self.padding}{rounding}"


def read(path: Path, preprocessing: str | None = None) -> Stored:
    """Any published file. `preprocessing` overrides what it is taken for. Raises ValueError for what is none."""
    if preprocessing is not None:
        check_option("preprocessing", preprocessing, PREPROCESSINGS)
    raw, metadata = _load(path)
    layout = next((name for name, family in FAMILIES.items() if any(map(family.fullmatch, raw))), None)
    if layout is None:
        keys = ", ".join(sorted(raw)[:3]) or "no tensors"
        wanted = "features.0.weight, conv1_1.weight or 2.weight, and so on"
        raise ValueError(f"'{path}' holds {keys} ...; wanted the weights of a VGG: {wanted}")
    fits = _fits(path, raw, layout)
    tensors: dict[str, Tensor] = {}
    channels = 3
    for name, key in next(iter(fits.values())).items():
        tensors[f"{name}.weight"] = _take(path, raw, f"{key}.weight", (_width(name), channels, 3, 3))
        tensors[f"{name}.bias"] = _take(path, raw, f"{key}.bias", (_width(name),))
        channels = _width(name)
    kind, tensors["preprocess.weight"], tensors["preprocess.bias"] = _preprocess(path, raw, layout, preprocessing)
    said = metadata.get("architecture")
    normalised = layout == "normalised"
    return Stored(
        (said,) if said in fits else tuple(fits),
        tensors,
        kind,
        metadata.get("padding", "reflect" if normalised else "zeros"),
        metadata.get("ceil_mode", str(normalised)) == "True",
        metadata.get("origin", path.name),
    )


def write(stored: Stored, path: Path) -> None:
    """The slim file: convolutions and preprocessing, named, whole or not at all."""
    metadata = {"padding": stored.padding, "ceil_mode": str(stored.ceil_mode), "origin": stored.origin}
    if len(stored.architectures) == 1:
        metadata["architecture"] = stored.architectures[0]
    write_whole(path, save({k: v.contiguous() for k, v in stored.tensors.items()}, metadata))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by their own keys, and its metadata."""
    if path.suffix == ".t7":
        raise ValueError(f"'{path}' is a torch7 file, which is not read; wanted its .pth or .safetensors conversion")
    check_ordinary(path, "a file of weights")
    with path.open("rb") as file:  # what the system has against it is said in its own words
        head = file.read(9)
    if head[8:] == b"{":  # eight bytes of length, then JSON
        try:
            with safe_open(path, "pt") as stored:
                return {key: stored.get_tensor(key) for key in stored.keys()}, stored.metadata() or {}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"'{path}' is no complete safetensors file: {error}; fetch it again") from error
    return read_pickle(path), {}


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a state_dict in a .pth file, by its own keys; nothing in it is run. Raises ValueError."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a cut or foreign pickle fails in every way there is: nine types were seen
        raise ValueError(
            f"cannot read '{path}' ({path.stat().st_size} bytes): it is cut short, no weight file, or holds more than "
            "tensors and is refused, since reading that could run code; wanted a state_dict (.pth) or .safetensors"
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(f"'{path}' holds a {type(content).__name__}; wanted a state_dict: names and tensors")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _fits(path: Path, raw: Mapping[str, Tensor], layout: str) -> dict[str, dict[str, str]]:
    """For each architecture that the file fits: its convolutions from conv1_1 on, and their keys in the file."""
    family = {key for key in raw if FAMILIES[layout].fullmatch(key)} - {"0.weight"}
    fits, gaps = {}, {}
    for architecture, depths in DEPTHS.items():
        keys = _keys(layout, depths)
        present = [name for name, key in keys.items() if f"{key}.weight" in raw]
        names = [step for step in reach(depths, present) if step in keys]
        if names and family == {f"{keys[name]}.weight" for name in names}:
            fits[architecture] = {name: keys[name] for name in names}
        else:
            gaps[len(names)] = next((f"{n} ({keys[n]}.weight)" for n in keys if n not in names), "")
    if not fits:
        gap = gaps[max(gaps)]
        came = f"has no {gap}, but other layers" if gap else "has more layers than VGG-19"
        wanted = "VGG-19's or VGG-16's convolutions from conv1_1 on without a gap, and no batch normalisation"
        raise ValueError(f"'{path}' {came}; wanted {wanted}")
    return fits


def _keys(layout: str, depths: tuple[int, ...]) -> dict[str, str]:
    """Every convolution of an architecture, and what a layout calls it."""
    steps = plan(depths)
    convolutions = [step for step in steps if step.startswith("conv")]
    if layout == "named":
        return {name: name for name in convolutions}
    if layout == "torchvision":
        return {name: f"features.{steps.index(name)}" for name in convolutions}
    # Every convolution stands behind a padding layer of its own, and all behind the preprocessing.
    return {name: str(steps.index(name) + i + 2) for i, name in enumerate(convolutions)}


def _take(path: Path, raw: Mapping[str, Tensor], key: str, wanted: tuple[int, ...]) -> Tensor:
    found = tuple(raw[key].shape) if key in raw else "not there"
    if found != wanted:
        raise ValueError(f"'{path}' does not fit: {key} is {found}, wanted {wanted}")
    return raw[key].float()


def _preprocess(path: Path, raw: Mapping[str, Tensor], layout: str, override: str | None) -> tuple[str, Tensor, Tensor]:
    """What the file's preprocessing is called, and its weight (3, 3, 1, 1) and bias (3,)."""
    if override is not None:
        return override, *preprocess_of(override)
    key = PREPROCESS_KEYS[layout]
    if f"{key}.weight" in raw or layout == "normalised":
        own = _take(path, raw, f"{key}.weight", (3, 3, 1, 1)), _take(path, raw, f"{key}.bias", (3,))
        alike = (k for k in PREPROCESSINGS if all(map(_close, own, preprocess_of(k))))
        return next(alike, "its own preprocessing"), *own
    kind = "caffe" if layout == "named" else KNOWN_FILES.get(sha256(path)[:8])
    if kind is None:
        kind = "torchvision"
        logger.warning("'%s' is not a file we know: assuming torchvision's preprocessing (an option overrides)", path)
    return kind, *preprocess_of(kind)


def preprocess_of(kind: str) -> tuple[Tensor, Tensor]:
    """Weight (3, 3, 1, 1) and bias (3,) of a 1x1 convolution on RGB in [0, 1]."""
    scale, mean, exchanged = PREPROCESSINGS[kind]
    weight = torch.diag(torch.tensor(scale, dtype=torch.float64))  # (out, in)
    bias = -weight @ torch.tensor(mean, dtype=torch.float64)
    if exchanged:
        weight, bias = weight.flip(0), bias.flip(0)
    return weight.float()[:, :, None, None], bias.float()


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4)


def _width(name: str) -> int:
    return WIDTHS[int(name[4]) - 1]
