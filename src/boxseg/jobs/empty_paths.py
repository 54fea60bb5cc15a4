"""Paths that are given and empty, as `out=$OUT` is where the shell has no such variable.

A job cannot tell: an empty path is to Python the current folder, and `predict` would label all below it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from boxseg.require import require_path


def refuse_empty_paths(job: type[Any], options: Mapping[str, Any]) -> None:
    """Check the options that name a file or folder.

    Args:
        job: Their job.
        options: By dotted key, as they were given.

    Raises:
        ConfigError: One is empty.
    """
    for key, value in options.items():
        if isinstance(value, str) and _is_path(job, key):
            require_path(key, value)


def _is_path(job: type[Any], key: str) -> bool:
    kinds: tuple[Any, ...] = (job,)
    for name in key.split("."):
        section = next(kind for kind in kinds if dataclasses.is_dataclass(kind))
        hint = get_type_hints(section)[name]
        kinds = get_args(hint) or (hint,)
    return Path in kinds
