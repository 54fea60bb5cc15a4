"""Everything boxseg raises on purpose.

A message says in one line what was given, what was expected and what to do: the command line prints it
unchanged and exits with status 2.
"""

from __future__ import annotations

import difflib
import errno
import reprlib
from collections.abc import Iterable, Iterator

# Errors of a write, for which the system does not name the file.
WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class BoxsegError(Exception):
    """Base of every error that a caller can act on."""


class ConfigError(BoxsegError):
    """An option is unknown, missing or out of range."""


class DataError(BoxsegError):
    """A data set, an annotation file, an image or a mask cannot be used."""


class PhotoError(DataError):
    """A photo can be read, but nothing can be computed from it; it is left out."""


class CheckpointError(BoxsegError):
    """A checkpoint or weight file is missing, damaged or of another kind."""


class NotFiniteError(BoxsegError):
    """A network computed something that is no number, or infinite."""


class DownloadError(BoxsegError):
    """A file cannot be fetched, or an archive is not what it should be."""


class ArchiveError(DownloadError):
    """An archive is damaged or not the one expected: another attempt with this file will not help."""


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


def refusal_of(error: BaseException) -> OSError | None:
    """The refused write from which an error arose: of a full disk, torch only says that an archive is wrong."""
    refused = (part for part in chain_of(error) if isinstance(part, OSError) and part.errno in WRITING)
    return next(refused, None)


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """An error, what it arose from, and so on."""
    part: BaseException | None = error
    while part is not None:
        yield part
        part = part.__cause__ or part.__context__


def one_line(error: object, most: int | None = None) -> str:
    """The message of an error of another library on one line, cut after `most` characters."""
    return " ".join(str(error).split())[:most]


def shown(value: object) -> str:
    """A value from a file as it is written in Python, cut short: it may be of any length and depth.

    >>> shown(list(range(1000)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    return one_line(reprlib.repr(value))


def is_damage(error: Exception) -> bool:
    """Whether an error of a parser or decoder says something of its file: all do, but for a lack of memory."""
    return not isinstance(error, MemoryError | BoxsegError) and getattr(error, "errno", None) != errno.ENOMEM


def require(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def require_path(key: str, text: str) -> None:
    """Check that a path is not empty: that would be the current folder."""
    if not text:
        raise ConfigError(
            f"{key}= is empty: give a path, or {key}=. for the current folder (is a shell variable not set?)"
        )


def require_cluster(address: str | None) -> None:
    """Check that the address of a scheduler is not empty: all would be done on this machine."""
    require(
        address is None or bool(address.strip()),
        "cluster= is empty: give the address of a Dask scheduler, such as tcp://host:8786, or leave it out",
    )


def require_schedule(
    section: str, batch: int, epochs: float, iterations: int | None, min_iterations: int = 1
) -> None:
    """Check the options that trainings share."""
    require(batch >= 1, f"{section}.batch must be at least 1, got {batch}")
    require(epochs > 0, f"{section}.epochs must be positive, got {epochs}")
    for name, number in (("iterations", iterations), ("min_iterations", min_iterations)):
        require(number is None or number >= 1, f"{section}.{name} must be at least 1, got {number}")


def require_repeats(section: str, threshold: float) -> None:
    """Check the threshold of repeat-factor sampling."""
    known = 0 <= threshold <= 1
    require(known, f"{section}.repeat_threshold is a share of the photos, 0 to 1, got {threshold}")


# Some messages contain whole tracebacks of other processes.
_LONGEST = 300

# Part of torch's message when the CPU's memory runs out; accelerators raise OutOfMemoryError.
_CPU_ALLOCATOR = "DefaultCPUAllocator"


# How torch's message begins when a loading process is gone, and what finds it if a batch was being handed over.
_LOADER = "DataLoader worker"
_HANDING_OVER = "torch/multiprocessing/reductions.py"


def is_failure(error: Exception) -> bool:
    """Whether the system refused a file or memory; recognises torch's errors without importing torch."""
    short_of_memory = type(error).__name__ == "OutOfMemoryError" or _is_any_of(error, _CPU_ALLOCATOR, _LOADER)
    if isinstance(error, OSError | MemoryError) or (isinstance(error, RuntimeError) and short_of_memory):
        return True
    return _is_of_a_lost_loader(error)


def _is_of_a_lost_loader(error: Exception) -> bool:
    """Whether a loading process was gone, as the system told or as its end of a pipe did."""
    if _is_any_of(error, _LOADER):
        return True
    at = error.__traceback__ if isinstance(error, EOFError | ConnectionError) else None
    while at is not None:
        if at.tb_frame.f_code.co_filename.endswith(_HANDING_OVER):
            return True
        at = at.tb_next
    return False


def _is_any_of(error: Exception, *texts: str) -> bool:
    return any(text in str(error) for text in texts)


def say_failure(error: Exception) -> str:
    """The path, the reason, and what to do."""
    reason = one_line(getattr(error, "strerror", None) or error, _LONGEST)
    if _is_of_a_lost_loader(error):
        return (
            "a process that loads photos was killed (memory may have run out): try fewer trainer.workers "
            "(0 loads without processes), and give the same command again"
        )
    if not isinstance(error, OSError):
        reason = reason.rpartition(f"{_CPU_ALLOCATOR}: ")[2]
        what = f"out of memory ({reason})" if reason else "out of memory"
        return f"{what}: try smaller batches and crops, fewer trainer.workers, or evaluate.tile=1024"
    path = error.filename2 or error.filename  # filename2: the target of a copy
    where = f"{path}: " if path else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}no space left on this disk; make room and give the same command again"
    return f"{where}{reason or type(error).__name__} (--debug shows where in the code this arose)"
