"""How fsspec is asked: with which options, and what it says of an object."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from boxseg.errors import DataError, MissingExtraError, one_line
from boxseg.extras import import_extra
from boxseg.remote.listing import Entry

# Requests at once.
AT_ONCE = 32


def connect(scheme: str, address: str) -> Any:
    """The file system of fsspec; it takes its credentials from the environment.

    Raises:
        MissingExtraError: fsspec, or the package for this kind of store, is not installed.
        DataError: fsspec knows no such kind of store.
    """
    fsspec = import_extra("fsspec", extra="cloud", purpose=f"{address}: reading from a store")
    # Listings are kept here, and attempts counted here: those of the library would multiply.
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme in ("s3", "s3a"):
        given = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        usual = {"retries": {"max_attempts": 0}, "max_pool_connections": 2 * AT_ONCE}
        options |= {"config_kwargs": usual | given}
    try:
        fs = fsspec.filesystem(scheme, **options)
    except ImportError as error:
        package = one_line(error, 150)
        raise MissingExtraError(f"{address}: {package}: pip install 'boxseg[cloud]'") from error
    except ValueError as error:
        raise DataError(f"{address}: no kind of store that fsspec knows ({one_line(error, 150)})") from error
    if scheme in ("s3", "s3a"):
        # One request for an object, not one for its size and several for its parts.
        fs.retries = fs.max_concurrency = 1
    return fs


def entry_of(info: Mapping[str, Any]) -> Entry | None:
    """What a store says of an object; None for a folder."""
    if info.get("type") == "directory":
        return None
    tag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    if info.get("md5Hash"):  # Google's
        tag = base64.b64decode(info["md5Hash"]).hex()
    return Entry(int(info.get("size") or 0), _nanoseconds(info), tag)


def _nanoseconds(info: Mapping[str, Any]) -> int:
    names = ("LastModified", "last_modified", "mtime", "updated", "created")
    time = next((info[name] for name in names if info.get(name)), 0)
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.replace("Z", "+00:00"))
        except ValueError:
            return 0
    seconds = time.timestamp() if isinstance(time, datetime) else float(time)
    return round(seconds * 1000) * 1_000_000


def is_md5(tag: str) -> bool:
    """Whether the tag of an object looks like the MD5 of its content."""
    return len(tag) == 32 and all(digit in "0123456789abcdef" for digit in tag)


def md5_of(file: Path) -> str:
    """MD5 of a file's content, hexadecimal: what stores compare, no protection against anybody."""
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
