"""Packages that only some features need."""

from __future__ import annotations

import importlib
from types import ModuleType

from boxseg.errors import MissingExtraError, one_line


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """A package of an extra in pyproject.toml; if it does not load, `purpose` begins the MissingExtraError."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs the package {module} ({one_line(error)}): pip install 'boxseg[{extra}]'"
        ) from error
