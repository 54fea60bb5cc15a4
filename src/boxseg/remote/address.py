"""Addresses of objects as paths: what readers do with a folder of this machine, they do with one elsewhere."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from boxseg.errors import ConfigError

if TYPE_CHECKING:
    from boxseg.remote.listing import Entry
    from boxseg.remote.store import Store

_Local: type[Path] = type(Path())  # the class of paths on this system
# pathlib makes one slash of two.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(//?)(?=[^/])", re.IGNORECASE)
_NAME_AND_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]+://?[^/?#]*:[^/?#]*@", re.IGNORECASE)
_KEYS = re.compile(
    r"[?&#](x-(amz|goog|ms)-[\w-]+|awsaccesskeyid|googleaccessid|signature|sig|sv|se|sp|st|skoid|key|secret"
    r"|(access_?)?token|password)=|(?<![A-Z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])",
    re.IGNORECASE,
)


def is_address(text: object) -> bool:
    """Whether a text or path is the address of a store, such as s3://bucket/photos."""
    if isinstance(text, RemotePath):
        return True
    found = _SCHEME.match(text) if isinstance(text, str) else _SCHEME.match(str(text))
    # One slash is what pathlib leaves; as a text, `a:/b` is a name like any other.
    return found is not None and (isinstance(text, Path) or found[2] == "//") and found[1].lower() != "file"


def as_path(text: Path | str) -> Path:
    """A path as it is, an address as a `RemotePath`.

    Raises:
        ConfigError: The address holds a password or a signature.
    """
    if isinstance(text, RemotePath):
        return text
    if not is_address(text):
        return Path(text)
    refuse_secrets(str(text))
    return RemotePath(str(text).rstrip("/"))


def refuse_secrets(text: str) -> None:
    """Refuse an address with a secret in it, which would stand in files and messages, without repeating it.

    Raises:
        ConfigError: There is one.
    """
    if _NAME_AND_PASSWORD.match(text) or (_SCHEME.match(text) and _KEYS.search(text)):
        scheme = text.partition(":")[0]
        raise ConfigError(
            f"{scheme}://…: the address holds a password, key or signature, which would stand in files and "
            f"messages: give {scheme}://BUCKET/FOLDER alone, and the credentials by the environment (for s3 "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
        )


def commonpath(paths: list[Path]) -> Path:
    """The folder around all of these, as of `os.path.commonpath`."""
    common = Path(os.path.commonpath([str(path) for path in paths]))
    return as_path(common) if any(isinstance(path, RemotePath) for path in paths) else common


def normpath(path: Path) -> Path:
    """A path without `..`, as of `os.path.normpath`."""
    plain = Path(os.path.normpath(path))
    return as_path(plain) if isinstance(path, RemotePath) else plain


