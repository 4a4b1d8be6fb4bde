"""`adaattn`: attentive normalisation (Liu et al. 2021): moments of its own for every position, attended over the style.

At relu3_1, relu4_1 and relu5_1: queries and keys from the normalised features of this and all shallower layers, values
from the style's own; F_cs = deviation * Norm(F_c) + mean; a decoder joins the three levels. `form` is softmax, or
cosine for video. Differs: alpha, which is ours; keys resized bilinearly as in the paper (published checkpoints:
nearest); biased deviations (published: unbiased); no ReLU after the convolution that joins the levels, as published.
`shallow=False` and `form="sanet"` are the paper's ablations, to be trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatys_lab.errors import UnknownName
from gatys_lab.masks import resize_mask
from gatys_lab.models import _attention, _files
from gatys_lab.models._base import FeedForward, Shares, Style, chosen_cells, fingerprint
from gatys_lab.models._mirror import CONVOLUTIONS, WIDTHS, Mirror
from gatys_lab.models._moments import normalise
from gatys_lab.networks._vgg import VGG
from gatys_lab.types import Image

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
LEVELS = ("relu3_1", "relu4_1", "relu5_1")
FORMS = ("softmax", "cosine", "sanet")
SHIPPED = {"softmax": "adaattn", "cosine": "adaattn-cosine"}  # form, and the file of the package's own weights
PUBLISHED = {  # file, which of our modules it fills, and their layers' names in it (Huage001)
    "latest_net_adaattn_3.pth": {f"relu3_1.{x}": x for x in "fgh"},
    "latest_net_transformer.pth": {
        **{f"relu4_1.{x}": f"attn_adain_4_1.{x}" for x in "fgh"},
        **{f"relu5_1.{x}": f"attn_adain_5_1.{x}" for x in "fgh"},
        "merge": "merge_conv",
    },
    "latest_net_decoder.pth": {
        CONVOLUTIONS[0]: "decoder_layer_1.1",
        **{k: f"decoder_layer_2.{i}" for k, i in zip(CONVOLUTIONS[1:], (1, 4, 7, 10, 14, 17, 21, 24), strict=True)},
    },
}


class Attention(nn.Module):
    """The learnt part of one level: 1x1 convolutions f (queries), g (keys), h (values), and for SANet `out`.

    Untrained, f, g and h leave everything as it is: attention means something from the first step.
    """

    def __init__(self, keys: int, values: int, form: str) -> None:
        super().__init__()
        self.f, self.g = nn.Conv2d(keys, keys, 1), nn.Conv2d(keys, keys, 1)
        self.h = nn.Conv2d(values, values, 1)
        self.out = nn.Conv2d(values, values, 1) if form == "sanet" else None
        self.form = form
        self.attend = _attention.FORMS["softmax" if form == "sanet" else form]
        for convolution in (self.f, self.g, self.h):
            nn.init.dirac_(convolution.weight)
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)

    def forward(self, content: Tensor, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """What scales and what is added to the content's (normalised) features (N, C, h, w), the same shape each."""
        mean, std = (m.view_as(content) for m in self.attend(query.flatten(2), key, value))
        return (std, mean) if self.out is None else (torch.ones_like(std), self.out(mean.to(query.dtype)).float())


