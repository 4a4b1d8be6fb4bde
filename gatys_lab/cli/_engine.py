"""What the commands that run the engine take alike, and how they run it. No torch here."""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from gatys_lab import catalog
from gatys_lab.cli._options import say_divided
from gatys_lab.cli._progress import Bar, became, duration, gigabytes
from gatys_lab.cli._types import FILE, LAYERS, LOSS, MIXTURE, OUTPUT, Number
from gatys_lab.config import DEFAULTS, STYLE_LAYERS
from gatys_lab.specs import layers_text

POSITIVE = Number(min=0, min_open=True)
WEIGHT = Number(min=0)
PICTURES = 60  # of how a picture came about
WATCHING = ("preview", "preview_file", "frames", "timelapse", "frames_every", "plot")  # the options of `watched`


def together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Options as one decorator, in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


measured = together(
    click.option("--style-loss", type=LOSS, multiple=True, default=(DEFAULTS.style_loss,), show_default=True,
                 help="What style is measured by; several make a mixture. NAME is one of "
                      f"{', '.join(catalog.names('losses'))}, or your own .py file with a build()."),
    click.option("--own-loss", type=MIXTURE, multiple=True,
                 help="What the n-th style is measured by instead, once a style; gram+bn:0.5 is a mixture."),
    click.option("--style-layers", type=LAYERS,
                 help="Where it is measured.  "
                      f"[default: {layers_text(STYLE_LAYERS)}; of style-swap and mrf: their own]"),
)  # fmt: skip

tv_kind = click.option("--tv-kind", type=click.Choice(["l2", "l1"]), default=DEFAULTS.tv_kind, show_default=True,
                       help="Of squared lengths of the gradient or of lengths, which keep edges.")  # fmt: skip

worked = together(
    click.option("--evaluations", type=click.IntRange(min=2), default=DEFAULTS.evaluations, show_default=True,
                 help="Budget at the final size, and half of it at each coarser one; one is a forward and "
                      "a backward pass."),
    click.option("--tolerance", type=POSITIVE,
                 help="Stop a size when the picture changes by less (.005 is published)."),
    click.option("--optimizer", default=DEFAULTS.optimizer, show_default=True,
                 help=f"{', '.join(catalog.names('optimizers'))}; with options as in adam,lr=0.05."),
)  # fmt: skip

scaled = together(
    click.option("--single-scale", is_flag=True, help="Work at the final size only, not coarse to fine."),
    click.option("--smallest", "smallest_px", type=click.IntRange(min=1), default=DEFAULTS.smallest_px,
                 show_default=True, help="Longest side that coarse to fine begins with."),
)  # fmt: skip

seen_through = together(
    click.option("--seed", type=int, default=DEFAULTS.seed, show_default=True, help="Of whatever is drawn at random."),
    click.option("--network", default=DEFAULTS.network, show_default=True,
                 help=f"{', '.join(catalog.names('networks'))}; lite needs no download."),
    click.option("--weights", type=FILE, help="The network's weights, instead of those that are found."),
    click.option("--pooling", type=click.Choice(["max", "avg", "l2"]), default=DEFAULTS.pooling, show_default=True,
                 help="How the network makes a picture smaller; avg is Gatys' choice."),
    click.option("--padding", type=click.Choice(["zeros", "reflect", "circular"]),
                 help="What the network sees beyond the edges.  [default: the weights' own]"),
    click.option("--preprocessing", help="torchvision, caffe or none, where a file of weights does not tell."),
    click.option("--device", default=DEFAULTS.device, show_default=True, help="auto, cuda, mps or cpu."),
    click.option("--precision", default=DEFAULTS.precision, show_default=True,
                 help="What the network convolves in: fp32, bf16, or auto: the faster, measured once."),
    click.option("--tile", default=DEFAULTS.tile, show_default=True, metavar="auto|off|PX",
                 help="See the picture in squares of so many pixels, which saves memory and changes nothing else; "
                      "auto: only if it does not fit at once."),
    click.option("--threads", type=click.IntRange(min=1), help="Processor threads.  [default: all cores]"),
    click.option("--max-pixels", type=click.IntRange(min=1), default=DEFAULTS.max_pixels, show_default=True,
                 help="Refuse larger pictures."),
)  # fmt: skip

kept = together(
    click.option("--checkpoint", type=OUTPUT,
                 help="Keep the run in this file until its picture is written, so that it survives a crash."),
    click.option("--checkpoint-every", type=WEIGHT, metavar="SECONDS", help="How often.  [default: 60]"),
    click.option("--resume", is_flag=True, help="Go on from the checkpoint, if there is one, to the very same pixels."),
)  # fmt: skip

watched = together(
    click.option("--preview", type=click.IntRange(min=1), metavar="N",
                 help="Write the picture so far every N evaluations, to OUT's place."),
    click.option("--preview-file", type=OUTPUT, help="To this file instead."),
    click.option("--frames", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
                 help="Keep pictures of how it came about in a new folder."),
    click.option("--timelapse", type=OUTPUT, help="The same as a clip: .gif, .webp, .mp4, ..."),
    click.option("--frames-every", type=click.IntRange(min=1), metavar="N",
                 help="Evaluations between two of them.  [default: sixty pictures in all]"),
    click.option("--plot", type=OUTPUT, help="Curves of the losses: .png, .svg or .pdf; needs the extra [plot]."),
)  # fmt: skip

said = together(
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("--debug", is_flag=True, help="Show the traceback of an error."),
)


