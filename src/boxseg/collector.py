"""Python's garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector in a block that makes many objects and drops few, such as an import.

    It would scan all of them repeatedly: a sixth of the time to import torch and Lightning, a third of the time
    to read a large JSON file.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
