"""`gatys-lab video CLIP STYLE -o OUT`."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from gatys_lab import catalog
from gatys_lab.cli._engine import POSITIVE, WEIGHT, said
from gatys_lab.cli._page import Page
from gatys_lab.cli._types import FILE, LOSS, MODEL, OUTPUT, Number
from gatys_lab.config import DEFAULTS

ENGINE = "engine"
LONG = 10  # frames apart, of the report's long-term error
ENGINE_ONLY = ("style_loss", "balance", "evaluations", "seed", "optimizer")
MODEL_ONLY = ("alpha", "colour", "weights", "encoder")


@click.command(cls=Page, short_help="Paint a clip, steadily.")
@click.argument("clip", type=FILE)
@click.argument("style", type=FILE)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path),
              help="The clip to write: .mp4, .mov, .mkv, .webm, .webp, .gif, or a folder for pictures.")  # fmt: skip
@click.option("--model", type=MODEL, default="adain", show_default=True,
              help=f"adain, adaattn[,form=cosine], inverse; or {ENGINE}: each frame from the last.")  # fmt: skip
@click.option("--size", "size_px", type=click.IntRange(min=2), help="Longest side.  [default: the clip's own]")
@click.option("--start", type=WEIGHT, default=0.0, show_default=True, help="Seconds.")
@click.option("--end", type=POSITIVE, help="Seconds.  [default: the clip's end]")
@click.option("--fps", type=POSITIVE, help="Frames a second.  [default: the clip's own]")
@click.option("--alpha", type=Number(0, 1), help="Strength of a model: 0 is the clip, 1 the style.")
@click.option("--colour", type=click.Choice(["linear", "histogram", "luma"]), help="Keep the clip's colours (models).")
@click.option("--weights", type=click.Path(exists=True, path_type=Path), help="Weights of the model.")
@click.option("--encoder", help="The model's encoder: lite, vgg19, or a file of VGG-19's weights.")
@click.option("--style-loss", type=LOSS, multiple=True, help="Of the engine: as in stylize.")
@click.option("--balance", type=WEIGHT, help="Of the engine: style over content.")
@click.option("--evaluations", type=click.IntRange(min=2),
              help=f"Of the engine: of a first frame, at its size.  [default: {DEFAULTS.evaluations}]")  # fmt: skip
@click.option("--steady", type=WEIGHT,
              help="How much the last painting counts, moved along the flow; 0: not at all.  "
                   f"[default: 2; of the {ENGINE}: 5]")  # fmt: skip
@click.option("--optimizer", help="Of the engine: " + ", ".join(catalog.names("optimizers")))
@click.option("--seed", type=int, help="Of the engine.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path),
              help="A JSON file: how steady the result is, frame by frame, beside the clip itself.")  # fmt: skip
@click.option("--plot", type=OUTPUT,
              help="The same as curves, frame by frame: .png, .svg or .pdf; needs the extra [plot].")  # fmt: skip
@click.option("--device", default=DEFAULTS.device, show_default=True, help="auto, cuda, mps or cpu.")
@click.option("--precision", default=DEFAULTS.precision, show_default=True,
              help="fp32, bf16, or auto: the faster, measured once.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads.  [default: all cores]")
@said
def command(clip: Path, style: Path, out: Path, report: Path | None, quiet: bool, debug: bool, **options: Any) -> int:
    """Paint the video CLIP in the manner of the picture STYLE, its sound kept.

    \b
    gatys-lab video clip.mp4 painting.jpg -o painted.mp4
    gatys-lab video clip.mp4 painting.jpg -o painted.gif --size 256 --start 2 --end 4 --fps 12
    gatys-lab video clip.mp4 painting.jpg -o painted.mp4 --model engine --report steady.json

    Started again after an interruption it goes on where it stopped.
    """
    (name, own), plot = options.pop("model"), options.pop("plot")
    _check(name, options)
    from gatys_lab import video
    from gatys_lab.clips import check_clip_writable
    from gatys_lab.devices import keep_freed_memory
    from gatys_lab.files import check_target, write_whole
    from gatys_lab.plots import check_plot_writable

    check_clip_writable(out)
    if report is not None:
        check_target(report, ".json")
    if plot is not None:
        check_plot_writable(plot)
    keep_freed_memory()
    cut = {key: options.pop(key) for key in ("start", "end", "fps", "size_px")}
    given = {key: value for key, value in options.items() if value not in (None, ())}
    manner, key = _manner(name, own, style, given)
    apart = LONG if report is not None or plot is not None else None
    with _Bar(quiet) as bar:
        outcome = video.paint(clip, out, manner, **cut, key=key, apart=apart, report=bar)
    if not quiet:
        found = f", {outcome.resumed} of them found finished" if outcome.resumed else ""
        click.echo(f"{out}  ({outcome.frames} frames{found}, {outcome.scenes} scenes, {bar.seconds:.1f} s)", err=True)
    if outcome.lost:
        click.echo(f"gatys-lab: {outcome.lost} damaged pieces of '{clip}' were left out", err=True)
    if report is not None:
        write_whole(report, json.dumps(outcome.figures, indent=1).encode())
        if not quiet:
            shown = ("short", "short floor", "long", "long floor")
            told = ", ".join(f"{k} {outcome.figures[k]:.4f}" for k in shown if k in outcome.figures)
            click.echo(f"{report}  (warp error: {told})", err=True)
    if plot is not None:
        video.draw_steadiness(outcome.figures, plot)
    return 1 if outcome.lost else 0


def _check(name: str, options: dict[str, Any]) -> None:
    """Raises UsageError for options that the model, or the engine, would ignore."""
    if name != ENGINE and name not in catalog.names("models"):
        raise click.UsageError(f"no model '{name}'; there are {', '.join(catalog.names('models'))}, {ENGINE}")
    for option in MODEL_ONLY if name == ENGINE else ENGINE_ONLY:
        if options[option] not in (None, ()):
            whose = "a feed-forward model's" if name == ENGINE else f"the {ENGINE}'s"
            raise click.UsageError(f"--{option.replace('_', '-')} is {whose}, not for --model {name}")


def _manner(name: str, own: dict[str, Any], style: Path, given: dict[str, Any]) -> tuple[Any, str]:
    """What paints the frames, and all that it depends on."""

    from gatys_lab import devices, video
    from gatys_lab.digests import file_digest
    from gatys_lab.fast import Painter, ready, source
    from gatys_lab.images import read
    from gatys_lab.models._base import fingerprint

    threads = given.pop("threads", None)
    if threads is not None:
        devices.use_threads(threads)
    key = repr((name, own, file_digest(style), sorted(given.items(), key=str)))
    steady = {"steady": given.pop("steady")} if "steady" in given else {}
    if name == ENGINE:
        return video.Following(read(style), given, **steady), key
    device = devices.choose(given["device"])
    built = {"weights": given.get("weights"), "encoder": given.get("encoder"), **own}
    model, precision = ready(name, device, given["precision"], **built)
    painter = Painter(model, [source(style, model)], given.get("alpha", 1.0), given.get("colour"), device=device)
    key += precision
    return video.OneByOne(painter, **steady), key + fingerprint(model)


class _Bar:
    """How many frames are done, and the time left where the clip tells its length."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._began, self.seconds = quiet, time.monotonic(), 0.0
        self._bar: Any = None

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.monotonic() - self._began
        if self._bar is not None:
            self._bar.__exit__(None, None, None)

    def __call__(self, done: int, expected: int) -> None:
        if self._quiet or not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = click.progressbar(length=expected or None, file=sys.stderr, show_pos=True, label="frames")
            self._bar.__enter__()
        self._bar.length = max(self._bar.length or 0, done)
        self._bar.update(1)
