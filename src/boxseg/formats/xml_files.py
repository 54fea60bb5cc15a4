"""XML files in any encoding, and what their first bytes say."""

from __future__ import annotations

import codecs
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from boxseg.errors import is_damage

_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
_ENCODING = re.compile(rb"<\?xml[^>]*encoding=[\"']([\w.:-]+)")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_WESTERN = ("cp1252", "latin-1")
_PAIR = re.compile(rb"[\x80-\xff]{2}")


class Xml(NamedTuple):
    """The root of an XML file, and the encoding that had to be guessed; empty if it is as stated."""

    root: ET.Element
    guessed: str


def parse_xml(content: bytes) -> Xml:
    """Parse the content of an XML file.

    Raises:
        ValueError: It is not XML.
    """
    try:
        return Xml(ET.fromstring(content), "")
    except Exception as error:  # what encodings raise, too
        if not is_damage(error):
            raise
        # The parser knows few encodings, and wants the declaration to be right and at the very start.
        stated = _stated(content)
        # Tools on Windows say nothing. Chinese has a pair of high bytes somewhere, Western hardly ever.
        guesses = (*(["gb18030"] if _PAIR.search(content) else []), *_WESTERN)
        for encoding, text in _texts(content, dict.fromkeys([*stated, *guesses])):
            try:
                root = ET.fromstring(_DECLARATION.sub("", text, count=1).strip())
            except (ET.ParseError, ValueError):
                continue
            return Xml(root, "" if encoding in stated else encoding)
        raise ValueError(str(error)) from error


def root_tag(start: bytes) -> str:
    """The name of the root element of an XML file that starts like this, in lower case; empty if it is none."""
    marked = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    # Names of roots are ASCII, which most encodings share.
    text = start.decode("utf-16" if marked else "latin-1", errors="ignore")
    parser: ET.XMLPullParser[Any] = ET.XMLPullParser(["start"])
    try:
        parser.feed(_DECLARATION.sub("", text.removeprefix("ï»¿"), count=1).lstrip())
        events: Iterator[Any] = parser.read_events()
        return next((local_name(node.tag) for _, node in events), "")
    except (ET.ParseError, ValueError):
        return ""


def local_name(tag: str) -> str:
    """A tag in lower case, without its name space."""
    return tag.rpartition("}")[2].lower()


def _stated(content: bytes) -> list[str]:
    """The encodings of a file: the one marked at its start, the one it declares, and the usual one."""
    marked = [name for mark, name in _MARKS if content.startswith(mark)]
    declared = [found[1].decode().lower() for found in [_ENCODING.search(content[:200])] if found]
    # Files declared as the older Chinese sets hold characters of the newest, which includes them.
    return [*marked, *("gb18030" if name in ("gb2312", "gbk") else name for name in declared), "utf-8"]


def _texts(content: bytes, encodings: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The text of a file in the encodings that fit."""
    for encoding in encodings:
        try:
            text = content.decode(encoding).lstrip("\ufeff \t\r\n")
        except (UnicodeError, LookupError):
            continue
        if text.startswith("<"):
            yield encoding, text
