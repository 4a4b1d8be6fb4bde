"""Another basis for pictures: their frequencies, the low ones made larger.

x = D z, D = f^-p in frequencies f. A step of one length in z moves large shapes further than fine ones: D D' takes the
place of the identity where a quasi-Newton method knows nothing. Olah et al. 2017, "Feature visualization", parametrise
pictures so, with p = 1. Differs: pixels stay pixels; only steps and gradients are seen in the other basis.
"""

import torch
from torch import Tensor


def scaled(x: Tensor, power: float) -> Tensor:
    """D x (..., H, W), the rows and columns taken for periodic. D is its own transpose."""
    if power == 0:
        return x
    height, width = x.shape[-2:]
    rows, columns = torch.fft.fftfreq(height, device=x.device), torch.fft.rfftfreq(width, device=x.device)
    f = torch.hypot(rows[:, None], columns).clamp_min(1 / max(height, width))  # (H, W // 2 + 1) cycles a pixel
    return torch.fft.irfft2(torch.fft.rfft2(x) * f**-power, s=(height, width))
