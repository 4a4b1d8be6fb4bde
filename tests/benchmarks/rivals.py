"""neural-style-pt, pystiche and this program at the same task, each filmed while it works, in a process of its own.

    python rivals.py PROGRAM OBJECTIVE PHOTO PAINTING SIZE_PX ITERATIONS START OUT [GOAL]

writes to OUT what each evaluation cost in processor seconds and the picture that a file would then hold. Keeping the
picture is not counted, nor is what comes before: imports, reading the pictures, loading the network. Targets are.
neural-style stops where its picture's loss is GOAL, looking at which is not counted either.

| program | what it is | objectives |
|---|---|---|
| neural-style | a loop of our own with what neural-style-pt does where nothing is said | neural-style, default |
| pystiche | the package itself, as its authors' replication of Gatys et al. 2016 sets it | pystiche |
| vgg19 | this program on the same network and weights | all |
| lite | this program where nothing is said but what to minimise | default, neural-style |

What is minimised, and by what all are judged, is in rival_losses.py. neural-style-pt's loop is torch's L-BFGS with a
history of 100 and without a line search.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import torch
from rival_losses import (
    AS_IT_IS,
    CHANNELS,
    PYSTICHE_STYLE,
    STYLE,
    NeuralStyle,
    Plain,
    as_strong,
    default_weights,
    from_caffe,
    import_pystiche,
    pystiche_encoder,
    pystiche_objective,
    stored,
    to_caffe,
)
from torch import Tensor, nn

from gatys_lab.devices import keep_freed_memory
from gatys_lab.images import picture_of, resize
from gatys_lab.job import prepare
from gatys_lab.networks import _weights


@dataclass
class Film:
    """Processor seconds and pictures (n, 3, H, W) of 8 bits, without the time that keeping them takes."""

    began: float = field(default_factory=time.process_time)
    seconds: list[float] = field(default_factory=list)
    pictures: list[Tensor] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # the program's own, of the iterate as it is

    def __call__(self, image: Tensor, loss: float, judged: Callable[[Tensor], float] | None = None) -> float:
        """`image` (1, 3, H, W) in [0, 1], and beyond it where the program lets it. The picture's loss, if `judged`."""
        now = time.process_time()
        self.seconds.append(now - self.began)
        self.losses.append(loss)
        self.pictures.append(in_8_bits(image.detach()))
        own = inf if judged is None else judged(self.pictures[-1])
        self.began += time.process_time() - now
        return own


class _There(Exception):
    """Raised out of a program that is as good as it needs to be."""


def in_8_bits(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def sized(path: str | Path, size_px: int) -> Tensor:
    """The picture that all of them get, (1, 3, H, W) in [0, 1], its longest side `size_px`."""
    return resize(picture_of(path).image, size_px)


def neural_style(
    path: Path, objective: str, photo: Tensor, painting: Tensor, iterations: int, start: str, goal: float = 0.0
) -> Film:
    net, weights = Plain(stored(path)), AS_IT_IS if objective == "neural-style" else default_weights(photo, painting)
    warm(net, to_caffe(photo))
    film = Film()
    minimised = NeuralStyle(net, photo, painting, weights)

    def judged(picture: Tensor) -> float:
        with torch.no_grad():
            return float(minimised(to_caffe(picture / 255)))

    x = to_caffe(photo) if start == "content" else torch.randn(photo.shape) * 0.001
    x = x.contiguous().requires_grad_()
    descent = torch.optim.LBFGS(
        [x], max_iter=iterations, history_size=100, tolerance_change=-1, tolerance_grad=-1, max_eval=iterations
    )

    def closure() -> Tensor:
        descent.zero_grad()
        loss = minimised(x)
        loss.backward()
        own = float(loss.detach())
        if film(from_caffe(x), own, judged if own <= goal else None) <= goal:  # a picture's is larger than a loss
            raise _There
        return loss

    with suppress(_There):
        descent.step(closure)
    return film


def warm(net: nn.Module, x: Tensor) -> None:
    """The first pass of a process, which compiles kernels; ours makes one before, to choose a precision."""
    leaf = x.clone().requires_grad_()
    features = net(leaf)
    torch.autograd.grad(sum(f.sum() for f in (features.values() if isinstance(features, dict) else [features])), leaf)


def pystiche(path: Path, objective: str, photo: Tensor, painting: Tensor, iterations: int, start: str) -> Film:
    enc, _, optim = import_pystiche()
    encoder, to_pixels = pystiche_encoder(path), enc.CaffePostprocessing()
    warm(torch.nn.Sequential(*encoder.children()), enc.CaffePreprocessing()(photo))
    film = Film()
    minimised = pystiche_objective(encoder, photo, painting)
    x = photo.clone() if start == "content" else torch.rand(photo.shape)

    def seen(image: Tensor) -> Any:
        loss = minimised(image)
        film(to_pixels(image.detach()), float(loss))
        return loss

    optim.image_optimization(x, seen, num_steps=iterations, preprocessor=enc.CaffePreprocessing(), quiet=True)
    return film


def in_our_words(objective: str, photo: Tensor) -> dict[str, Any]:
    """The options with which this program minimises what another one does; see docs/coming-from.md."""
    if objective == "default":
        return {}
    layers = {name: 4 / count**2 for name, count in zip(STYLE, CHANNELS, strict=True)}
    if objective == "pystiche":
        return {"content_weight": 1.0, "style_weight": PYSTICHE_STYLE, "style_layers": layers}
    smooth = {"tv": 0.001 * 256 * photo.numel(), "tv_kind": "l1"}
    return {"content_weight": 5.0, "style_weight": 100.0, "style_layers": layers, **smooth}


def ours(network: str, objective: str, photo: Tensor, painting: Tensor, evaluations: int, single: bool) -> Film:
    """Seen are the evaluations at the final size, and the delivered picture."""
    keep_freed_memory()  # as the command line does
    size_px = max(photo.shape[2:])
    options = {"network": network, "size_px": size_px, "evaluations": evaluations, "single_scale": single}
    words = in_our_words(objective, photo)
    if network == "lite" and words:
        words = as_strong(photo, painting, words)
    job = prepare(photo, painting, **options, **words)
    film = Film()
    job.run([lambda step: film(step.image, float(step.loss)) if step.size_px == size_px else None])
    return film


def genuine() -> Path:
    """The file of VGG-19's weights that is at hand. Raises FileNotFoundError where there is none."""
    found = _weights.find("vgg19")
    if found is None:
        raise FileNotFoundError("no weights of vgg19 here; name them in $GATYS_LAB_WEIGHTS")
    return found


def main(
    program: str,
    objective: str,
    photo: str,
    painting: str,
    size_px: str,
    iterations: str,
    start: str,
    out: str,
    *goal: str,
) -> None:
    torch.manual_seed(0)
    pictures = [sized(path, int(size_px)) for path in (photo, painting)]
    if goal:
        film = neural_style(genuine(), objective, *pictures, int(iterations), start, float(*goal))
    elif program in RIVALS:
        film = RIVALS[program](genuine(), objective, *pictures, int(iterations), start)
    else:
        film = ours(program, objective, *pictures, int(iterations), start == "single")
    torch.save({"seconds": film.seconds, "losses": film.losses, "pictures": torch.cat(film.pictures)}, out)


RIVALS = {"neural-style": neural_style, "pystiche": pystiche}

if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    main(*sys.argv[1:])
