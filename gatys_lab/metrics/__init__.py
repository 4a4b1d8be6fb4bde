"""How a picture differs from another: what is kept of the content, and how near the colours come to the style's.

| function | compares | equal | blind to |
|---|---|---|---|
| `ssim` | luma in windows of 11 px | 1 | colour; structure coarser than its window |
| `psnr` | pixel by pixel | inf | everything that a person sees: a shift by 1 px counts like noise |
| `edges` | where the luma changes, and how steeply | 1 | colour, contrast, the sign of an edge |
| `colour_histogram` | shares of 8 x 8 x 8 colours | 0 | where a colour is; how far apart two colours are |
| `sliced_wasserstein` | how far colours must move | 0 | where a colour is; slightly, what no projection shows |
| `feature_distance` | features, cell by cell | 0 | what the network does not see, and scale and mean of its channels |
| `perceptual` | directions of features, cell by cell | 0 | how strong a feature is |
| `temporal_error` | frames along the content's flow | 0 | what flickers slowly, what is occluded, blandness |

Images are (N, 3, H, W) in [0, 1], features mappings of layers to (N, C, h, w); all return (N,).

>>> import torch
>>> photo = torch.rand(1, 3, 32, 40)
>>> float(ssim(photo, photo)), float(sliced_wasserstein(photo, photo))
(1.0, 0.0)
"""

from gatys_lab.metrics._colours import colour_histogram, sliced_wasserstein
from gatys_lab.metrics._features import feature_distance, perceptual
from gatys_lab.metrics._structure import edges, psnr, ssim
from gatys_lab.metrics._temporal import temporal_error, temporal_errors, temporal_errors_of, warp_error

__all__ = [
    "colour_histogram",
    "edges",
    "feature_distance",
    "perceptual",
    "psnr",
    "sliced_wasserstein",
    "ssim",
    "temporal_error",
    "temporal_errors",
    "temporal_errors_of",
    "warp_error",
]
