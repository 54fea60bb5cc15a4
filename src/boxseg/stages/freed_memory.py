"""Whether memory that is freed goes back to the system, or stays for what comes next.

A training step on a processor makes and frees the same tensors of hundreds of megabytes again and again. The C
library gives each back at once, and the system clears every page anew before its use: half the time of a step
with large crops. Where there is no glibc, nothing is changed.
"""

from __future__ import annotations

import ctypes
import sys

# mallopt's parameters and their defaults, from glibc's malloc.h and its manual page.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
NEVER, DEFAULT_TRIM_THRESHOLD, DEFAULT_MMAP_MAX = -1, 128 * 1024, 65536


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
        libc.mallopt(TRIM_THRESHOLD, DEFAULT_TRIM_THRESHOLD)
        libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