def begin(out: Path, quiet: bool) -> None:
    """Before a job is prepared: as `hear`, and the result can be written. Processes of torchrun are joined."""
    from gatys_lab import processes
    from gatys_lab.images import check_writable

    processes.join()
    hear(quiet or not processes.leads())
    check_writable(out)


def hear(quiet: bool) -> None:
    """What the library says is heard, and memory is kept."""
    if not quiet:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    from gatys_lab.devices import keep_freed_memory

    keep_freed_memory()


def foretell(job: Any) -> int:
    """Say what a job would need; the exit status is 1 if the memory is not there."""
    from gatys_lab.plan import plan

    click.echo(job.describe())
    found = plan(job)
    sizes = ", ".join(f"{size} px {duration(seconds)}" for size, seconds in found.seconds.items())
    most = "at most " if job.config.tolerance is not None else "about "
    click.echo(f"time: {most}{duration(found.total)} ({sizes})")
    peak = found.more if found.peak is None else found.peak
    there = "" if found.free is None else f"; {gigabytes(found.more)} of it to come, {gigabytes(found.free)} are free"
    click.echo(f"memory: about {gigabytes(peak)}{there}: {'it fits' if found.fits else 'it does not fit'}")
    if not found.fits:
        click.echo(
            f"what would fit: --size {found.largest_px}, or less memory with --optimizer lbfgs,history=3 or adam"
        )
    return 0 if found.fits else 1


def checkpoint_of(options: dict[str, Any]) -> Any:
    """The `checkpoint.Checkpoint` that was asked for, or None; its options are taken out."""
    path, every, resume = (options.pop(name) for name in ("checkpoint", "checkpoint_every", "resume"))
    if path is None:
        if every is not None or resume:
            raise click.UsageError(
                f"{'--resume' if resume else '--checkpoint-every'} needs --checkpoint: name the file"
            )
        return None
    from gatys_lab.checkpoint import Checkpoint

    return Checkpoint(path, resume=resume) if every is None else Checkpoint(path, every, resume)


def watchers(job: Any, out: Path, options: dict[str, Any], go_on: bool) -> list[Any]:
    """The callbacks that were asked for. `go_on`: there may be frames already, of the same run."""
    from gatys_lab import processes
    from gatys_lab.callbacks import Frames, Preview, Timelapse
    from gatys_lab.plots import check_plot_writable

    if not processes.leads():
        return []
    found: list[Any] = []
    if options["plot"] is not None:
        check_plot_writable(options["plot"])
    if options["preview"] is not None:
        found.append(Preview(options["preview_file"] or out, options["preview"], job.picture_of))
    every = options["frames_every"] or -(-sum(job.budgets.values()) // PICTURES)
    frames = None
    if options["frames"] is not None:
        frames = Frames(options["frames"], every, job.picture_of, go_on=go_on)
        found.append(frames)
    if options["timelapse"] is not None:
        found.append(Timelapse(options["timelapse"], every, job.picture_of, frames=frames))
    return found


def watching(options: dict[str, Any]) -> dict[str, Any]:
    """The options of `watched`, taken out. Raises UsageError for those that mean nothing alone."""
    found = {name: options.pop(name) for name in WATCHING}
    if found["preview_file"] is not None and found["preview"] is None:
        raise click.UsageError("--preview-file needs --preview N: say how often")
    if found["frames_every"] is not None and found["frames"] is None and found["timelapse"] is None:
        raise click.UsageError("--frames-every needs --frames or --timelapse: say what of")
    return found


def deliver(
    job: Any,
    out: Path,
    quiet: bool,
    styles: Sequence[tuple[Path, float]] = (),
    checkpoint: Any = None,
    record: Callable[[Any], dict[str, Any]] | None = None,
    callbacks: Sequence[Any] = (),
    plot: Path | None = None,
) -> int:
    """Run a job, write its picture, and what `record` makes of the result, say so; the exit status.

    Callbacks that have an `end` are told the picture. `plot`: where the curves of its losses are drawn. Of several
    processes the first writes and speaks.
    """
    from gatys_lab import processes
    from gatys_lab.types import UNFINISHED

    leads = processes.leads()
    quiet = quiet or not leads
    result = _result(job, quiet, styles, callbacks, () if checkpoint is None else (checkpoint,))
    processes.leave()
    manifest = None if record is None else record(result)
    if leads:
        _write(result, out, manifest, callbacks, plot)
        if checkpoint is not None and result.reason not in ("interrupted", "memory"):
            checkpoint.remove()
    if not quiet:
        click.echo(f"{out}  ({became(result)}, {result.evaluations} evaluations, {result.seconds:.1f} s)", err=True)
    if result.reason == "interrupted":
        return 130
    return 1 if result.reason in UNFINISHED else 0


def _write(result: Any, out: Path, manifest: Any, callbacks: Sequence[Any], plot: Path | None) -> None:
    from gatys_lab.images import write
    from gatys_lab.manifest import noted, write_manifest
    from gatys_lab.trace import draw

    write(result.image, out, note=None if manifest is None else noted(manifest))
    if manifest is not None:
        write_manifest(manifest, out)
    for callback in callbacks:
        if hasattr(callback, "end"):
            callback.end(result.image)
    if plot is not None:
        draw(result.trace, plot)


def _result(
    job: Any, quiet: bool, styles: Sequence[tuple[Path, float]], callbacks: Sequence[Any], kept: Sequence[Any]
) -> Any:
    if quiet:
        return job.run(callbacks, *kept)
    say_divided(styles)
    click.echo(job.describe(), err=True)
    with Bar(job.budgets) as bar:
        return job.run([bar, *callbacks], *kept)
