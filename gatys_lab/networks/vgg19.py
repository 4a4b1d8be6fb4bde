"""`vgg19`: the loss network of Gatys et al. 2016 and of all the papers here, conv1_1 ... pool5.

Simonyan & Zisserman 2015, configuration E. Weights are not part of the package: see _weights.py for where they are
found and _formats.py for the published files that are read.
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
    """The network with `weights`, or with those that are found, or else downloaded (548 MB, kept as 80).

    `padding` None is the file's own; `preprocessing` overrides what the file is taken for: torchvision, caffe,
    caffe-rgb or none. Raises ValueError for a file that does not fit, ConnectionError where nothing is to be had.

    >>> net = build("vgg19-dcbb9e9d.pth", pooling="avg")        # doctest: +SKIP
    >>> net(image, ("relu1_1", "relu4_2"))["relu4_2"].shape[1]  # doctest: +SKIP
    512
    """
    return create("vgg19", weights, pooling, padding, preprocessing)
