"""Errors that are told from others: a name that nothing here answers to, and want of memory."""

import re

WANTING = re.compile(
    "out of memory|not enough memory|allocate memory|bad_alloc|could not create a primitive$",  # oneDNN, for its code
    re.IGNORECASE,
)
WANTED = re.compile(r"allocate ([\d.]+) ?(bytes|[KMGT]i?B)", re.IGNORECASE)


class UnknownName(ValueError):
    """An unknown loss, network, layer, optimizer, option or device. The CLI exits with 2 (others: 1)."""


def memory_wanted(error: BaseException) -> str | None:
    """What an allocation that failed asked for, in words; None if the error is another. On a CPU it has no type.

    >>> memory_wanted(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 3221225472 bytes."))
    'out of memory: 3.0 GiB more were wanted'
    """
    text = str(error)
    if not isinstance(error, MemoryError) and not (isinstance(error, RuntimeError) and WANTING.search(text)):
        return None
    found = WANTED.search(text)
    if found is None:
        return "out of memory"
    number, unit = float(found[1]), found[2]
    return f"out of memory: {_size(number) if unit == 'bytes' else f'{number:g} {unit}'} more were wanted"


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
