"""What a job was made of, as plain values that JSON can hold: all that determines its pixels, and what it ran on."""

import json
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import scipy
import torch
from PIL import Image as Pillow
from torch import nn

from gatys_lab import devices, digests
from gatys_lab._version import __version__
from gatys_lab.config import Config
from gatys_lab.files import check_place, write_whole
from gatys_lab.images import Picture, read_note
from gatys_lab.presets import KEYS
from gatys_lab.specs import LossSpec, layers_text, loss_text, parse_loss
from gatys_lab.styles import Style

if TYPE_CHECKING:
    from gatys_lab.job import Job, Result

KIND = "gatys_lab picture 1"
LARGEST = 10_000_000  # bytes of a manifest: one of several styles has some thousands
SAME = ("options", "content", "styles", "init", "weights", "network")  # in two manifests of one job
OF_A_STYLE = ("picture", "content_mask", "style_mask")
ELSEWHERE = ("weights", "max-pixels", "device", "precision", "threads", "tile")  # options that replay learns otherwise
RESOLVED = tuple(KEYS[key] for key in ELSEWHERE)  # the same by field of Config: facts tell what became of them


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
        "tileable": job.around is not None,
        "network weights": network_digest(job.network),
        **chosen(job),
        "device": str(job.device),
        "version": versions(),
    }


def record(job: "Job", result: "Result", content: Path, styles: Sequence[Style]) -> dict[str, Any]:
    """A finished run: what makes its pixels again, and what became of it. `styles` as they were given, with paths.

    The part under "seen" is this run's own: paths, seconds. All else is the same whenever and wherever it is done.
    """
    known = Known(digests.file_digest)
    return {
        "kind": KIND,
        **recipe_of(job, known),
        **pictures_of(content, styles, known),
        "chosen": chosen(job),
        "versions": versions(),
        "result": {
            "pixels": pixels_digest(result.image),
            "loss": _known(result.loss),
            "evaluations": result.evaluations,
            "reason": result.reason,
            "notes": list(result.notes),
            "sizes": [_summary(size, result) for size in job.sizes],
        },
        "seen": {"paths": known.paths, "seconds": round(result.seconds, 3), "machine": platform.platform()},
    }


class Known:
    """Files by name and hash; where they lie is noted aside."""

    def __init__(self, digest: Callable[[Any], str]) -> None:
        self._digest, self.paths = digest, dict[str, str]()

    def __call__(self, path: Any) -> dict[str, str] | None:
        if path is None:
            return None
        named = {"file": Path(path).name, "sha256": self._digest(path)}
        self.paths[named["sha256"]] = str(Path(path).resolve())
        return named


def recipe_of(job: "Job", known: Callable[[Any], Any]) -> dict[str, Any]:
    """What a job is but for its pictures."""
    start, source = Path(job.config.init), getattr(job.network, "source", job.network.name)
    return {
        "options": options_text(job.config),
        "init": known(start) if start.is_file() else None,
        "weights": known(job.config.weights),
        "network": {"source": str(source), "sha256": network_digest(job.network)},
    }


def pictures_of(content: Path, styles: Sequence[Style], known: Callable[[Any], Any]) -> dict[str, Any]:
    return {
        "content": known(content),
        "styles": [
            {**_numbers(style), **{name: known(getattr(style, name)) for name in OF_A_STYLE}} for style in styles
        ],
    }


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was recorded of a picture, and what only the file beside it tells: paths."""
    note = None if path.suffix == ".json" else read_note(path)
    file = path if path.suffix == ".json" else beside(path)
    aside = _parsed(file.read_text("utf-8"), file) if _small(file) else {}
    if note is None:
        if not aside:
            raise ValueError(f"nothing in '{path}' says how it was made, and there is no manifest '{file}'")
        return aside, aside.get("seen") or {}
    recorded = _parsed(note, path)
    theirs = aside.get("result") == recorded.get("result")  # else it is another picture's
    return recorded, (aside.get("seen") or {}) if theirs else {}


def noted(manifest: Mapping[str, Any]) -> str:
    """What a PNG carries: the part that is the same on every day, without paths and seconds."""
    return json.dumps({name: value for name, value in manifest.items() if name != "seen"}, sort_keys=True)


def beside(picture: Path) -> Path:
    """Where the manifest of a picture lies."""
    return picture.with_suffix(".json")


def check_manifest(picture: Path) -> None:
    """Raises, before a long run, if a picture's manifest could not be written, or would replace another file."""
    path = beside(picture)
    check_place(path)
    if path.exists() and not _is_manifest(path):
        raise FileExistsError(
            f"'{path}' is there, and no manifest of ours; name another picture, or give --no-manifest"
        )