class RemotePath(_Local):  # type: ignore[misc, valid-type]
    """The address of an object, or of the folder of those whose keys begin with it. It can be read only."""

    __slots__ = ()

    def __str__(self) -> str:
        parts = self.parts
        return f"{parts[0]}//{'/'.join(parts[1:])}" if parts and parts[0].endswith(":") else "/".join(parts)

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __fspath__(self) -> str:
        return str(self)

    def __reduce__(self) -> Any:
        """Other processes are told what is known of the object, so that they need not ask again."""
        return _remembered, (str(self), self._store().known(self))

    def _store(self) -> Store:
        from boxseg.remote.store import store_of

        return store_of(self)

    def as_posix(self) -> str:
        """The address."""
        return str(self)

    def __truediv__(self, key: Any) -> Any:
        other = Path(key) if not isinstance(key, Path) else key
        if isinstance(other, RemotePath) or other.is_absolute():
            return other
        return RemotePath(*self.parts, *other.parts)

    def __rtruediv__(self, key: Any) -> Any:
        return self

    def joinpath(self, *others: Any) -> Any:
        """The path with others behind it."""
        joined: Any = self
        for other in others:
            joined = joined / other
        return joined

    def relative_to(self, *other: Any, **options: Any) -> Any:
        """The rest of the path behind another, as a plain path."""
        plain = [_Local(*part.parts) if isinstance(part, RemotePath) else part for part in other]
        return _Local(*self.parts).relative_to(*plain, **options)

    def is_relative_to(self, *other: Any) -> bool:
        """Whether it is below another."""
        try:
            self.relative_to(*other)
        except ValueError:
            return False
        return True

    def is_absolute(self) -> bool:
        """It means the same everywhere."""
        return True

    def absolute(self) -> Any:
        """Itself."""
        return self

    def resolve(self, strict: bool = False) -> Any:
        """Itself."""
        return self

    def expanduser(self) -> Any:
        """Itself."""
        return self

    def samefile(self, other: Any) -> bool:
        """Whether another path is this address."""
        return isinstance(other, RemotePath) and other.parts == self.parts

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size and time of the last change.

        Raises:
            FileNotFoundError: There is no such object or folder.
        """
        store = self._store()
        entry = store.state(self)
        if entry is None and not store.is_folder(self):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        mode = stat.S_IFDIR | 0o555 if entry is None else stat.S_IFREG | 0o444
        size, time_ns = (0, 0) if entry is None else (entry.size, entry.time)
        seconds = time_ns / 1e9
        exact = {
            **dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), seconds),
            **dict.fromkeys(("st_atime_ns", "st_mtime_ns", "st_ctime_ns"), time_ns),
        }
        whole = int(seconds)
        return os.stat_result((mode, 0, 0, 1, 0, 0, size, whole, whole, whole), exact)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there is such an object or folder."""
        return self.is_file() or self.is_dir()

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there is such an object."""
        return self._store().state(self) is not None

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there are objects below it."""
        return self._store().is_folder(self)

    def iterdir(self) -> Iterator[Any]:
        """What is directly in the folder, in the order of names."""
        return (self / name for name in self._store().names_in(self))

    def glob(self, pattern: str, **options: Any) -> Iterator[Any]:
        """Objects and folders below it that a pattern matches, as `Path.glob` does."""
        only_folders = pattern.endswith("/")
        parts = [part for part in pattern.split("/") if part]
        found = dict.fromkeys(self._globbed(parts))
        return (path for path in found if not only_folders or path.is_dir())

    def rglob(self, pattern: str, **options: Any) -> Iterator[Any]:
        """The same in the folder and all below."""
        return self.glob(f"**/{pattern}")

    def _globbed(self, parts: list[str]) -> Iterator[Any]:
        if not parts:
            yield self
            return
        first, *rest = parts
        if first == "**":
            folders = self._store().folders_below(self)
            for folder in folders:
                yield from folder._globbed(rest)
            return
        if not set("*?[") & set(first):
            inner = self / first
            if inner._is_there():
                yield from inner._globbed(rest)
            return
        matches = re.compile(translate(first)).match
        for inner in self.iterdir():
            if matches(inner.name) and (not rest or inner.is_dir()):
                yield from inner._globbed(rest)

    def _is_there(self) -> bool:
        return self.exists()

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """The object, read whole and then from this machine.

        Raises:
            FileNotFoundError: It is not there, or no more.
            StorageError: The store refuses it or does not answer.
        """
        if set(mode) - set("rbt"):
            self._refuse()
        raw = self._store().opened(self)
        return raw if "b" in mode else io.TextIOWrapper(raw, encoding or "utf-8", errors, newline)

    def read_bytes(self) -> bytes:
        """The content of the object; errors as of `open`."""
        with self.open("rb") as file:
            content: bytes = file.read()
            return content

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: Any = None) -> str:
        """The content of the object as text; errors as of `open`."""
        with self.open("r", encoding=encoding, errors=errors) as file:
            text: str = file.read()
            return text

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.EROFS, "boxseg writes nothing there by itself", str(self))

    mkdir = touch = unlink = rename = replace = rmdir = chmod = _refuse
    write_bytes = write_text = symlink_to = hardlink_to = _refuse


def _remembered(address: str, entry: Entry | None) -> RemotePath:
    path = RemotePath(address)
    if entry is not None:
        path._store().remember(path, entry)
    return path