class AdaAttN(FeedForward):
    """A style is {"key relu3_1": (N, d, Q), "value relu3_1": (N, C, Q), ...}: Q positions, of its mask if it has one.

    Several styles are averaged in mean and deviation; `joined(styles)` lets them compete for attention instead.
    """

    name: ClassVar[str] = "adaattn"
    layers: tuple[str, ...] = LAYERS

    def __init__(
        self,
        encoder: VGG,
        attention: Mapping[str, Attention],
        merge: nn.Conv2d,
        decoder: Mirror,
        *,
        shallow: bool = True,
        resizing: str = "bilinear",
        unbiased: bool = False,
        samples: int | None = None,
    ) -> None:
        """`samples`: at most so many style positions a level, drawn once by a fixed seed; None keeps them all."""
        super().__init__(encoder)
        self.attention, self.merge, self.decoder = nn.ModuleDict(attention), merge, decoder
        deep, shallower = attention["relu5_1"].h.out_channels, merge.in_channels
        self.bridge = nn.Identity() if deep == shallower else nn.Conv2d(deep, shallower, 1)  # published: the same width
        self.shallow, self.resizing, self.unbiased, self.samples = shallow, resizing, unbiased, samples
        self.form = attention["relu5_1"].form

    def style_fingerprint(self) -> str:
        own = nn.ModuleList([self.encoder, self.attention])
        return fingerprint(own, self.shallow, self.resizing, self.unbiased)

    def known(self, features: Mapping[str, Tensor], level: str, mask: Tensor | None = None) -> Tensor:
        """What queries and keys of a level are made from: this and all shallower layers, normalised (N, d, h, w).

        `mask` (N, 1, H, W): where the moments are taken that they are normalised by.
        """
        size = features[level].shape[2:]
        region = None if mask is None else resize_mask(mask, features[level])
        used = LAYERS[: LAYERS.index(level) + 1] if self.shallow else (level,)
        return torch.cat([normalise(self._resize(features[k], size), region, unbiased=self.unbiased) for k in used], 1)

    def _resize(self, features: Tensor, size: Sequence[int]) -> Tensor:
        if tuple(features.shape[2:]) == tuple(size):
            return features
        options = {} if self.resizing == "nearest" else {"align_corners": False}
        return F.interpolate(features.float(), tuple(size), mode=self.resizing, **options)

    def summarise(self, features: Mapping[str, Tensor], mask: Tensor | None) -> Style:
        style: dict[str, Tensor] = {}
        for level in LEVELS:
            learnt, f = self._learnt(level), features[level]
            dtype = learnt.g.weight.dtype
            key, value = learnt.g(self.known(features, level, mask).to(dtype)), learnt.h(f.to(dtype))
            chosen = self._positions(f, mask)
            for name, tensor in (("key", key), ("value", value)):
                flat = tensor.flatten(2)  # (N, C, Q)
                style[f"{name} {level}"] = flat if chosen is None else flat[..., chosen]
        return style

    def _learnt(self, level: str) -> Attention:
        learnt = self.attention[level]
        assert isinstance(learnt, Attention)
        return learnt

    def _positions(self, features: Tensor, mask: Tensor | None) -> Tensor | None:
        """Indices of the style positions that may be attended to, or None: all."""
        count = features.shape[2:].numel()
        chosen = torch.arange(count, device=features.device)
        if mask is not None:
            chosen = chosen[chosen_cells(mask, features).flatten()]
        if self.samples is not None and len(chosen) > self.samples:
            order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))
            chosen = chosen[order[: self.samples].sort().values.to(chosen.device)]
        return None if len(chosen) == count else chosen

    def decode(self, content: Mapping[str, Tensor], styles: Sequence[Style], shares: Shares, alpha: float) -> Image:
        level3, level4, level5 = (self.stylised(content, level, styles, shares, alpha) for level in LEVELS)
        h, w = level4.shape[2:]
        dtype = self.merge.weight.dtype
        deep = F.interpolate(self.bridge(level5.to(dtype)), scale_factor=2, mode="nearest")[..., :h, :w]
        merged = self.merge(F.pad(level4.to(dtype) + deep, (1, 1, 1, 1), mode="reflect"))
        return self.decoder(merged, {"conv3_4": level3})

    def stylised(
        self, content: Mapping[str, Tensor], level: str, styles: Sequence[Style], shares: Shares, alpha: float = 1.0
    ) -> Tensor:
        """F_cs of a level (N, C, h, w), 32 bits."""
        learnt, f, query = self._learnt(level), content[level].float(), self._query(content, level)
        base = f if learnt.form == "sanet" else normalise(f, unbiased=self.unbiased)

        def manner(style: Style) -> Tensor:
            key, value = (style[f"{name} {level}"].to(query.dtype).expand(len(f), -1, -1) for name in ("key", "value"))
            std, mean = learnt(f, query, key, value)
            return std * base + mean

        return torch.lerp(f, shares.mix(f, map(manner, styles)), alpha)

    def attended(
        self,
        content: Mapping[str, Tensor],
        level: str,
        style: Style,
        values: Tensor,
        cells: Sequence[int] | None = None,
    ) -> Tensor:
        """What the content's cells (of a level, row by row; None: all n) see of a style: the mean (N, C, n) of values.

        `content`: `features` of the photo. `values` (N, C, Q): anything that the style's positions have, such as its
        pixels; the identity (1, Q, Q) gives the weights of attention. Without a mask the positions are all cells.
        """
        query = self._query(content, level).flatten(2)
        query = query if cells is None else query[..., list(cells)]
        key, values = (t.expand(len(query), -1, -1) for t in (style[f"key {level}"].to(query.dtype), values))
        return self._learnt(level).attend(query, key, values)[0]

    def _query(self, content: Mapping[str, Tensor], level: str) -> Tensor:
        f = self._learnt(level).f
        found: Tensor = f(self.known(content, level).to(f.weight.dtype))
        return found


