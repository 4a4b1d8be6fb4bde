"""What the feed-forward models share: a frozen encoder, a style that the caller holds, any size in and the same out.

Odd sizes: the encoder's pooling rounds up, so that no pixel is lost; up-sampling doubles; what then hangs over on the
right and below is cut off.
"""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatys_lab.networks._vgg import VGG
from gatys_lab.types import Image

Style = Mapping[str, Tensor]  # what a model keeps of a style picture: tensors only, (1, ...) or (N, ...) each


class FeedForward(nn.Module):
    """`model.style_of(picture)` once, then `model(content, style, alpha)` for any number of contents.

    Content and result are images (N, 3, H, W); a style is of one picture, or of N. Several styles are a sequence with
    `weights`, which are divided by their sum, and `masks` (1 or N, 1, H, W), soft, one a style: where it is painted.
    """

    name: ClassVar[str]  # what the user types
    layers: ClassVar[tuple[str, ...]]  # of the encoder, the deepest last

    def __init__(self, encoder: VGG) -> None:
        super().__init__()
        self.encoder = copy.copy(encoder).requires_grad_(False)  # the same weights; whoever else holds them may floor
        self.encoder.ceil_mode = True

    def style_of(self, image: Image, mask: Tensor | None = None) -> Style:
        """Summarise a style picture (N, 3, H, W). `mask` (1 or N, 1, H, W): the region that counts, soft."""
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
        styles = [style] if isinstance(style, Mapping) else list(style)
        shares = shares_of(styles, weights, masks)
        height, width = content.shape[2:]
        picture = self.decode(self.features(content), styles, shares, alpha)[..., :height, :width]
        return picture.to(content.dtype).clamp(0, 1)

    def features(self, image: Image) -> dict[str, Tensor]:
        """The encoder's features of the layers that this model looks at."""
        need = self.encoder.minimum_px(self.layers[-1:])
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


class Shares:
    """How much of each style goes where: a number a style, or a map a style; at every place they sum to 1."""

    def __init__(self, weights: Sequence[float], masks: Sequence[Tensor] | None) -> None:
        self.weights, self.masks = weights, masks

    def at(self, features: Tensor) -> list[Tensor]:
        """A share for each style, () or (N, 1, h, w) for features (N, C, h, w)."""
        if self.masks is None:
            return [features.new_tensor(w, dtype=torch.float32) for w in self.weights]
        regions = [w * resize_mask(mask, features) for w, mask in zip(self.weights, self.masks, strict=True)]
        total = torch.stack(regions).sum(0)
        share = torch.where(total > 0, 1 / total.clamp_min(1e-6), 0)
        nobody = (total == 0) / len(regions)  # a place that no mask claims gets all of them alike
        return [region * share + nobody for region in regions]

    def region(self, index: int, features: Tensor) -> Tensor | None:
        """Where a style is painted (N, 1, h, w), or None: everywhere."""
        return None if self.masks is None else resize_mask(self.masks[index], features)


def fingerprint(module: nn.Module) -> str:
    """12 hex digits that tell weights apart, whatever file they came from: of float32 values, by sorted names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def shares_of(styles: Sequence[Style], weights: Sequence[float] | None, masks: Sequence[Tensor] | None) -> Shares:
    """Raises ValueError if the numbers of styles, weights and masks differ, or the weights cannot be divided."""
    if not styles:
        raise ValueError("no style; wanted at least one")
    for what, given in (("weights", weights), ("masks", masks)):
        if given is not None and len(given) != len(styles):
            raise ValueError(f"{len(given)} {what} for {len(styles)} styles; give one each")
    numbers = [1.0] * len(styles) if weights is None else [float(w) for w in weights]
    if min(numbers) < 0 or not 0 < sum(numbers) < float("inf"):
        raise ValueError(f"the styles' weights are {numbers}; wanted numbers of at least 0, one of them above 0")
    return Shares([w / sum(numbers) for w in numbers], masks)


def resize_mask(mask: Tensor, features: Tensor) -> Tensor:
    """A soft mask (N, 1, H, W) at the features' cells (N, 1, h, w), each the mean of the pixels below it."""
    if mask.ndim != 4 or mask.shape[1] != 1:
        raise ValueError(f"a mask of shape {tuple(mask.shape)}; wanted (1, 1, H, W)")
    height, width = features.shape[2:]
    return F.adaptive_avg_pool2d(mask.to(features.device, torch.float32), (height, width))
