"""Feed-forward models, one file each, and what they have in common.

>>> from gatys_lab.models import adain                               # doctest: +SKIP
>>> model = adain.build()                                            # doctest: +SKIP
>>> picture = model(photo, model.style_of(painting), alpha=0.8)      # doctest: +SKIP
"""

from gatys_lab.models._base import FeedForward, Style
from gatys_lab.models._files import load_model, load_style, save_style

__all__ = ["FeedForward", "Style", "load_model", "load_style", "save_style"]
