"""Random VGG weights in the layouts of the published files, for the tests of networks and weights."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

NORMALISED = (0, 2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51)  # the keys of vgg_normalised.pth
CAFFE_WEIGHT = 255 * torch.eye(3).flip(0)[:, :, None, None]  # RGB in [0, 1] to BGR of 0 ... 255
CAFFE_BIAS = -torch.tensor([103.939, 116.779, 123.68])
DEPTHS = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}


@cache
def reference(architecture: str) -> nn.Sequential:
    """torchvision's own layers, without memory behind them."""
    with torch.device("meta"):
        return getattr(torchvision.models, architecture)(weights=None, init_weights=False).features


def convolutions(architecture: str) -> Iterator[tuple[str, int, nn.Conv2d]]:
    """Name, torchvision's index, and the module of every convolution."""
    found = [(i, m) for i, m in enumerate(reference(architecture)) if isinstance(m, nn.Conv2d)]
    names = [f"conv{b}_{i}" for b, depth in enumerate(DEPTHS[architecture], 1) for i in range(1, depth + 1)]
    for name, (i, module) in zip(names, found, strict=True):
        yield name, i, module


def tensors(architecture: str = "vgg19", last: str = "conv2_1", seed: int = 0) -> dict[str, Tensor]:
    """conv1_1.weight ... up to `last`, scaled so that features keep their size; half precision holds them exactly."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, _, module in convolutions(architecture):
        scale = (2 / module.weight[0].numel()) ** 0.5
        out[f"{name}.weight"] = scale * torch.randn(module.weight.shape, generator=generator)
        out[f"{name}.bias"] = 0.1 * torch.randn(module.bias.shape, generator=generator)
        if name == last:
            break
    return {key: value.half().float() for key, value in out.items()}


def as_torchvision(named: dict[str, Tensor], architecture: str = "vgg19") -> dict[str, Tensor]:
    """The keys of torchvision's files, with a classifier."""
    index = {name: i for name, i, _ in convolutions(architecture)}
    out = {f"features.{index[key.split('.')[0]]}.{key.split('.')[1]}": value for key, value in named.items()}
    return {**out, "classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.zeros(2)}


def as_normalised(named: dict[str, Tensor]) -> dict[str, Tensor]:
    """The keys of vgg_normalised.pth."""
    index = {name: key for (name, _, _), key in zip(convolutions("vgg19"), NORMALISED[1:], strict=True)}
    out = {f"{index[key.split('.')[0]]}.{key.split('.')[1]}": value for key, value in named.items()}
    return {"0.weight": CAFFE_WEIGHT, "0.bias": CAFFE_BIAS, **out}


def picture(height: int = 18, width: int = 21) -> Tensor:
    """Two images of an odd size."""
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def save(state: object, path: Path, legacy: bool = False) -> Path:
    """A pickle, in the format of today or of before 2020."""
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    return path


def slim(state: dict[str, Tensor], path: Path, half: bool = False) -> Path:
    """A safetensors file with Caffe's preprocessing, and tensors that are nobody's business."""
    own = {"preprocess.weight": CAFFE_WEIGHT, "preprocess.bias": CAFFE_BIAS}
    extra = {"conv1_1.mean_activation": torch.ones(64), "lift1_1.weight": torch.ones(2, 64, 1, 1)}
    save_file({key: value.half() if half else value for key, value in state.items()} | own | extra, path)
    return path
