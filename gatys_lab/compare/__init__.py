"""Compare ways to paint: the same start, seed, budget and measured balance; each result scored by every style loss.

>>> from gatys_lab.compare import compare                                           # doctest: +SKIP
>>> found = compare("photo.jpg", "painting.jpg", losses=["gram", "bn"])              # doctest: +SKIP
>>> print(found.text())                                                             # doctest: +SKIP
>>> found.write("sheet.png")  # and sheet.html, sheet.csv, sheet.json               # doctest: +SKIP
"""

from gatys_lab.compare._results import Comparison, Pair, Result, targets
from gatys_lab.compare._run import compare

__all__ = ["Comparison", "Pair", "Result", "compare", "targets"]
