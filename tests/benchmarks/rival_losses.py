"""What neural-style-pt, pystiche and this program minimise, in 32 bits on the genuine VGG-19: of whom all are judged.

| objective | what it is |
|---|---|
| neural-style | neural-style-pt's where nothing is said: 5 content, 100 style, .001 total variation (L1, a sum) |
| pystiche | that of its authors' replication of Gatys et al. 2016: 1 content, 1,000 style over the channels squared |
| default | this program's where nothing is said, its terms balanced on VGG-19 in 32 bits |

The network is as torch has it: contiguous, zeros padded, max pooling. neural-style-pt's pixels are 0 to 256, B, G, R.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatys_lab.job import prepare
from gatys_lab.networks._formats import read
from gatys_lab.objective import balanced

STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT = "relu4_2"
CHANNELS = (64, 128, 256, 512, 512)
BGR_MEAN = (103.939, 116.779, 123.68)
PYSTICHE_STYLE = 1e3


def stored(path: Path) -> dict[str, Tensor]:
    """VGG-19's weights to relu5_1 at least, by their own names."""
    return dict(read(path).tensors)


class Plain(nn.Module):
    """VGG-19 as torch has it where nothing is said: 32 bits, contiguous, zeros padded, to relu5_1."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.steps = nn.ModuleDict()
        for block, depth in enumerate((2, 2, 4, 4, 1), start=1):
            for i in range(1, depth + 1):
                name = f"conv{block}_{i}"
                conv = nn.Conv2d(*reversed(weights[f"{name}.weight"].shape[:2]), 3, padding=1)
                conv.load_state_dict({key: weights[f"{name}.{key}"] for key in ("weight", "bias")})
                self.steps[name], self.steps[f"relu{block}_{i}"] = conv, nn.ReLU(inplace=True)
            if block < 5:
                self.steps[f"pool{block}"] = nn.MaxPool2d(2)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = {}
        for name, step in self.steps.items():
            x = step(x)
            if name in (*STYLE, CONTENT):
                found[name] = x.clone() if name == CONTENT else x
        return found


@dataclass(frozen=True)
class Weights:
    """Of the mean squared differences of features and of Gram matrices over M N, and of sums over neighbours."""

    content: float
    styles: tuple[float, ...]
    rough: float
    power: int  # of the difference of neighbours


AS_IT_IS = Weights(5, (100,) * len(STYLE), 1e-3, 1)  # neural-style-pt where nothing is said


class NeuralStyle:
    """neural-style-pt's objective, of pixels as it has them."""

    def __init__(self, net: Plain, photo: Tensor, painting: Tensor, weights: Weights = AS_IT_IS) -> None:
        self.net, self.weights = net, weights
        with torch.no_grad():
            look = net(to_caffe(painting))
            self.styles = {name: gram(look[name]) for name in STYLE}
            self.content = net(to_caffe(photo))[CONTENT]

    def __call__(self, x: Tensor) -> Tensor:
        found, w = self.net(x), self.weights
        style = sum(
            weight * F.mse_loss(gram(found[name]), self.styles[name])
            for name, weight in zip(STYLE, w.styles, strict=True)
        )
        rough = sum(x.diff(dim=side).abs().pow(w.power).sum() for side in (2, 3))
        return w.content * F.mse_loss(found[CONTENT], self.content) + style + w.rough * rough


def default_weights(photo: Tensor, painting: Tensor) -> Weights:
    """What the terms of our default weigh, balanced on VGG-19 in 32 bits, in neural-style-pt's units."""
    of = _balanced("vgg19", photo, painting, {})
    styles = tuple(of["gram", name] * count**2 / 4 for name, count in zip(STYLE, CHANNELS, strict=True))
    return Weights(of["content", CONTENT], styles, of["tv", "input"] / 256**2 / photo.numel(), 2)


def as_strong(photo: Tensor, painting: Tensor, words: dict[str, Any]) -> dict[str, Any]:
    """The raw weights with which each term pulls on lite as strongly as with those in `words` it pulls on VGG-19.

    Lite's features have other channels, of another scale. Measured where `balanced` measures: the photo plus noise.
    """
    theirs, ours = (_balanced(network, photo, painting, words) for network in ("vgg19", "lite"))
    styles = {name: share * ours["gram", name] / theirs["gram", name] for name, share in words["style_layers"].items()}
    content = words["content_weight"] * ours["content", CONTENT] / theirs["content", CONTENT]
    return {**words, "content_weight": content, "style_layers": styles}


