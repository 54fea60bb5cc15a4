"""Whether memory that is freed goes back to the system, or stays for what comes next.

A training step on a processor makes and frees the same tensors of hundreds of megabytes again and again, and so
does a photo of many megapixels. The C library gives each back at once, and the system clears every page anew
before its use: half the time of a step with large crops. Where there is no glibc, nothing is changed.

Elsewhere the C library adapts by itself: once it has seen blocks of up to 32 MB freed, it keeps such blocks,
and gives back what exceeds twice as much at the end of its heap. It stops adapting when it is told anything,
and so is told these limits afterwards.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt, from malloc.h of glibc; the default of the last and what the others adapt to at most,
# from its manual page.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
NEVER, MOST_KEPT, DEFAULT_MMAP_MAX = -1, 32 * 2**20, 65536


def keep_freed_memory() -> None:
    """From now on what this process frees is kept for its next tensors."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, NEVER)


def return_freed_memory() -> None:
    """Give back what was kept, and from now on what is freed."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(MMAP_MAX, DEFAULT_MMAP_MAX)
        libc.mallopt(MMAP_THRESHOLD, MOST_KEPT)
        libc.mallopt(TRIM_THRESHOLD, 2 * MOST_KEPT)
    trim()


def trim() -> None:
    """Give back what was kept until now."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep what is freed, until the block ends."""
    keep_freed_memory()
    try:
        yield
    finally:
        return_freed_memory()


def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
