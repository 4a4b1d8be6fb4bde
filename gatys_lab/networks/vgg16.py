"""`vgg16`: three convolutions instead of four in blocks 3 to 5; a fifth cheaper than vgg19.

Simonyan & Zisserman 2015, configuration D. Its layers are not vgg19's: relu4_2 of one is no stand-in for the other's.
"""

from pathlib import Path

from gatys_lab.networks._vgg import VGG
from gatys_lab.networks._weights import create


def build(
    weights: str | Path | None = None,
    pooling: str = "max",
    padding: str | None = None,
    preprocessing: str | None = None,
) -> VGG:
    """The network with `weights`, or with those that are found, or else downloaded. Options and errors as vgg19's."""
    return create("vgg16", weights, pooling, padding, preprocessing)
