"""Whose colours: recolour the style before, or mix the photograph's and the result's colours after.

Gatys et al. 2016, "Preserving Color in Neural Artistic Style Transfer". `linear` gives the style the photograph's mean
and covariance of colours; `histogram` its whole distribution of them; `luma` leaves the style alone, and of the result
keeps the luma (BT.601) and nothing else. `chroma` is the reverse: the result's colours, the photograph's luma.
Differs: not the histograms of the channels one by one, which leave a blue and yellow painting so beside a grey photo.
"""

import torch
from torch import Tensor

from gatys_lab.errors import UnknownName
from gatys_lab.types import Image

BEFORE, AFTER = ("linear", "histogram"), ("luma", "chroma")
COLOURS = BEFORE + AFTER
EPS = 1e-5  # of a variance, of the pixel range squared: a grey picture has no colours to be whitened
TURNS = 4  # of the colour space, along whose axes histograms are matched
LUMA = (0.299, 0.587, 0.114)


def check_colour(colour: str | None) -> None:
    """Raises UnknownName, a ValueError, if there is no such way."""
    if colour is not None and colour not in COLOURS:
        raise UnknownName(f"no colour '{colour}'; there are {', '.join(COLOURS)}")


def before(colour: str | None, painting: Image, photo: Image) -> Image:
    """The painting as the style is taken from it."""
    match = {"linear": match_linear, "histogram": match_histogram}.get(colour or "")
    return painting if match is None else match(painting, photo)


def after(colour: str | None, result: Image, photo: Image) -> Image:
    """The result as it is delivered."""
    if colour == "luma":
        return keep_luma(result, photo)
    return keep_luma(photo.to(result), result) if colour == "chroma" else result


def match_linear(image: Image, reference: Image) -> Image:
    """`image` with the mean and covariance of the reference's colours, (1, 3, H, W) each; clamped to [0, 1].

    The map is S_r^(1/2) S_i^(-1/2) with symmetric roots (as Hertzmann's in the paper), which turn colours little.
    """
    x, y = (picture.cpu().double().flatten(2)[0] for picture in (image, reference))  # (3, P); mps has no 64 bits
    mean_x, mean_y = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    change = _power(y - mean_y, 0.5) @ _power(x - mean_x, -0.5)
    return (change @ (x - mean_x) + mean_y).view_as(image).to(image).clamp(0, 1)


def _power(centred: Tensor, exponent: float) -> Tensor:
    """A power of the covariance (3, 3) of centred colours (3, P)."""
    covariance = centred @ centred.T / centred.shape[1]
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ torch.diag((values + EPS) ** exponent) @ vectors.T


def match_histogram(image: Image, reference: Image) -> Image:
    """`image` with the reference's histogram of colours, (1, 3, H, W) each. Equal colours stay equal.

    Iterative distribution transfer (Pitie et al. 2007): after `match_linear`, the histograms along the axes of
    `TURNS` turns of the colour space, one after the other; at last those of the channels, which are exact.
    """
    x, y = (picture.cpu().double().flatten(2)[0] for picture in (match_linear(image, reference), reference))  # (3, P)
    for turn in (*_turns(), torch.eye(3, dtype=x.dtype)):
        axes = zip(turn @ x, turn @ y, strict=True)
        x = turn.T @ torch.stack([_match_channel(ours, theirs) for ours, theirs in axes])
    return x.view_as(image).to(image)


def _turns() -> list[Tensor]:
    """Orthogonal matrices (3, 3), drawn once for all."""
    drawn = torch.randn(TURNS, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return list(torch.linalg.qr(drawn).Q)


def _match_channel(x: Tensor, y: Tensor) -> Tensor:
    _, where, counts = x.unique(return_inverse=True, return_counts=True)
    share = (counts.cumsum(0) - counts / 2) / len(x)  # the middle of each value's place in the order
    ordered, at = y.sort().values, share.double() * len(y) - 0.5
    low = at.floor().clamp(0, len(y) - 1).long()
    high = (low + 1).clamp(max=len(y) - 1)
    return torch.lerp(ordered[low], ordered[high], (at - low).clamp(0, 1).to(y.dtype))[where]


def keep_luma(result: Image, content: Image) -> Image:
    """The result's luma with the content's chroma, (1, 3, H, W) each; clamped to [0, 1]."""
    weights = result.new_tensor(LUMA).view(1, 3, 1, 1)
    change = ((result - content.to(result)) * weights).sum(1, keepdim=True)
    return (content.to(result) + change).clamp(0, 1)
