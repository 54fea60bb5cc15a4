"""What the system refused, in one line: a full disk, a path that cannot be, no memory."""

from __future__ import annotations

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)

# Some messages hold whole tracebacks of other processes.
_LONGEST = 300

# What torch calls itself when it has no memory on a CPU; for accelerators it has a class of errors.
_CPU_ALLOCATOR = "DefaultCPUAllocator"


def is_failure(error: Exception) -> bool:
    """Whether the system refused something. Of torch's errors that is want of memory, known without torch."""
    short_of_memory = type(error).__name__ == "OutOfMemoryError" or _CPU_ALLOCATOR in str(error)
    return isinstance(error, OSError | MemoryError) or (isinstance(error, RuntimeError) and short_of_memory)


def say_failure(error: Exception) -> str:
    """The path and the reason, and what to do."""
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:_LONGEST]
    if not isinstance(error, OSError):
        reason = reason.rpartition(f"{_CPU_ALLOCATOR}: ")[2]
        what = f"out of memory ({reason})" if reason else "out of memory"
        return f"{what}: try smaller batches and crops, fewer trainer.workers, or evaluate.tile=1024"
    path = error.filename2 or error.filename  # of a copy, where it goes
    where = f"{path}: " if path else ""
    if error.errno in FULL:
        return f"{where}no space left on this disk; make room and give the same command again"
    return f"{where}{reason or type(error).__name__} (--debug shows where in the code this arose)"
