"""How steady a stylised clip is: the warp error along the content's optical flow. Lai et al. 2018, eq. 10 and 11.

Where the content's flow can be trusted, a painted frame should show what the one before showed there. Blind to a
flicker slower than the frames compared (hence `apart`), to what is occluded, and to blandness: a grey clip is steady.
Differs: the root of the mean square, as the tables of the stylisation papers read; occlusions by Ruder et al. 2016.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from gatys_lab.flow import flow, reliable, warp
from gatys_lab.types import Image


def warp_error(before: Image, after: Image, back: Tensor, trust: Tensor) -> float:
    """Of two frames (1, 3, H, W): root mean squared difference in [0, 1] where `trust` (1, 1, H, W) is 1.

    `back` (1, 2, H, W) leads from `after` to `before`. 0 where nothing can be trusted.
    """
    squares = (after - warp(before, back)).square().mean(1, keepdim=True) * trust
    return float((squares.sum() / trust.sum().clamp_min(1)).sqrt())


def temporal_errors(contents: Iterable[Image], results: Iterable[Image], apart: int = 1) -> Iterator[float]:
    """The warp error of every result with the one `apart` frames before, along the content's flow.

    With the contents for results it is the floor: what flow, light and noise leave in the clip itself. Memory: `apart`
    frames. Raises ValueError if one runs out before the other.
    """
    return (errors[0] for errors in temporal_errors_of(contents, [results], apart))


def temporal_errors_of(
    contents: Iterable[Image], several: Sequence[Iterable[Image]], apart: int = 1
) -> Iterator[tuple[float, ...]]:
    """`temporal_errors` of several results of one clip, whose flow is found once."""
    if apart < 1:
        raise ValueError(f"frames {apart} apart; wanted at least 1")
    earlier: deque[tuple[Image, ...]] = deque(maxlen=apart)
    for content, *results in zip(contents, *several, strict=True):
        if len(earlier) == apart:
            before, *painted = earlier[0]
            back = flow(content, before)
            trust = reliable(back, flow(before, content))
            yield tuple(warp_error(*pair, back, trust) for pair in zip(painted, results, strict=True))
        earlier.append((content, *results))


def temporal_error(contents: Iterable[Image], results: Iterable[Image], apart: int = 1) -> float:
    """The mean of `temporal_errors`; `apart` 1 is short-term, 10 and more long-term. Needs more than `apart` frames."""
    errors = list(temporal_errors(contents, results, apart))
    if not errors:
        raise ValueError(f"too few frames for pairs {apart} apart; wanted at least {apart + 1}")
    return float(torch.tensor(errors).mean())
