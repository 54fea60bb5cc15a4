"""Memory that is freed stays with this program, for its next tensors.

A training step on a processor makes and frees the same tensors of hundreds of megabytes again and again, and so
does a photo of many megapixels. The C library gives each back at once, and the system clears every page anew
before its use. Only a program may decide that for its process, so the command line does, and no library call.
"""

from __future__ import annotations

import ctypes
import os
import sys

# Parameters of glibc's mallopt, from malloc.h, and what the manual page calls them in the environment.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_MMAP_MAX_": "0"}
NEVER = -1


def keep_freed_memory() -> None:
    """From now on this process keeps what it frees, and so do the processes that it starts.

    Where there is no glibc, or the user has said otherwise in the environment, nothing is changed.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in ENVIRONMENT):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, NEVER)
        os.environ.update(ENVIRONMENT)
