"""Packages that only some features need."""

from __future__ import annotations

import importlib
from types import ModuleType

from boxseg.errors import MissingExtraError


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """A package of one of the extras in pyproject.toml.

    Args:
        module: Its name.
        extra: The extra that brings it.
        purpose: What needs it, the beginning of a sentence.

    Raises:
        MissingExtraError: It is not installed, or does not load.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise MissingExtraError(
            f"{purpose} needs the package {module} ({reason}): pip install 'boxseg[{extra}]'"
        ) from error
