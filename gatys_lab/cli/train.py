"""`gatys-lab train lite`: make a loss network of one's own."""

import sys
from pathlib import Path
from typing import Any

import click

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
@click.option("--seed", type=COUNT, default=0, show_default=True)
@click.option("--hold-out-photos", type=COUNT, default=0, help="Leave out the last so many by name, for `measure`.")
@click.option("--hold-out-paintings", type=COUNT, default=0, help="The same of the paintings.")
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads.  [default: all cores]")
def lite(out: Path, steps: int, size_px: int, seed: int, threads: int | None, **data: Any) -> None:
    """Distil VGG-19 into the small network `lite`. Run again after an interruption, it goes on where it stood.

    \b
    gatys-lab train lite --teacher vgg19.pth --photos photos/ --paintings paintings/ -o my-lite.safetensors
    gatys-lab stylize photo.jpg painting.jpg -o out.png --weights my-lite.safetensors
    """
    import torch

    from gatys_lab.training import _teacher
    from gatys_lab.training._pictures import Crops, files_in
    from gatys_lab.training.lite import Distillation, Settings, train

    if threads is not None:
        torch.set_num_threads(threads)
    settings = Settings(steps=steps, size_px=size_px, seed=seed)
    photos = files_in(data["photos"], data["hold_out_photos"])
    paintings = files_in(data["paintings"], data["hold_out_paintings"]) if data["paintings"] else photos
    contents, styles = Crops(photos, settings.size_px), Crops(paintings, settings.size_px)
    samples = [contents.draw(8, seed, 10**8 + i) for i in range(16)]
    run = Distillation(_teacher.load(data["teacher"], samples), contents, styles, settings)
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
@click.option("--teacher", type=FILE, required=True, help="The weights that it was distilled from.")
@click.option("--photos", type=FOLDER, required=True)
@click.option("--paintings", type=FOLDER, required=True)
@click.option("--hold-out-photos", type=click.IntRange(min=2), default=40, show_default=True)
@click.option("--hold-out-paintings", type=click.IntRange(min=2), default=20, show_default=True)
@click.option("--pairs", type=click.IntRange(min=1), default=6, show_default=True, help="Pictures to optimise.")
@click.option("--rank-pairs", type=click.IntRange(min=3), default=600, show_default=True)
@click.option("--size", "size_px", type=click.IntRange(min=64), default=256, show_default=True)
def measure(weights: Path, **options: Any) -> None:
    """How well a `lite` network stands in for VGG-19, on the pictures that were held out. Prints JSON."""
    import json

    from gatys_lab.training._measure import report

    click.echo(json.dumps(report(weights, **options), indent=1))
