"""Large JSON files with long lists in an object, read a piece at a time.

    for part in object_parts(path, {"images", "annotations"}):
        ...

`json.loads` holds the file, its text and all values at once: of a file of a gigabyte, ten gigabytes. Here
memory holds a megabyte of text and the values in it. What is damaged is refused as by `documents.read_json`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from json.scanner import make_scanner
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from boxseg.documents import (
    MOST_DIGITS,
    below,
    has_long_number,
    not_json,
    refusing,
    require_regular,
    whole_number,
)
from boxseg.errors import is_damage

# Bytes that are read at once; an item that is larger is read to its end.
_PIECE = 1 << 20
# Of characters: so near to the end of the text, an error may be that the rest is missing.
_NEAR = 16
_BLANKS, _COMMA = re.compile(r"[ \t\n\r]*"), re.compile(r"[ \t\n\r]*,[ \t\n\r]*")
_UNENDED = "Unterminated string"

Progress = Callable[[int, int], None]
_Scan = Callable[[str, int], tuple[Any, int]]
_scanner: Callable[[json.JSONDecoder], _Scan] = make_scanner  # type: ignore[assignment]


class Part(NamedTuple):
    """A piece of the object: items of a list, of which several parts may follow one another, or any value.

    Attributes:
        key: Its key in the object; None if the file holds something else than an object.
        value: The items, in a list; or the value.
        is_items: Whether `value` is a piece of a list that was asked for.
        begins: Whether it is the first piece: what came before under the same key does not count.
    """

    key: str | None
    value: Any
    is_items: bool = False
    begins: bool = True


def object_parts(path: Path, lists: Collection[str], progress: Progress | None = None) -> Iterator[Part]:
    """The content of a file with a JSON object, in its order; lists under some keys come in pieces.

    Args:
        path: The file.
        lists: Keys of the lists that come in pieces.
        progress: Told of the bytes read, and of all bytes of the file.

    Raises:
        DataError: The file cannot be read, or is not valid JSON.
    """
    with refusing(path, "cannot be read"):
        require_regular(path)
        file = path.open("rb")
    with closing(file):
        reader = _Reader(path, file, progress)
        yield from reader.parts(lists)


def object_entries(path: Path, lists: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Keys and values of the object in a file; lists under some keys are iterators.

    An iterator is gone through before the next key is asked for.

    Raises:
        DataError: The file cannot be read, or is not valid JSON.
    """
    parts = object_parts(path, lists)
    part = next(parts, None)

    def items(first: Part) -> Iterator[Any]:
        nonlocal part
        yield from first.value
        for part in parts:
            if not part.is_items or part.begins:
                return
            yield from part.value
        part = None

    while part is not None:
        key = str(part.key)
        if part.is_items:
            yield key, items(part)
        else:
            yield key, part.value
            part = next(parts, None)


class _Wrong(Exception):
    """What is wrong, and at which character of the file."""

    def __init__(self, what: str, place: int) -> None:
        super().__init__(what)
        self.what, self.place = what, place


