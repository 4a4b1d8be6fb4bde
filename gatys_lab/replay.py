"""A picture once more, from what was recorded when it was made: the same pixels on the same machine. Or gone on with.

What is recorded may come from anybody. So a file is read only if it is an ordinary one with the recorded hash, options
are checked as those of a user's file are, names are those of the catalogue, and code of the user's own is not run.

>>> again = prepare_replay("out.png", content=Path("moved/photo.jpg"))  # doctest: +SKIP
>>> again.differs, again.is_same(again.job.run())                       # doctest: +SKIP
((), True)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatys_lab import catalog, color, devices, manifest
from gatys_lab.config import DEFAULTS, STARTS
from gatys_lab.digests import file_digest
from gatys_lab.job import Job, Result, prepare
from gatys_lab.presets import options_of
from gatys_lab.specs import parse_name
from gatys_lab.styles import Style


@dataclass(frozen=True)
class Replay:
    """A job that is what was recorded, and in what this machine is not what it was."""

    job: Job
    recorded: Mapping[str, Any]
    differs: tuple[str, ...]
    content: Path
    styles: tuple[Style, ...]

    def is_same(self, result: Result) -> bool:
        """Whether these are the recorded pixels."""
        return manifest.pixels_digest(result.image) == self.recorded["result"]["pixels"]


def prepare_replay(
    picture: str | Path,
    *,
    content: Path | None = None,
    styles: Sequence[Path] = (),
    max_pixels: int = DEFAULTS.max_pixels,
    more: int | None = None,
) -> Replay:
    """From a picture with a manifest in it or beside it, or from a manifest.

    Files are looked for where they were, beside the picture and here; `content` and `styles` say where they are now.
    `more`: not the same again, but so many evaluations more, begun from the picture, at the final size.
    Raises ValueError or OSError of one line for what cannot be made again.
    """
    recorded, seen = manifest.load(Path(picture))
    given = [*([content] if content is not None else []), *styles, *([Path(picture)] if more is not None else [])]
    find = _Finder(Path(picture).parent, _places(seen), given)
    try:
        recorded = recorded if more is None else _continued(recorded, Path(picture), more)
        options = _options(recorded, picture)
        photo = find(recorded["content"])
        looks = tuple(_style(one, find, picture) for one in recorded["styles"])
        for option in ("init", "weights"):
            if recorded[option] is not None:
                options[option] = str(find(recorded[option]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the manifest of '{picture}' is damaged ({error!r}); make the picture anew") from None
    find.check_used()
    assert photo is not None
    job = prepare(photo, list(looks), **options, max_pixels=max_pixels)
    return Replay(job, recorded, tuple(_differences(recorded, job)), photo, looks)


def _continued(recorded: dict[str, Any], picture: Path, more: int) -> dict[str, Any]:
    """What would be recorded of a run that begins with the finished picture."""
    if picture.suffix == ".json":
        raise ValueError(f"'{picture}' is no picture to go on from; name the one that it lies beside")
    before = dict(recorded["options"])
    if before.get("colour") in color.AFTER:  # measured: 30 evaluations more ended with a higher loss than before
        raise ValueError(
            f"'{picture}' was made with colour {before['colour']}, so that what was optimised is not what it shows; "
            f"stylize it anew with more evaluations"
        )
    options = {**before, "init": picture.name, "single-scale": True, "evaluations": more}
    return {**recorded, "options": options, "init": {"file": picture.name, "sha256": file_digest(picture)}}


class _Finder:
    """Files by their hash."""

    def __init__(self, folder: Path, places: Mapping[str, str], given: Sequence[Path]) -> None:
        self._folder, self._places = folder, places
        for path in given:
            if not path.is_file():
                raise ValueError(f"'{path}' is no ordinary file; name the one that the picture was made of")
        self._given = {file_digest(path): path for path in given}
        self._used: set[str] = set()

    def __call__(self, known: Mapping[str, str] | None) -> Path | None:
        if known is None:
            return None
        name, wanted = Path(str(known["file"])).name, str(known["sha256"])
        self._used.add(wanted)
        if wanted in self._given:
            return self._given[wanted]
        was = self._places.get(wanted)
        for path in (*([Path(was)] if was else []), self._folder / name, Path(name)):
            if path.is_file() and file_digest(path) == wanted:
                return path
        raise FileNotFoundError(
            f"no '{name}' with the recorded SHA-256 {wanted[:12]}... where it was, beside the picture or here; "
            f"put it there, or name it with --content or --style"
        )

    def check_used(self) -> None:
        for digest, path in self._given.items():
            if digest not in self._used:
                raise ValueError(f"'{path}' is no file that this picture was made of (SHA-256 {digest[:12]}...)")


def _options(recorded: Mapping[str, Any], picture: str | Path) -> dict[str, Any]:
    """As `prepare` takes them, with what was chosen in the place of auto."""
    given = {key: value for key, value in dict(recorded["options"]).items() if key not in manifest.ELSEWHERE}
    options = options_of(given, picture)
    _check_ours("losses", [spec.name for spec in options["style_loss"]], picture)
    _check_ours("optimizers", [parse_name(options["optimizer"])[0]], picture)
    _check_ours("networks", [options["network"]], picture)
    if recorded["init"] is None and options["init"] not in (*STARTS, *catalog.names("models")):
        raise ValueError(f"'{picture}' was begun from '{options['init']}', of which no hash was recorded")
    device, precision, threads = (recorded["chosen"][name] for name in ("device", "precision", "threads"))
    tile = recorded["chosen"].get("tile", "off")  # older pictures were never seen in tiles
    options |= options_of({"precision": precision, "threads": threads, "tile": tile}, picture)
    kind = str(device).split(" ")[0]
    try:
        options["device"] = str(devices.choose(kind))
    except ValueError:
        options["device"] = "auto"
    return options


def _check_ours(room: str, names: Sequence[str], picture: str | Path) -> None:
    for name in names:
        if name not in catalog.names(room):
            raise ValueError(f"'{picture}' was made with '{name}', no part of gatys_lab; replay runs no other code")


def _style(one: Mapping[str, Any], find: _Finder, picture: str | Path) -> Style:
    files: dict[str, Any] = {name: find(one[name]) for name in manifest.OF_A_STYLE}
    scale, own = one["scale"], one.get("loss")  # older pictures had no losses of one style
    if own is not None:
        own = options_of({"style-loss": own}, picture)["style_loss"]
        _check_ours("losses", [spec.name for spec in own], picture)
    return Style(weight=float(one["weight"]), scale=None if scale is None else float(scale), loss=own, **files)


def _differences(recorded: Mapping[str, Any], job: Job) -> list[str]:
    """What is not as it was, a line each."""
    now = {**manifest.versions(), **manifest.chosen(job), "network weights": manifest.network_digest(job.network)[:12]}
    then = {**dict(recorded["versions"]), **dict(recorded["chosen"])}
    then["network weights"] = str(recorded["network"]["sha256"])[:12]
    return [f"{name}: was {then.get(name)}, is {is_now}" for name, is_now in now.items() if then.get(name) != is_now]


def _places(seen: Any) -> dict[str, str]:
    """Where files were, by their hash; nowhere, if what is written is of another kind."""
    paths = seen.get("paths") if isinstance(seen, dict) else None
    return {str(key): str(place) for key, place in paths.items()} if isinstance(paths, dict) else {}