def joined(styles: Sequence[Style]) -> Style:
    """One style of all positions of several: each content position attends where it finds its like.

    Better than the paper's joining of style pictures, whose statistics are then joint and whose convolutions cross the
    seam.
    """
    return {name: torch.cat([style[name] for style in styles], 2) for name in styles[0]}


def create(encoder: VGG, form: str = "softmax", shallow: bool = True) -> AdaAttN:
    """The untrained model. `form` is softmax, cosine or sanet; `shallow`: keys see the shallower layers too."""
    if form not in FORMS:
        raise UnknownName(f"no attention '{form}'; there are {', '.join(FORMS)}")
    width = {layer: _files.channels(encoder, layer) for layer in LAYERS}
    keys = {k: sum(width[j] for j in LAYERS[: i + 1]) if shallow else width[k] for i, k in enumerate(LAYERS)}
    attention = {level: Attention(keys[level], width[level], form) for level in LEVELS}
    merge = nn.Conv2d(width["relu4_1"], width["relu4_1"], 3)
    decoder = Mirror("relu4_1", width["relu4_1"], WIDTHS[encoder.name], joined={"conv3_4": width["relu3_1"]})
    return AdaAttN(encoder, attention, merge, decoder, shallow=shallow)


def build(
    weights: str | Path | None = None,
    encoder: str | Path | VGG | None = None,
    samples: int | None = None,
    form: str | None = None,
) -> AdaAttN:
    """The trained model, from the package itself, a file that `gatys-lab train adaattn` wrote, or a published folder.

    `weights` may be a folder with latest_net_adaattn_3.pth, latest_net_transformer.pth and latest_net_decoder.pth,
    which need the `encoder` vgg_normalised.pth (see models/adain.py). `samples`: at most so many style positions a
    level (the published code draws 4,096); None keeps them all. `form`: of the package's own weights softmax, which is
    what None means, or cosine, which is for video: steadier and softer. A file of weights has its form.
    """
    if form not in (None, *SHIPPED):
        raise UnknownName(f"no weights of AdaAttN with attention '{form}'; there are {', '.join(SHIPPED)}")
    path = _files.weights(SHIPPED[form or "softmax"], weights)
    network = _files.encoder(encoder)
    model = _published(path, network) if path.is_dir() else _files.load(path, AdaAttN.name, network, create)
    if form not in (None, model.form):
        raise ValueError(f"'{path}' was trained with {model.form} attention, not {form}; leave the form out")
    model.samples = samples
    return model


def _published(path: Path, network: VGG | None) -> AdaAttN:
    model = create(_files.published(path, network))
    model.resizing, model.unbiased = "nearest", True
    parts = (model.attention, nn.ModuleDict({**model.attention, "merge": model.merge}), model.decoder)
    for part, (file, names) in zip(parts, PUBLISHED.items(), strict=True):
        _files.rename(path / file, _files.state_of(path / file), names, part)
    return model.eval().requires_grad_(False)
