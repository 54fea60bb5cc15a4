"""Work, tools and photos as bytes for other machines, which have another current folder."""

from __future__ import annotations

import io
import pickle
from pathlib import PurePath
from typing import Any

from boxseg.errors import ConfigError, one_line


class _Pickler(pickle.Pickler):
    """Pickles relative paths, wherever they are, as absolute ones."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, PurePath) and not obj.is_absolute() and hasattr(obj, "absolute"):
            return type(obj), (str(obj.absolute()),)
        return NotImplemented


def to_bytes(thing: object, what: str) -> bytes:
    """An object as a worker unpickles it; it must be able to import its classes and functions.

    Raises:
        ConfigError: It cannot be sent; `what` names it.
    """
    file = io.BytesIO()
    try:
        _Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(thing)
    except Exception as error:  # foreign code may raise anything
        raise ConfigError(
            f"{what} cannot be sent to the workers of the cluster ({one_line(error, 300)}): define it at the "
            "top level of a file that is installed there, too, or leave out cluster="
        ) from error
    return file.getvalue()
