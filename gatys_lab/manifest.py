"""What a job was made of, as plain values that JSON can hold: all that determines its pixels, and what it ran on."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import scipy
import torch
from torch import nn

from gatys_lab import digests
from gatys_lab._version import __version__
from gatys_lab.images import Picture
from gatys_lab.specs import LossSpec, loss_text, parse_loss

if TYPE_CHECKING:
    from gatys_lab.job import Job

RESOLVED = (
    "device",
    "precision",
    "threads",
    "weights",
    "max_pixels",
)  # facts tell what became of it


def facts_of(job: "Job") -> dict[str, Any]:
    """What determines a job's pixels. Two jobs with the same facts paint the same."""
    config = {name: plain(value) for name, value in vars(job.config).items() if name not in RESOLVED}
    config["style_loss"] = losses(job.config.style_loss)
    if job.starter is not None:
        config["init"] = digests.weights_digest(job.starter)
    elif Path(job.config.init).is_file():
        config["init"] = digests.file_digest(job.config.init)
    return {
        **config,
        "photo": digests.picture_digest(job.photo),
        "styles": [_style_facts(style) for style in job.styles],
        "start": None if job.start is None else digests.picture_digest(Picture(job.start)),
        "tile": job.tile is not None,
        "network weights": _weights(job.network),
        "device": str(job.device),
        "precision": job.precision,
        "threads": torch.get_num_threads(),
        "version": versions(),
    }


def versions() -> dict[str, str]:
    return {
        "gatys_lab": f"{__version__} ({digests.code_digest()[:12]})",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
    }


def plain(value: Any) -> Any:
    """As JSON holds it; of an object its class and what it holds."""
    if isinstance(value, LossSpec):
        own = f" {digests.file_digest(value.name)}" if value.name.endswith(".py") else ""
        return loss_text(value) + own
    if isinstance(value, Mapping):
        return {plain(key) if isinstance(key, str) else str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        return digests.sha256(value.detach().cpu().contiguous().numpy().tobytes())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    held = {name: plain(item) for name, item in getattr(value, "__dict__", {}).items()}
    return f"{type(value).__module__}.{type(value).__qualname__} {held}"


def losses(given: Any) -> Any:
    """Style losses as `plain` values: a name is what it stands for."""
    if isinstance(given, str):
        return [plain(parse_loss(given))]
    if isinstance(given, Mapping):
        return {str(losses(loss)): weight for loss, weight in given.items()}
    return [plain(loss) for loss in given] if isinstance(given, Sequence) else plain(given)


def _style_facts(style: Any) -> dict[str, Any]:
    masks = {"content_mask": style.content_mask, "style_mask": style.style_mask}
    return {
        "picture": digests.picture_digest(style.picture),
        "weight": style.weight,
        "scale": style.scale,
        "loss": None if style.loss is None else losses(style.loss),
        **{name: None if mask is None else digests.picture_digest(Picture(mask)) for name, mask in masks.items()},
    }


def _weights(network: Any) -> str:
    return digests.weights_digest(network) if isinstance(network, nn.Module) else plain(network)
