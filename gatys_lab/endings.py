"""How a size of a run ended: what a person is told of it, and what is left where memory did not suffice."""

import logging
from dataclasses import replace

from gatys_lab.errors import memory_wanted
from gatys_lab.types import Solution

log = logging.getLogger(__name__)
REMEDY = "choose a smaller --size, --optimizer adam, or --tile 512"
UNPLANNED = ("stalled", "diverged")


def told(solution: Solution, size_px: int) -> list[str]:
    """What went wrong at a size, a line each; also said: what was mended as information, an end as a warning."""
    notes = [f"{size_px} px: {note}" for note in solution.notes]
    for note in notes:
        log.info("%s", note)
    if solution.reason in UNPLANNED:
        notes.append(f"{size_px} px: {solution.reason} after {solution.evaluations} evaluations")
        log.warning("%s; the best picture so far is kept", notes[-1])
    if solution.reason == "memory":
        log.warning("stopped at %d px with the best picture so far: %s", size_px, REMEDY)
    return notes


def without_memory(error: BaseException, size_px: int, solution: Solution | None) -> Solution:
    """The last size's solution, as the end of a run that cannot do the next size.

    Raises MemoryError if there is none, and the error itself if it is another.
    """
    need = memory_wanted(error)
    if need is None:
        raise error
    if solution is None:
        raise MemoryError(f"{need} at {size_px} px; {REMEDY}") from None
    return replace(solution, reason="memory", notes=(need,))
