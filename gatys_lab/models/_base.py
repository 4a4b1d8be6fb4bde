"""What the feed-forward models share: a frozen encoder, a style that the caller holds, any size in and the same out.

Odd sizes: the encoder's pooling rounds up, so that no pixel is lost; up-sampling doubles; what then hangs over on the
right and below is cut off.
"""

import copy
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from gatys_lab.masks import claims, resize_mask
from gatys_lab.networks._vgg import VGG
from gatys_lab.styles import divided
from gatys_lab.types import Image

Style = Mapping[str, Tensor]  # what a model keeps of a style picture: tensors only, (1, ...) or (N, ...) each


class FeedForward(nn.Module):
    """`model.style_of(picture)` once, then `model(content, style, alpha)` for any number of contents.

    Content and result are images (N, 3, H, W); a style is of one picture, or of N. Several styles are a sequence with
    `weights`, which are divided by their sum, and `masks` (1 or N, 1, H, W), soft, one a style: where it is painted.
    What no mask claims stays as the content is.
    """

    name: ClassVar[str]  # what the user types
    layers: tuple[str, ...]  # of the encoder, the deepest last

    def __init__(self, encoder: VGG) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)  # the caller's may be an engine's, too
        self.encoder.ceil_mode = True

    def style_of(self, image: Image, mask: Tensor | None = None) -> Style:
        """Summarise a style picture (N, 3, H, W). `mask` (1, 1, H, W): the region that counts.

        Where a style is statistics (adain) the mask is soft; where it is a set of positions (adaattn, inverse) those
        count that are at least half in it. Raises ValueError for a mask that is empty.
        """
        if mask is not None and (len(mask) > 1 or not mask.max() > 0):
            came = f"{tuple(mask.shape)}, at most {float(mask.max()):g}"
            raise ValueError(f"a style mask of {came}; wanted one, (1, 1, H, W), that is not empty")
        with torch.no_grad():
            return self.summarise(self.features(image), mask)

    def forward(
        self,
        content: Image,
        style: Style | Sequence[Style],
        alpha: float = 1.0,
        *,
        weights: Sequence[float] | None = None,
        masks: Sequence[Tensor] | None = None,
    ) -> Image:
        """The stylised picture, clamped to [0, 1]; alpha 0 is the content as the decoder gives it back, 1 the style."""
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha:g}; wanted 0 (the photo) to 1 (the style)")
        styles = [on_device(s, content.device) for s in ([style] if isinstance(style, Mapping) else style)]
        shares = shares_of(styles, weights, masks)
        height, width = content.shape[2:]
        picture = self.decode(self.features(content), styles, shares, alpha)[..., :height, :width]
        return picture.to(content.dtype).clamp(0, 1)

    def features(self, image: Image) -> dict[str, Tensor]:
        """The encoder's features of the layers that this model looks at."""
        doublings = int(self.layers[-1].removeprefix("relu")[0]) - 1
        need = max(self.encoder.minimum_px(self.layers[-1:]), 2**doublings + 1)  # two cells: decoders reflect
        if min(image.shape[2:]) < need:
            height, width = image.shape[2:]
            raise ValueError(f"a picture of {width} x {height} px; {self.name} needs {need} px a side: enlarge it")
        return self.encoder(image, self.layers)

    def style_fingerprint(self) -> str:
        """What a style depends on: the weights that made it. Here the encoder's."""
        return fingerprint(self.encoder)

    def summarise(self, features: Mapping[str, Tensor], mask: Tensor | None) -> Style:
        """The style of a picture with these features."""
        raise NotImplementedError

    def decode(self, content: Mapping[str, Tensor], styles: Sequence[Style], shares: "Shares", alpha: float) -> Image:
        """Content's features and styles to a picture (N, 3, at least H, at least W), not clamped."""
        raise NotImplementedError


def on_device(style: Style, device: torch.device) -> Style:
    return {name: tensor.to(device) for name, tensor in style.items()}


class Shares:
    """How much of each style goes where: a number a style, or a map a style; what is left to 1 is the content's."""

    def __init__(self, weights: Sequence[float], masks: Sequence[Tensor] | None) -> None:
        self.weights, self.masks = weights, masks

    def mix(self, content: Tensor, stylised: Iterable[Tensor]) -> Tensor:
        """The content's features (N, C, h, w) stylised in each of the manners, put together."""
        if len(self.weights) == 1 and self.masks is None:
            return next(iter(stylised))
        if self.masks is None:
            return torch.stack([w * f for w, f in zip(self.weights, stylised, strict=True)]).sum(0)
        shares = self._claims(content)
        mixed = _left(shares) * content
        for share, f in zip(shares, stylised, strict=True):
            mixed = mixed + share * f
        return mixed

    def region(self, index: int, features: Tensor) -> Tensor | None:
        """Where a style is painted (N, 1, h, w), or None: everywhere."""
        return None if self.masks is None else resize_mask(self.masks[index], features)

    def rest(self, features: Tensor) -> Tensor | None:
        """What no style claims (N, 1, h, w), or None: there are no masks."""
        return None if self.masks is None else _left(self._claims(features)).clamp_min(0)

    def _claims(self, features: Tensor) -> list[Tensor]:
        assert self.masks is not None
        return claims(self.weights, [resize_mask(mask, features) for mask in self.masks])


def _left(shares: Sequence[Tensor]) -> Tensor:
    """Of 1 at each place, when all have theirs."""
    return 1 - torch.stack(list(shares)).sum(0)


def fingerprint(module: nn.Module, *words: object) -> str:
    """12 hex digits that tell weights (and `words`) apart, whatever file or precision they are in.

    Of values rounded to bfloat16, by sorted names.
    """
    digest = hashlib.sha256(repr(words).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        rounded = tensor.detach().to("cpu", torch.bfloat16).contiguous()
        digest.update(rounded.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:12]


def shares_of(styles: Sequence[Style], weights: Sequence[float] | None, masks: Sequence[Tensor] | None) -> Shares:
    """Raises ValueError if the numbers of styles, weights and masks differ, or the weights cannot be divided."""
    for what, given in (("weights", weights), ("masks", masks)):
        if given is not None and len(given) != len(styles):
            raise ValueError(f"{len(given)} {what} for {len(styles)} styles; give one each")
    return Shares(divided([1.0] * len(styles) if weights is None else weights), masks)


def chosen_cells(mask: Tensor, features: Tensor) -> Tensor:
    """Which cells (h, w) are in a region, bool: at least half of them, or, of a thin region, any part."""
    cells = resize_mask(mask, features)[0, 0]
    return cells >= 0.5 if (cells >= 0.5).any() else cells > 0