def write_manifest(manifest: Mapping[str, Any], picture: Path) -> None:
    write_whole(beside(picture), json.dumps(manifest, indent=1).encode() + b"\n")


def _is_manifest(path: Path) -> bool:
    try:
        return json.loads(path.read_bytes())["kind"] == KIND
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def chosen(job: "Job") -> dict[str, Any]:
    """What was resolved when it ran."""
    return {
        "device": "cpu" if job.device.type == "cpu" else devices.describe(job.device),
        "precision": job.precision,
        "threads": torch.get_num_threads(),
        "tile": "off" if job.tile_px is None else str(job.tile_px),
    }


def pixels_digest(picture: Pillow.Image) -> str:
    return digests.sha256(repr((picture.mode, picture.size)).encode(), picture.tobytes())


def options_text(config: Config) -> dict[str, Any]:
    """All options that are not None in the words of a file for --config."""
    values = {key: getattr(config, name) for key, name in KEYS.items()}
    return {key: _text(key, value) for key, value in values.items() if value is not None and key not in ELSEWHERE}


def _text(key: str, value: Any) -> Any:
    if key == "style-loss":
        return losses(value)
    if key == "init":
        return Path(value).name if Path(value).is_file() else value
    return layers_text(value) if isinstance(value, Mapping) else value


def _summary(size_px: int, result: "Result") -> dict[str, Any]:
    """Of the losses at one size: the first, the least, the last, and how many evaluations."""
    totals = [row.total for row in result.trace if row.size_px == size_px]
    least = min((total for total in totals if math.isfinite(total)), default=math.inf)
    named = {"first": _known(totals[0]), "least": _known(least), "last": _known(totals[-1])} if totals else {}
    return {"size_px": size_px, "evaluations": len(totals), **named}


def _known(number: float) -> float | None:
    """JSON has no other numbers than finite ones."""
    return number if math.isfinite(number) else None


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
        if not value.name.endswith(".py"):
            return loss_text(value)
        return f"{loss_text(replace(value, name=Path(value.name).name))} {digests.file_digest(value.name)}"
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


def _numbers(style: Style) -> dict[str, Any]:
    """What a style says besides its pictures."""
    own = None if style.loss is None else losses(style.loss)
    return {"weight": style.weight, "scale": style.scale, "loss": own}


def _style_facts(style: Any) -> dict[str, Any]:
    masks = {"content_mask": style.content_mask, "style_mask": style.style_mask}
    return {
        "picture": digests.picture_digest(style.picture),
        **_numbers(style),
        **{name: None if mask is None else digests.picture_digest(Picture(mask)) for name, mask in masks.items()},
    }


def network_digest(network: Any) -> str:
    return digests.weights_digest(network) if isinstance(network, nn.Module) else plain(network)


def _small(file: Path) -> bool:
    if not file.is_file():
        return False
    if file.stat().st_size > LARGEST:
        raise ValueError(f"'{file}' has {file.stat().st_size:,} bytes; a manifest has less than {LARGEST:,}")
    return True


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
        if found["kind"] != KIND:
            raise ValueError(f"its kind is {found['kind']!r}, wanted {KIND!r}")
        found["result"]["pixels"], found["network"]["sha256"], dict(found["versions"]), dict(found["chosen"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"'{path}' holds no manifest of a picture ({error}); wanted what stylize wrote") from None
    return found
