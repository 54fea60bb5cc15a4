"""Keep freed memory in this process, for its next tensors.

A training step on a CPU allocates and frees the same tensors of hundreds of megabytes again and again, and so
does a photo of many megapixels. The C library returns each to the system at once, and the system clears every
page before its next use. Only a program may change that for its process, so only the command line does.
"""

from __future__ import annotations

import ctypes
import os
import sys

# Parameters of glibc's mallopt, from malloc.h, and their names in the environment, from its manual page.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_MMAP_MAX_": "0"}
NEVER = -1


def keep_freed_memory() -> None:
    """From now on this process, and those that it starts, keep the memory they free.

    Nothing changes without glibc, or if the user has set the environment variables.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in ENVIRONMENT):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, NEVER)
        os.environ.update(ENVIRONMENT)
