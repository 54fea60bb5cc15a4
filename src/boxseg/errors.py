"""Everything boxseg raises on purpose.

A message says what was given, what was expected and how to mend it, in one line:
the command line prints it as it stands and exits with status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BoxsegError(Exception):
    """Base of every error that a caller can act on."""


class ConfigError(BoxsegError):
    """An option is unknown, missing or out of range."""


class DataError(BoxsegError):
    """A data set, an annotation file, an image or a mask cannot be used."""


class CheckpointError(BoxsegError):
    """A checkpoint or weight file is missing, damaged or of another kind."""


class DownloadError(BoxsegError):
    """A file cannot be fetched, or an archive is not what it should be."""


class ArchiveError(DownloadError):
    """An archive is damaged or another one than expected: no further attempt with this file will help."""


class ExportError(BoxsegError):
    """An exported network does not compute what the original does."""


class MissingExtraError(BoxsegError):
    """A feature needs an optional dependency that is not installed."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the closest known word, or an empty string.

    >>> did_you_mean("iteration", ["iterations", "crop"])
    ", did you mean 'iterations'?"
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""
