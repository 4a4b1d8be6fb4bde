"""What the commands over many pictures take alike: who works. No torch here."""

import click

from gatys_lab.cli._engine import together

clustered = together(
    click.option("--workers", type=click.IntRange(min=1),
                 help="Paint so many at once, each in a process that has its share of cores and GPUs (needs the extra "
                      "[cluster]).  [default: no others; with --cluster one a GPU, or one a machine]"),
    click.option("--cluster", metavar="auto|HOST:PORT",
                 help="Workers on the machines of a Ray cluster, which share this folder; auto: of the one that is "
                      "here."),
)  # fmt: skip
