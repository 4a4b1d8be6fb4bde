"""`lite`: the embedded loss network, VGG-19's layout at a ninth of its multiplications; `gatys-lab train lite` made it.

Style losses see features through inner products only (Gram, the MMDs, style swap), so a narrow network serves if its
inner products approximate VGG-19's. Every ReLU carries a *head*: a 1x1 convolution to the teacher's leading principal
coordinates, uncentred and unscaled. `lift` (orthonormal columns) maps a head to the teacher's channels, hence
(L h) . (L h') = h . h': losses on heads are losses on lifted features, at a fraction of the cost.

Differs from VGG-19: narrower, features normalised as in Gatys et al. 2016 (mean activation 1 over photographs),
preprocessing folded into conv1_1, reflection padding. `relu*` layers are read through their heads, so they may be
negative; `conv*` and `pool*` are the network's own path.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from gatys_lab.files import check_ordinary
from gatys_lab.networks import _rounding
from gatys_lab.networks._vgg import VGG, plan

NAME = "lite-1"
BLOCK_WIDTHS = (16, 48, 80, 160, 384)
WIDTHS = {step: BLOCK_WIDTHS[int(step[4]) - 1] for step in plan((2, 2, 4, 4, 1)) if step.startswith("conv")}
WIDTHS["conv1_1"] = 20  # relu1_1 is read from this one alone, and 16 channels leave .16 of it at best
EMBEDDED = Path(__file__).with_name(f"{NAME}.safetensors")


def create(pooling: str = "max", padding: str = "reflect") -> VGG:
    """The untrained network: its shape, heads included."""
    heads = {step.replace("conv", "relu"): width for step, width in WIDTHS.items()}
    return VGG("lite", WIDTHS, heads=heads, pooling=pooling, padding=padding)


def build(weights: str | Path | None = None, pooling: str = "max", padding: str | None = None) -> VGG:
    """The trained network, from the package itself or from a file that `gatys-lab train lite` wrote."""
    path = Path(weights) if weights is not None else EMBEDDED
    net = create(pooling, padding or "reflect")
    stored, wanted = read(path), net.state_dict()
    for name, tensor in wanted.items():
        found = tuple(stored[name].shape) if name in stored else "nothing"
        if found != tuple(tensor.shape):
            raise ValueError(f"'{path}' is no lite network: {name} is {found}, wanted {tuple(tensor.shape)}")
    net.load_state_dict({name: stored[name] for name in wanted})
    lifts = {name: tensor for name, tensor in stored.items() if name.startswith("lift")}
    net.lifts = {k.removesuffix(".weight").replace("lift", "relu"): lift for k, lift in lifts.items()}
    net.source = NAME if weights is None else path.name
    return net.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def is_lite(path: Path) -> bool:
    """Whether a file says that it holds a lite network."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("name") == "lite"
    except (SafetensorError, OSError):
        return False


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a file that `gatys-lab train lite` wrote, float32."""
    check_ordinary(path, "a network made by `gatys-lab train lite`")
    try:
        return _rounding.unpack(load_file(path))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ValueError(f"cannot read '{path}': {error}; wanted a network made by `gatys-lab train lite`") from error
