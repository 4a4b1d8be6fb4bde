"""How well a student stands in for its teacher: the figures of the model card, on pictures that were held out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import Tensor

from gatys_lab import catalog
from gatys_lab.config import STYLE_LAYERS
from gatys_lab.engine import optimize
from gatys_lab.images import read, resize
from gatys_lab.networks import lite
from gatys_lab.objective import Fitted, content, style
from gatys_lab.training import _teacher
from gatys_lab.types import Image, Network

STYLE = tuple(STYLE_LAYERS)
CONTENT_SHARE = 0.02


@dataclass(frozen=True)
class Lifted:
    """A student whose heads are lifted to the teacher's channels: what its features are compared with."""

    student: Network
    lifts: dict[str, Tensor]  # layer -> (C, r)

    def __call__(self, image: Image, layers: Sequence[str]) -> dict[str, Tensor]:
        heads = self.student(image, tuple(layers))
        return {k: torch.einsum("cr,nrhw->nchw", self.lifts[k], f) for k, f in heads.items()}


def feature_errors(lifted: Lifted, teacher: Network, images: Sequence[Image]) -> dict[str, float]:
    """Relative error of the lifted features a layer, the root of summed squares over all images."""
    errors, energies = dict.fromkeys(STYLE, 0.0), dict.fromkeys(STYLE, 0.0)
    with torch.no_grad():
        for image in images:
            found, wanted = lifted(image, STYLE), teacher(image, STYLE)
            for k in STYLE:
                errors[k] += float((found[k] - wanted[k]).square().sum() / image.numel())
                energies[k] += float(wanted[k].square().sum() / image.numel())
    return {k: (errors[k] / energies[k]) ** 0.5 for k in STYLE}


def rank_correlations(
    student: Network, teacher: Network, images: Sequence[Image], pairs: int, losses: Sequence[str]
) -> dict[str, float]:
    """Spearman's rank correlation of the two networks' style losses over pairs of pictures, summed over layers.

    Each layer's loss is divided by its mean over the pairs, lest one layer decide alone.
    """
    with torch.no_grad():
        seen = [[network(image, STYLE) for image in images] for network in (student, teacher)]
        chosen = list(islice(_pairs(len(images)), pairs))
        result = {}
        for name in losses:
            scores = []
            for features in seen:
                table = torch.tensor(
                    [_layer_losses(name, features[a], features[b]) for a, b in chosen]
                )  # (pairs, layers)
                scores.append((table / table.mean(0)).sum(1).numpy())
            result[name] = float(spearmanr(*scores).statistic)
    return result


def _pairs(count: int) -> Iterator[tuple[int, int]]:
    return ((a, b) for shift, a in product(range(1, count), range(count)) for b in [(a + shift) % count])


def _layer_losses(name: str, a: dict[str, Tensor], b: dict[str, Tensor]) -> list[float]:
    loss = catalog.load("losses", name)
    return [float(loss(a[k], loss.fit(b[k], a[k]))) for k in STYLE]


def transfer_objective(network: Network, photo: Image, painting: Image) -> Fitted:
    """Gram on relu1_1 ... relu5_1, each divided by its value at the photo, equal weights that sum to 1, plus
    CONTENT_SHARE times the relative content loss at relu4_1."""
    with torch.no_grad():
        c, s = network(photo, STYLE), network(painting, STYLE)
    unit = (style("gram", STYLE) + content("relu4_1")).fit(c, s)
    shares = [1 / len(STYLE) / float(loss(c[t.layer])) for t, loss in zip(unit.terms[:-1], unit.losses, strict=False)]
    energy = float(c["relu4_1"].square().mean())
    return replace(unit, weights=(*shares, CONTENT_SHARE / energy))


def transfer(
    student: Network, teacher: Network, photo: Image, painting: Image, evaluations: int = 80
) -> tuple[Image, float]:
    """A picture optimised with the student, from the photo, and what is left of the *teacher's* objective (1: all)."""
    objective = transfer_objective(student, photo, painting)
    optimizer = catalog.load("optimizers", "lbfgs", history=20)
    image = optimize(photo, student, objective, optimizer, evaluations=evaluations).image
    with torch.no_grad():
        truth = transfer_objective(teacher, photo, painting)
        return image, float(truth(teacher(image, truth.layers)).total)


def pictures(files: Sequence[Path], size_px: int) -> list[Image]:
    return [resize(read(file).image, size_px) for file in files]


def report(
    weights: Path,
    *,
    teacher: Path,
    held: tuple[Sequence[Path], Sequence[Path]],
    pairs: int,
    rank_pairs: int,
    size_px: int,
) -> dict[str, object]:
    """All figures of a student on these photographs and paintings.

    `left` is what remains of the teacher's loss where the student (or the teacher) was optimised; `share` the student's
    part of the teacher's fall.
    """
    contents, styles = (pictures(files, size_px) for files in held)
    genuine = _teacher.load(teacher, contents)
    student = lite.build(weights)
    lifted = Lifted(student, student.lifts)
    mixed = [image for both in zip(contents, styles, strict=False) for image in both]
    ranks = rank_correlations(student, genuine, mixed, rank_pairs, ("gram", "mmd-poly", "mmd-gaussian", "bn"))
    left = {
        name: [transfer(net, genuine, c, s)[1] for c, s in list(zip(contents, styles, strict=False))[:pairs]]
        for name, net in (("student", student), ("teacher", genuine))
    }
    mean = {name: sum(values) / len(values) for name, values in left.items()}
    return {
        "feature_errors": feature_errors(lifted, genuine, [*contents, *styles]),
        "rank_correlations": ranks,
        "left": left,
        "share": (1 - mean["student"]) / (1 - mean["teacher"]),
    }
