"""`gatys-lab train NAME`: make a loss network or a feed-forward model of one's own."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gatys_lab.cli._engine import POSITIVE, WEIGHT
from gatys_lab.cli._types import FILE

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
COUNT = click.IntRange(min=0)


@click.group(short_help="Train a network of your own.")
def command() -> None:
    """Train a network of your own."""


@command.command()
@click.option("--teacher", type=FILE, required=True, help="VGG-19's weights, in any form that `weights verify` knows.")
@click.option("--photos", type=FOLDER, required=True, help="A folder of pictures, searched below.")
@click.option("--paintings", type=FOLDER, help="Another, for styles.  [default: the photos]")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A .safetensors file."
)
@click.option("--steps", type=click.IntRange(min=1), default=20_000, show_default=True,
              help="May be changed when a run is resumed.")  # fmt: skip
@click.option("--crop", "size_px", type=click.IntRange(min=32), default=128, show_default=True,
              help="Side of the crops that are learnt from.")  # fmt: skip
@click.option("--rate", type=POSITIVE, default=1e-3, show_default=True)
@click.option("--start", type=FILE, help="Go on from a network that this command made; it may be narrower.")
@click.option("--seed", type=COUNT, default=0, show_default=True)
@click.option("--hold-out-photos", type=COUNT, default=0, help="Leave out the last so many by name, for `measure`.")
@click.option("--hold-out-paintings", type=COUNT, default=0, help="The same of the paintings.")
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads.  [default: all cores]")
def lite(
    out: Path, steps: int, size_px: int, rate: float, start: Path | None, seed: int, threads: int | None, **data: Any
) -> None:
    """Distil VGG-19 into the small network `lite`. Run again after an interruption, it goes on where it stood.

    \b
    gatys-lab train lite --teacher vgg19.pth --photos photos/ --paintings paintings/ -o my-lite.safetensors
    gatys-lab stylize photo.jpg painting.jpg -o out.png --weights my-lite.safetensors
    """

    from gatys_lab.devices import use_threads
    from gatys_lab.networks import lite as student
    from gatys_lab.training import _teacher
    from gatys_lab.training._pictures import Crops, files_in
    from gatys_lab.training.lite import Distillation, Settings, train

    if threads is not None:
        use_threads(threads)
    settings = Settings(steps=steps, size_px=size_px, seed=seed, rate=rate)
    earlier = None if start is None else student.read(start)
    photos = files_in(data["photos"], data["hold_out_photos"])
    paintings = files_in(data["paintings"], data["hold_out_paintings"]) if data["paintings"] else photos
    contents, styles = Crops(photos, settings.size_px), Crops(paintings, settings.size_px)
    samples = [contents.draw(8, seed, 10**8 + i) for i in range(16)]
    run = Distillation(_teacher.load(data["teacher"], samples), contents, styles, settings, earlier)
    click.echo(f"{len(photos)} photos, {len(paintings)} paintings, {steps} steps", err=True)
    with click.progressbar(length=steps, file=sys.stderr, item_show_func=lambda text: text) as bar:

        def report(progress: Any) -> None:
            errors = " ".join(f"{progress.losses[k]:.3f}" for k in sorted(progress.losses) if k.startswith("relu"))
            bar.update(progress.step - bar.pos, f"loss {progress.losses['total']:.3f}, errors {errors}")

        train(run, out, report)
    corrupt = contents.corrupt | styles.corrupt
    click.echo(f"{out}" + (f"; {len(corrupt)} files could not be read" if corrupt else ""), err=True)


@command.command()
@click.argument("weights", type=FILE)
@click.option("--photos", type=FOLDER, required=True)
@click.option("--paintings", type=FOLDER, required=True)
@click.option("--teacher", type=FILE, help="For a lite network: the weights that it was distilled from.")
@click.option("--rival", type=FILE, help="For AdaAttN: an AdaIN whose local feature loss is measured beside it.")
@click.option("--hold-out-photos", type=click.IntRange(min=2), default=40, show_default=True,
              help="Look at the last so many by name.")  # fmt: skip
@click.option("--hold-out-paintings", type=click.IntRange(min=2), default=20, show_default=True)
@click.option("--pairs", type=click.IntRange(min=1), default=6, show_default=True, help="Pictures to optimise.")
@click.option("--rank-pairs", type=click.IntRange(min=3), default=600, show_default=True,
              help="For a lite network: pairs of pictures whose losses are ranked.")  # fmt: skip
@click.option("--size", "size_px", type=click.IntRange(min=64), default=256, show_default=True)
def measure(
    weights: Path, teacher: Path | None, rival: Path | None, rank_pairs: int, pairs: int, size_px: int, **data: Any
) -> None:
    """How well a network of ours stands in for what it was trained on, on pictures that were held out. Prints JSON.

    A lite network is compared with its teacher, a feed-forward model with the engine.
    """
    import json

    from gatys_lab.networks import lite
    from gatys_lab.training import _judge, _measure
    from gatys_lab.training._pictures import files_in

    held = (
        files_in(data["photos"])[-data["hold_out_photos"] :],
        files_in(data["paintings"])[-data["hold_out_paintings"] :],
    )
    if not lite.is_lite(weights):
        both = (_measure.pictures(files[:pairs], size_px) for files in held)
        figures: dict[str, Any] = dict(_judge.judge(weights, list(zip(*both, strict=False)), rival))
    elif teacher is None:
        raise click.UsageError("a lite network is measured beside its teacher: name it with --teacher")
    else:
        figures = _measure.report(
            weights, teacher=teacher, held=held, pairs=pairs, rank_pairs=rank_pairs, size_px=size_px
        )
    click.echo(json.dumps(figures, indent=1))


def _model(*, steps: int, batch: int, rate: float, decay: float) -> Callable[[Any], click.Command]:
    """A command with the options that all feed-forward models share; the defaults are the model's paper's."""
    schedule = [
        click.option("--steps", type=click.IntRange(min=1), default=steps, show_default=True,
                     help="May be changed when a run is resumed."),
        click.option("--batch", type=click.IntRange(min=1), default=batch, show_default=True,
                     help="Pairs in a step, of all processes together."),
        click.option("--rate", type=POSITIVE, default=rate, show_default=True),
        click.option("--decay", type=WEIGHT, default=decay, show_default=True,
                     help="The rate is divided by 1 + decay * step."),
    ]  # fmt: skip

    def decorate(function: Any) -> click.Command:
        for option in reversed([*SHARED[:5], *schedule, *SHARED[5:]]):
            function = option(function)
        return command.command()(function)

    return decorate


SHARED = [
    click.option("--photos", type=FOLDER, required=True, help="A folder of pictures, searched below."),
    click.option("--paintings", type=FOLDER, required=True, help="Another, for styles."),
    click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True,
                 help="A .safetensors file; a log, a sheet of pictures and a card are left beside it."),
    click.option("--encoder", default="lite", show_default=True, help="lite, vgg19, or a file of VGG-19's weights."),
    click.option("--start", type=FILE, help="Go on from a trained model's weights: a .safetensors file."),
    click.option("--crop", "size_px", type=click.IntRange(min=32), default=256, show_default=True),
    click.option("--optimizer", type=click.Choice(["adam", "muon"]), default="adam", show_default=True,
                 help="adam is the papers'; muon learns faster, with a larger --rate."),
    click.option("--falling", is_flag=True, help="Let the rate fall to 0 in a straight line, without --decay."),
    click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True),
    click.option("--seed", type=COUNT, default=0, show_default=True),
    click.option("--hold-out-photos", type=COUNT, default=4, show_default=True, help="The last so many by name."),
    click.option("--hold-out-paintings", type=COUNT, default=4, show_default=True),
    click.option("--every", type=click.IntRange(min=1), default=500, show_default=True,
                 help="Steps between checkpoints."),
    click.option("--device", default="auto", show_default=True, help="auto, cuda, mps or cpu."),
    click.option("--threads", type=click.IntRange(min=1), help="Processor threads.  [default: all cores]"),
]  # fmt: skip


@_model(steps=160_000, batch=8, rate=1e-4, decay=5e-5)
@click.option("--transform", type=click.Choice(["adain", "concat"]), default="adain", show_default=True,
              help="concat is the paper's ablation.")  # fmt: skip
@click.option("--norm", type=click.Choice(["none", "batch", "instance", "colour", "style"]), default="none",
              show_default=True, help="Of the decoder: none is the paper's; with colour the picture takes the style's "
              "colours, with style the decoder's features its moments as well; the others are ablations.")  # fmt: skip
@click.option("--content-weight", type=WEIGHT, default=1.0, show_default=True)
@click.option("--style-weight", type=WEIGHT, default=10.0, show_default=True)
@click.option("--tv-weight", type=WEIGHT, default=0.0, show_default=True, help="Of total variation.")
@click.option("--shift", "shift_px", type=COUNT, default=0, show_default=True,
              help="Look at pictures shifted by up to so many px: against textures in the pooling's grid.")  # fmt: skip
def adain(transform: str, norm: str, **options: Any) -> None:
    """Train AdaIN (Huang & Belongie 2017).

    \b
    gatys-lab train adain --photos photos/ --paintings paintings/ -o adain.safetensors
    """
    losses = {k: options.pop(k) for k in ("content_weight", "style_weight", "tv_weight", "shift_px")}
    _train("adain", {"transform": transform, "norm": norm}, losses, **options)


@_model(steps=50_000, batch=8, rate=1e-4, decay=0.0)
@click.option("--form", type=click.Choice(["softmax", "cosine", "sanet"]), default="softmax", show_default=True,
              help="Of attention: cosine is for video, sanet an ablation.")  # fmt: skip
@click.option("--shallow/--no-shallow", default=True, help="Whether keys see the shallower layers.")
@click.option("--local/--no-local", default=True, help="The local feature loss, or the photo's features.")
@click.option("--content-weight", type=WEIGHT, default=3.0, show_default=True, help="Of the local feature loss.")
@click.option("--style-weight", type=WEIGHT, default=10.0, show_default=True, help="Of the global loss.")
@click.option(
    "--similarity-weight",
    type=WEIGHT,
    default=0.0,
    show_default=True,
    help="Of the image-similarity loss between frames, for video (published: 100; ours: 1e4).",
)
def adaattn(form: str, shallow: bool, **options: Any) -> None:
    """Train AdaAttN (Liu et al. 2021).

    \b
    gatys-lab train adaattn --photos photos/ --paintings paintings/ -o adaattn.safetensors
    """
    losses = {k: options.pop(k) for k in ("content_weight", "style_weight", "similarity_weight", "local")}
    _train("adaattn", {"form": form, "shallow": shallow}, losses, **options)


@_model(steps=80_000, batch=2, rate=1e-3, decay=1e-4)
@click.option("--patch", type=click.IntRange(min=1), default=3, show_default=True, help="Of the swap, in cells.")
@click.option("--stride", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--norm", type=click.Choice(["none", "batch", "instance"]), default="none", show_default=True)
@click.option("--depth", type=click.IntRange(1, 4), default=1, show_default=True,
              help="Convolutions of the decoder at the features' own scale.")  # fmt: skip
@click.option("--swaps/--no-swaps", default=True, help="Learn from swapped features too.")
@click.option("--tv-weight", type=WEIGHT, default=1e-6, show_default=True)
@click.option("--pixel-weight", type=WEIGHT, default=0.0, show_default=True,
              help="Of the distance in pixels to what is painted again without a swap.")  # fmt: skip
def inverse(patch: int, stride: int, norm: str, depth: int, **options: Any) -> None:
    """Train the inverse network of style swap (Chen & Schmidt 2016).

    \b
    gatys-lab train inverse --photos photos/ --paintings paintings/ -o inverse.safetensors
    """
    losses = {k: options.pop(k) for k in ("tv_weight", "swaps", "pixel_weight")}
    _train("inverse", {"patch": patch, "stride": stride, "norm": norm, "depth": depth}, losses, **options)


def _train(name: str, options: dict[str, Any], losses: dict[str, Any], **shared: Any) -> None:
    import shlex

    from gatys_lab import devices, processes
    from gatys_lab.training._fit import Settings
    from gatys_lab.training.feedforward import Data, train

    out, encoder, start, device, threads = (shared.pop(key) for key in ("out", "encoder", "start", "device", "threads"))
    hold_out = shared.pop("hold_out_photos"), shared.pop("hold_out_paintings")
    data, settings = Data(shared.pop("photos"), shared.pop("paintings"), hold_out), Settings(**shared)
    if threads is not None:
        devices.use_threads(threads)
    processes.join()
    place, leads = processes.own(devices.choose(device)), processes.leads()
    if leads:
        click.echo(f"{name}, {settings.steps} steps of {settings.batch} pairs, {devices.describe(place)}", err=True)
    made = shlex.join(["gatys-lab", *sys.argv[1:]])
    with click.progressbar(
        length=settings.steps, file=sys.stderr, hidden=not leads, item_show_func=lambda text: text
    ) as bar:

        def report(progress: Any) -> None:
            bar.update(progress.step - bar.pos, ", ".join(f"{k} {v:.4g}" for k, v in progress.losses.items()))

        corrupt = train(
            name, out, data, settings=settings, encoder=encoder, options=options, losses=losses, start=start,
            device=place, command=made, report=report,
        )  # fmt: skip
    processes.leave()
    if leads:
        click.echo(f"{out}" + (f"; {len(corrupt)} files could not be read" if corrupt else ""), err=True)
