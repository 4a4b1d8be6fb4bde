"""gatys_lab: neural style transfer by optimising pixels against a loss network.

>>> from gatys_lab import stylize                                # doctest: +SKIP
>>> stylize("photo.jpg", "painting.jpg").image.save("out.png")   # doctest: +SKIP
"""

from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

from gatys_lab._version import __version__

if TYPE_CHECKING:
    from gatys_lab.job import Result, stylize

__all__ = ["Result", "__version__", "stylize"]

# In a clone losses/ stands beside gatys_lab/, not in it: let `gatys_lab.losses` be found there too.
_here = _Path(__file__).parent
if not (_here / "losses").is_dir() and (_here.parent / "losses" / "__init__.py").is_file():
    __path__.append(str(_here.parent))


def __getattr__(name: str) -> Any:
    """`stylize` and `Result` are loaded when asked for, so that `import gatys_lab` imports no torch."""
    if name in ("stylize", "Result"):
        from gatys_lab import job

        return getattr(job, name)
    raise AttributeError(f"module 'gatys_lab' has no attribute {name!r}")
