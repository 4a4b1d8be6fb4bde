"""A narrow network cut from a wide one in closed form: the start that training improves.

For each layer, from the second moments of the teacher's activations: keep the channels that best explain all the
others linearly (greedy column selection, a constant included), map the kept ones back to all by least squares, and
compose that map with the teacher's next convolution (exact under reflection padding, which commutes with 1x1 maps).
"""

import torch
from torch import Tensor, nn

from gatys_lab.networks._vgg import VGG

RIDGE = 1e-6  # relative to the mean square; dead channels would make the normal equations singular


def moments(teacher: VGG, batches: list[Tensor], layers: tuple[str, ...]) -> dict[str, Tensor]:
    """Mean of [a; 1][a; 1]^T over positions and pictures, float64 (C + 1, C + 1), for each layer's activations a."""
    sums: dict[str, Tensor] = {}
    for batch in batches:
        for layer, features in teacher(batch, layers).items():
            a = features.float().permute(1, 0, 2, 3).flatten(1)  # (C, N*P)
            a = torch.cat([a, torch.ones_like(a[:1])])
            sums[layer] = sums.get(layer, 0) + (a @ a.T / a.shape[1]).double() / len(batches)
    return sums


def principal_basis(moment: Tensor, rank: int) -> Tensor:
    """The leading uncentred principal directions (C, rank), orthonormal: they keep inner products best."""
    return torch.linalg.eigh(moment[:-1, :-1]).eigenvectors.flip(1)[:, :rank]


def choose(moment: Tensor, count: int) -> list[int]:
    """Channels, each the one that with a constant and those before it explains most of what is left."""
    constant = len(moment) - 1
    rest = moment - torch.outer(moment[:, constant], moment[constant]) / moment[constant, constant]
    floor = RIDGE * moment.diagonal().mean()
    chosen: list[int] = []
    for _ in range(count):
        gain = (rest * rest).sum(0) / (rest.diagonal() + floor)
        gain[[*chosen, constant]] = -1
        best = int(gain.argmax())
        chosen.append(best)
        rest = rest - torch.outer(rest[:, best], rest[best]) / (rest[best, best] + floor)
    return chosen


def explain(moment: Tensor, chosen: list[int]) -> tuple[Tensor, Tensor]:
    """Least squares from the chosen channels to all: (C, k) and the bias (C,)."""
    kept = [*chosen, len(moment) - 1]
    normal = moment[kept][:, kept]
    ridge = RIDGE * normal.diagonal().mean() * torch.eye(len(kept), dtype=moment.dtype)
    solution = torch.linalg.solve(normal + ridge, moment[kept][:, :-1]).T  # (C, k + 1)
    return solution[:, :-1], solution[:, -1]


def cut(teacher: VGG, student: VGG, moment_of: dict[str, Tensor]) -> dict[str, Tensor]:
    """Set the student's parameters from the teacher's. Returns the lifts, head -> teacher, by ReLU, float32 (C, r)."""
    weight, bias = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    if teacher.preprocess is not None:
        weight, bias = teacher.preprocess.weight[:, :, 0, 0].double(), _bias(teacher.preprocess)
    lifts: dict[str, Tensor] = {}
    for step in student.steps:
        if not step.startswith("conv"):
            continue
        relu, source, copy = step.replace("conv", "relu"), getattr(teacher, step), getattr(student, step)
        chosen = choose(moment_of[relu], copy.out_channels)
        rows = source.weight.double()[chosen]  # (k, C_in of the teacher, 3, 3)
        _set(copy, torch.einsum("ocyx,ci->oiyx", rows, weight), _bias(source)[chosen] + rows.sum((2, 3)) @ bias)
        weight, bias = explain(moment_of[relu], chosen)
        head = getattr(student, relu.replace("relu", "head"))
        basis = principal_basis(moment_of[relu], head.out_channels)  # (C, r)
        _set(head, (basis.T @ weight)[:, :, None, None], basis.T @ bias)
        lifts[relu] = basis.float()
    return lifts


def graft(student: VGG, grown: dict[str, Tensor]) -> None:
    """Set the student's convolutions from a network that was trained already and may be narrower (`head*` are left).

    Channels that it lacked stay as they are, and what it has does not listen to them yet: the path computes the same.
    """
    with torch.no_grad():
        for name, tensor in student.state_dict().items():
            if not name.startswith("conv"):
                continue
            old = grown[name]
            if any(a > b for a, b in zip(old.shape, tensor.shape, strict=True)):
                raise ValueError(f"{name} is {tuple(old.shape)}, wanted {tuple(tensor.shape)} or narrower")
            tensor[: len(old)] = 0
            tensor[tuple(slice(n) for n in old.shape)] = old


def solve_heads(teacher: VGG, student: VGG, lifts: dict[str, Tensor], batches: list[Tensor]) -> None:
    """Set every head by least squares, on these pictures, to the teacher's coordinates."""
    layers = tuple(lifts)
    convs = tuple(k.replace("relu", "conv") for k in layers)
    normal: dict[str, Tensor] = {}
    mixed: dict[str, Tensor] = {}
    for batch in batches:
        seen, wanted = student(batch, convs), teacher(batch, layers)
        for layer, conv in zip(layers, convs, strict=True):
            a = seen[conv].relu().permute(1, 0, 2, 3).flatten(1)
            a = torch.cat([a, torch.ones_like(a[:1])])  # (r + 1, N*P)
            y = lifts[layer].T @ wanted[layer].float().permute(1, 0, 2, 3).flatten(1)
            normal[layer] = normal.get(layer, 0) + (a @ a.T / a.shape[1]).double()
            mixed[layer] = mixed.get(layer, 0) + (a @ y.T / a.shape[1]).double()
    for layer in layers:
        ridge = RIDGE * normal[layer].diagonal().mean() * torch.eye(len(normal[layer]), dtype=torch.float64)
        solution = torch.linalg.solve(normal[layer] + ridge, mixed[layer]).T  # (r, k + 1)
        _set(getattr(student, layer.replace("relu", "head")), solution[:, :-1, None, None], solution[:, -1])


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias.detach().double()


def _set(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)  # type: ignore[union-attr]
