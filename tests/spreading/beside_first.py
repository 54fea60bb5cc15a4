"""Python that starts with this as `sitecustomize` takes the boxseg beside it, whatever is installed."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any


class _BesideFirst:
    """Comes before the finders of editable installations, which come before the paths."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(Path(__file__).parent)]) if name == "boxseg" else None


sys.meta_path.insert(0, _BesideFirst)
