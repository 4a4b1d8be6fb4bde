"""Training from Python: a feed-forward model from two folders, and the objective that it approximates.

>>> from gatys_lab.training import Data, Settings, train                                  # doctest: +SKIP
>>> settings = Settings(steps=2000, batch=4, size_px=160, optimizer="muon", rate=1e-3)    # doctest: +SKIP
>>> train("adain", Path("mine.safetensors"), Data(photos, paintings), settings=settings)  # doctest: +SKIP
"""

from gatys_lab.training._fit import Settings
from gatys_lab.training._judge import objective_of
from gatys_lab.training._pictures import Crops
from gatys_lab.training.feedforward import Data, train

__all__ = ["Crops", "Data", "Settings", "objective_of", "train"]
