"""IDs of photos as keys of webdataset, which end at the first dot after the last slash."""

from __future__ import annotations

import hashlib
import re

_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
# With the longest suffix, a key fits the 100 bytes that a tar has for a name.
_LONGEST = 80


def key_of(name: str) -> str:
    """The key of a photo: its ID, in which all but letters, digits, `-`, `_` and `/` is written as %XX.

    No two IDs have one key. Long ones are cut, and end in a digest; no key leads out of a folder, or looks like
    a member that webdataset leaves out (`__NAME__`).

    >>> key_of("2007_000032"), key_of("train/a.b c"), key_of("../__a__")
    ('2007_000032', 'train/a%2Eb%20c', '%2E%2E/%5F_a__')
    """
    content = name.encode("utf-8", "surrogatepass")
    key = "/".join(_part(part) for part in content.split(b"/"))
    return key if len(key) <= _LONGEST else f"{key[: _LONGEST - 33]}~{digest_of(name).hex()}"


def _part(part: bytes) -> str:
    if not part:
        return "%"  # which is %25 elsewhere
    safe = _UNSAFE.sub(lambda found: b"%%%02X" % ord(found[0]), part).decode("ascii")
    return f"%5F{safe[1:]}" if safe.startswith("__") else safe


def digest_of(name: str) -> bytes:
    """What an ID is looked up by: 16 bytes."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
