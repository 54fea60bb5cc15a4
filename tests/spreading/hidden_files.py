"""Python that starts with this as `sitecustomize` does not see what lies below the folder $HIDDEN."""

from __future__ import annotations

import os
from typing import Any

_stat = os.stat


def _blind(path: Any, *args: Any, **options: Any) -> os.stat_result:
    if not isinstance(path, int) and os.fspath(path).startswith(os.environ["HIDDEN"]):
        raise FileNotFoundError(2, "No such file or directory", path)
    return _stat(path, *args, **options)


os.stat = _blind  # type: ignore[assignment]
