"""The teacher: genuine VGG-19 features, normalised as Gatys et al. did (each channel's mean activation 1)."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from gatys_lab.networks import lite, vgg19
from gatys_lab.networks._vgg import VGG

DEAD = 1e-6  # a channel with a smaller mean activation is left as it is


def load(path: Path, pictures: list[Tensor]) -> VGG:
    """VGG-19 from any file that `vgg19` reads, with reflection padding.

    The mean activations are the file's own (`conv*.mean_activation`) or, where it has none, measured on `pictures`.
    """
    net = vgg19.build(path, padding="reflect")
    steps = tuple(lite.WIDTHS)
    stored = load_file(path) if path.suffix == ".safetensors" else {}
    if f"{steps[0]}.mean_activation" in stored:
        means = {step: stored[f"{step}.mean_activation"].float() for step in steps}
    else:
        means = _measure(net, steps, pictures)
    previous = torch.ones(3)
    for step in steps:
        conv, mean = getattr(net, step), torch.where(means[step] > DEAD, means[step], 1.0)
        with torch.no_grad():
            conv.weight.mul_(previous.view(1, -1, 1, 1) / mean.view(-1, 1, 1, 1))
            conv.bias.div_(mean)
        previous = mean
    return net


def _measure(net: VGG, steps: tuple[str, ...], pictures: list[Tensor]) -> dict[str, Tensor]:
    sums = dict.fromkeys(steps, torch.zeros(()))
    with torch.no_grad():
        for batch in pictures:
            for layer, features in net(batch, tuple(step.replace("conv", "relu") for step in steps)).items():
                sums[layer.replace("relu", "conv")] = sums[layer.replace("relu", "conv")] + features.mean((0, 2, 3))
    return {step: total / len(pictures) for step, total in sums.items()}
