"""Text, JSON and YAML that others wrote, and records in them: read within bounds, or refused in one line.

Files come from other programs, other computers and half-finished copies. Only regular files are opened: a pipe
would wait for ever, a device never end. Whatever a parser raises is damage, except a lack of memory.
"""

from __future__ import annotations

import itertools
import json
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import yaml

from boxseg.errors import BoxsegError, DataError, is_damage, one_line, shown

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
Raised = type[BoxsegError]

# A float holds no whole number of more digits; such a number counts as infinite, as 1e400 does.
MOST_DIGITS = 308
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
# Of YAML, which is for options and short lists: bytes, levels, and values when all aliases are followed.
_MOST_BYTES, _MOST_LEVELS, _MOST_VALUES = 1 << 24, 20, 1_000_000
# Calls that may follow on the parser's: what it could read must also be possible to show and to write again.
_SPARE_CALLS = 200
# Characters of a parser's message that are shown.
_SHOWN = 200


class Readable(Protocol):
    """Content that has a name for messages: the path of a file, or what reads like one."""

    @property
    def name(self) -> str:
        """The last part of its name."""

    def is_file(self) -> bool:
        """Whether it is there."""

    def read_bytes(self) -> bytes:
        """All of it."""


def require_regular(path: Path) -> None:
    """Check that a file can be opened without waiting for somebody to write to it.

    Raises:
        OSError: It is missing, or its name is not allowed.
        ValueError: It is a folder, pipe or device.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise ValueError(f"{kinds.get(stat.S_IFMT(mode), 'a device')}, expected a file")


def read_bytes(path: Readable, error: Raised = DataError) -> bytes:
    """The content of a file.

    Raises:
        BoxsegError: Of the type `error`: it cannot be read.
    """
    with refusing(path, "cannot be read", error):
        if isinstance(path, Path):
            require_regular(path)
        return path.read_bytes()


def read_text(path: Path, error: Raised = DataError) -> str:
    """The content of a text file in UTF-8, without a mark at its start; errors as for `read_bytes`."""
    with refusing(path, "cannot be read as UTF-8 text", error):
        require_regular(path)
        return path.read_text(encoding="utf-8-sig")


def read_lines(path: Path) -> list[str]:
    """Stripped lines of a UTF-8 text file; empty lines are kept, so that line numbers match."""
    return [line.strip() for line in read_text(path).splitlines()]


def read_json(path: Readable, error: Raised = DataError) -> Any:
    """The content of a JSON file; errors as for `read_bytes`. Numbers that no float holds are infinite."""
    content = read_bytes(path, error)
    try:
        parse_int = whole_number if has_long_number(content) else None
        return below(lambda: json.loads(content, parse_int=parse_int))
    except Exception as damage:
        if not is_damage(damage):
            raise
        raise not_json(path, damage, error) from damage


def not_json(path: Readable, reason: object, error: Raised = DataError) -> BoxsegError:
    """The error for a file that is no JSON."""
    return error(f"{path} is not valid JSON ({one_line(reason, _SHOWN)})")


def below(parse: Callable[[], T], calls: int = _SPARE_CALLS) -> T:
    """Parse with fewer calls left than there are: a value that is nested deeper is refused here."""
    return below(parse, calls - 1) if calls else parse()


def has_long_number(content: bytes) -> bool:
    """Whether JSON may hold a whole number that no float holds."""
    # Looking for a long number by one character takes a twentieth of the time of a regular expression.
    return b"0" * (MOST_DIGITS + 1) in content.translate(_DIGITS)


def whole_number(digits: str) -> int | float:
    """A whole number from its digits; an infinite one if no float holds it."""
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def read_yaml(path: Path, error: Raised = DataError) -> Any:
    """The content of a YAML file: texts, numbers, lists and mappings, a tree of limited depth and size.

    Raises:
        BoxsegError: Of the type `error`: it cannot be read, or is too large or deep when aliases are followed.
    """
    return parse_yaml(read_text(path, error), path, error)


def parse_yaml(text: str, path: Path, error: Raised = DataError, loader: Any = yaml.SafeLoader) -> Any:
    """The content of a YAML file from its text; `loader` is one that makes no objects of other types."""
    with refusing(path, "cannot be read as YAML", error):
        if len(text) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES >> 20} MB")
        content = yaml.load(text, Loader=loader)
        require_small(content)
        return content


def require_small(content: Any) -> None:
    """Check that a tree is small: an alias may stand in itself, or a short file for a billion values.

    Raises:
        ValueError: It has too many values, or is too deep.
    """
    count, level = 0, [content]
    for _ in range(_MOST_LEVELS):
        inner = (value for outer in level for value in _inside(outer))
        level = list(itertools.islice(inner, _MOST_VALUES + 1 - count))
        count += len(level)
        if count > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES} values, when all aliases are followed")
        if not level:
            return
    raise ValueError(f"more than {_MOST_LEVELS} levels deep, or an alias of what it is in")


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif isinstance(value, (list, tuple, set)):
        yield from value


def read_record(kind: type[T], file: Readable, what: str, error: Raised = DataError) -> T:
    """A value of a known shape from a JSON file; arguments and errors as for `as_record`."""
    try:
        content = read_json(file, error)
    except error as damage:
        reason = str(damage).removeprefix(f"{file}").lstrip(": ")
        raise error(f"{file} does not hold {what} ({reason})") from damage
    return as_record(kind, content, file, what, error)


def as_record(kind: type[T], content: Any, file: Readable, what: str, error: Raised = DataError) -> T:
    """A value of a known shape, from what a file holds.

    Args:
        kind: A type, a dataclass or TypedDict; of these, fields that `kind` does not have are left out.
        content: From `read_json` or `read_yaml`.
        file: Named in errors.
        what: What the file should hold, and what to do about it: `counts of masks: run label again`.
        error: Type of the error.

    Raises:
        BoxsegError: Of the type `error`: the content is something else.
    """
    from pydantic import ValidationError

    try:
        return cast(T, _adapter(cast(Any, kind)).validate_python(content))
    except (ValidationError, RecursionError) as damage:
        raise error(f"{file} does not hold {what} ({_fault(damage)})") from damage


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # slow to import

    return TypeAdapter(kind)


def _fault(damage: Exception) -> str:
    """Where the first fault of a record is, and what is there."""
    faults: Callable[[], list[Any]] | None = getattr(damage, "errors", None)
    if faults is None:
        return "it is nested too deep"
    first = faults()[0]
    place = ".".join(map(str, first["loc"]))
    return one_line(f"{place or 'content'}: {first['msg']}, got {shown(first['input'])}", _SHOWN)


@contextmanager
def refusing(path: Readable, what: str, error: Raised = DataError) -> Iterator[None]:
    """Turn whatever a parser raises in the block into one line: `path: what (reason)`."""
    try:
        yield
    except Exception as damage:
        if not is_damage(damage):
            raise
        reason = getattr(damage, "strerror", None) or one_line(damage, _SHOWN) or type(damage).__name__
        raise error(f"{path}: {what} ({reason})") from damage