def _balanced(network: str, photo: Tensor, painting: Tensor, words: dict[str, Any]) -> dict[tuple[str, str], float]:
    """What each term weighs, by its group and layer, where the terms pull as `balanced` makes them."""
    job = prepare(photo, painting, network=network, precision="fp32", size_px=max(photo.shape[2:]), **words)
    with torch.no_grad():
        looks = [job.network(image, job.objective.layers) for image in (photo, painting)]
    fitted = balanced(job.objective.fit(*looks), job.network, photo, job.config.seed)
    return {(term.group, term.layer): weight for term, weight in zip(fitted.terms, fitted.weights, strict=True)}


def gram(features: Tensor) -> Tensor:
    rows = features.flatten(0, 2).view(features.shape[1], -1)
    return rows @ rows.T / features.numel()


def to_caffe(image: Tensor) -> Tensor:
    return image.flip(1) * 256 - image.new_tensor(BGR_MEAN).view(1, 3, 1, 1)


def from_caffe(x: Tensor) -> Tensor:
    return ((x + x.new_tensor(BGR_MEAN).view(1, 3, 1, 1)) / 256).flip(1)


def import_pystiche() -> Any:
    """pystiche 1.0.1's losses, encoders, optimisation. It reads tables of torchvision's that are no longer there.

    Raises ImportError where it is not installed.
    """
    depths = [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]
    for module, names in (("alexnet", ["alexnet"]), ("vgg", depths)):
        import_module(f"torchvision.models.{module}").model_urls = dict.fromkeys(names, "")  # type: ignore[attr-defined]
    from pystiche import enc, loss, optim

    return enc, loss, optim


def pystiche_encoder(path: Path) -> Any:
    """Its VGG-19, to relu5_1, with weights that are at hand."""
    enc = import_pystiche()[0]
    encoder = enc.VGGMultiLayerEncoder("vgg19", pretrained=False, internal_preprocessing=False)
    encoder.trim((*STYLE, CONTENT))
    own = {key: value for key, value in stored(path).items() if key.split(".")[0] in encoder._modules}
    encoder.load_state_dict(own, map_names=False)
    return encoder.requires_grad_(False)


def pystiche_objective(encoder: Any, photo: Tensor, painting: Tensor) -> Any:
    """That of its authors' replication of Gatys et al. 2016: relu4_2, and Gram matrices of five layers over N^2."""
    enc, loss, _ = import_pystiche()
    objective = loss.PerceptualLoss(
        loss.FeatureReconstructionLoss(encoder.extract_encoder(CONTENT), score_weight=1.0),
        loss.MultiLayerEncodingLoss(
            encoder,
            STYLE,
            lambda layer, weight: loss.GramLoss(layer, score_weight=weight),
            layer_weights=[1 / count**2 for count in CHANNELS],
            score_weight=PYSTICHE_STYLE,
        ),
    )
    objective.set_content_image(enc.CaffePreprocessing()(photo))
    objective.set_style_image(enc.CaffePreprocessing()(painting))
    return objective


def judge(path: Path, objective: str, photo: Tensor, painting: Tensor) -> Callable[[Tensor], float]:
    """The loss, in 32 bits on the genuine network, of a picture (1, 3, H, W) of 8 bits, by whoever's objective."""
    if objective == "pystiche":
        to_caffe_255 = import_pystiche()[0].CaffePreprocessing()
        theirs = pystiche_objective(pystiche_encoder(path), photo, painting)
        return lambda picture: _number(theirs, to_caffe_255(picture / 255))
    weights = AS_IT_IS if objective == "neural-style" else default_weights(photo, painting)
    loss = NeuralStyle(Plain(stored(path)), photo, painting, weights)
    return lambda picture: _number(loss, to_caffe(picture / 255))


@torch.no_grad()
def _number(loss: Callable[[Tensor], Any], x: Tensor) -> float:
    return float(loss(x))