class _Reader:
    """Text of a file, of which only a piece is held, and where it is read."""

    def __init__(self, path: Path, file: BinaryIO, progress: Progress | None) -> None:
        self._path, self._file, self._progress = path, file, progress
        self._text, self._at, self._ended = "", 0, False
        self._characters = self._lines = 0  # before the text
        self._line_start = 0  # character at which the line of the text's start begins
        self._bytes, self._pending, self._tail = 0, 0, b""
        self._size = path.stat().st_size
        self._decoder: codecs.IncrementalDecoder | None = None
        self._scan: _Scan = _scanner(json.JSONDecoder())

    def parts(self, lists: Collection[str]) -> Iterator[Part]:
        """The content; a DataError if it is damaged."""
        try:
            if self._next() != "{":
                yield Part(None, below(self._value))
            else:
                yield from self._members(lists)
            if self._next():
                raise self._wrong("Extra data", self._at)
        except Exception as damage:
            if not is_damage(damage):
                raise
            raise not_json(self._path, self._said(damage)) from damage

    def _members(self, lists: Collection[str]) -> Iterator[Part]:
        self._at += 1
        following = self._next()
        while following != "}":
            if following != '"':
                raise self._wrong("Expecting property name enclosed in double quotes", self._at)
            key = self._value()
            if self._next() != ":":
                raise self._wrong("Expecting ':' delimiter", self._at)
            self._at += 1
            if self._next() == "[" and key in lists:
                yield from self._list(key)
            else:
                yield Part(key, below(self._value))
            following = self._next()
            if following not in ("}", ","):
                raise self._wrong("Expecting ',' delimiter", self._at)
            if following == ",":
                self._at += 1
                following = self._next()
                if following == "}":
                    raise self._wrong("Expecting property name enclosed in double quotes", self._at)
        self._at += 1

    def _list(self, key: str) -> Iterator[Part]:
        self._at += 1
        begins, ended = True, False
        if self._next() == "]":
            self._at += 1
            ended = True
            yield Part(key, [], is_items=True)
        while not ended:
            items: list[Any] = []
            ended = below(lambda into=items: self._items(into))  # type: ignore[misc]
            yield Part(key, items, is_items=True, begins=begins)
            begins = False

    def _items(self, items: list[Any]) -> bool:
        """Read the items that the text holds, at least one; returns whether the list ends with them."""
        items.append(self._value())
        separator = self._next()
        self._at += 1
        if separator != ",":
            if separator == "]":
                return True
            raise self._wrong("Expecting ',' delimiter", self._at - 1)
        # Nearly all items stand whole in the text: no more calls than needed for these.
        self._next()
        scan, text, at, comma = self._scan, self._text, self._at, _COMMA.match
        while True:
            try:
                item, end = scan(text, at)
            except (StopIteration, json.JSONDecodeError):
                break
            if (match := comma(text, end)) is None:
                break
            items.append(item)
            at = match.end()
        self._at = at
        return False

    def _value(self) -> Any:
        """The value that comes next."""
        self._next()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except StopIteration as stop:
                wrong = self._wrong("Expecting value", stop.value)
            except json.JSONDecodeError as error:
                wrong = self._wrong(error.msg, error.pos)
            else:
                # A number may go on behind the end of the text, as 0. does.
                if end < len(self._text) - _NEAR or self._ended:
                    self._at = end
                    return value
                self._more()
                continue
            near = wrong.place >= self._characters + len(self._text) - _NEAR or wrong.what.startswith(_UNENDED)
            if not near or not self._more():
                raise wrong

    def _next(self) -> str:
        """The next character that is no blank, without taking it; empty at the end of the file."""
        while True:
            match = _BLANKS.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read more text behind that which is not read yet; returns whether there was any."""
        if self._ended:
            return False
        # The first four bytes tell the encoding.
        content = self._file.read(max(4, _PIECE, len(self._text) - self._at))
        if self._decoder is None:
            kind = codecs.getincrementaldecoder(json.detect_encoding(content))
            self._decoder = kind("surrogatepass")
        self._ended = not content
        if has_long_number(tail := self._tail + content):
            self._scan = _scanner(json.JSONDecoder(parse_int=whole_number))
        self._tail = tail[-MOST_DIGITS:]
        self._pending = len(self._decoder.getstate()[0])
        text = self._decoder.decode(content, final=self._ended)
        self._bytes += len(content)
        if self._progress is not None:
            self._progress(self._bytes, self._size)
        passed = self._text[: self._at]
        if (lines := passed.count("\n")) > 0:
            self._lines += lines
            self._line_start = self._characters + passed.rindex("\n") + 1
        self._characters += self._at
        self._text, self._at = self._text[self._at :] + text, 0
        return not self._ended or bool(text)

    def _wrong(self, what: str, place: int) -> _Wrong:
        """What is wrong at a character of the text."""
        return _Wrong(what, self._characters + place)

    def _said(self, damage: Exception) -> object:
        """What is wrong, as `json.loads` says it of the whole file."""
        if isinstance(damage, UnicodeDecodeError):
            first = self._bytes - self._pending + damage.start
            many = damage.end - damage.start > 1
            which = (
                f"bytes in position {first}-{first + damage.end - damage.start - 1}"
                if many
                else (f"byte 0x{damage.object[damage.start]:02x} in position {first}")
            )
            return f"'{damage.encoding}' codec can't decode {which}: {damage.reason}"
        if not isinstance(damage, _Wrong):
            return damage
        place = damage.place - self._characters
        line = self._lines + self._text.count("\n", 0, place) + 1
        last = self._text.rfind("\n", 0, place)
        start = self._characters + last + 1 if last >= 0 else self._line_start
        return f"{damage.what}: line {line} column {damage.place - start + 1} (char {damage.place})"
