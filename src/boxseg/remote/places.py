"""Which options may be addresses, and where a command works whose results go to one."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from boxseg.errors import BoxsegError, ConfigError
from boxseg.remote.address import RemotePath, as_path, is_address, refuse_secrets
from boxseg.remote.names import Names

T = TypeVar("T")

# Options that are read from an address, beside those of `data`; and verbs that write to one.
_READ = {
    "label": ("label.corrections",),
    "evaluate": ("labels", "instances"),
    "convert": ("source", "images"),
    "report": ("data",),
}
_WRITING = ("label", "predict", "evaluate")
# Verbs that may go on where they stopped, and so need all that is there; others replace it.
_GOING_ON = ("label",)
# Options that are text, name files, and are read from this machine alone.
_TEXTS = ("labels", "strong")


def with_addresses(options: T) -> T:
    """A job or section whose paths are addresses where they are meant so.

    Raises:
        ConfigError: An address holds a password or a signature.
    """
    changes: dict[str, Any] = {}
    for item in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, item.name)
        for text in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(text, str):
                refuse_secrets(text)
        if isinstance(value, Path) and is_address(value):
            new: Any = as_path(value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            new = with_addresses(value)
        else:
            continue
        if new is not value:
            changes[item.name] = new
    return dataclasses.replace(options, **changes) if changes else options  # type: ignore[type-var]


def addresses_in(options: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The options that are addresses, by their dotted keys."""
    for item in dataclasses.fields(options):
        value, key = getattr(options, item.name), f"{prefix}{item.name}"
        if isinstance(value, RemotePath):
            yield key, value
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from addresses_in(value, f"{key}.")
        elif item.name in _TEXTS:
            texts = value if isinstance(value, list) else [value]
            yield from ((key, text) for text in texts if isinstance(text, str) and is_address(text))


def check_addresses(verb: str, job: Any) -> None:
    """Refuse addresses where only files of this machine will do.

    Raises:
        ConfigError: One is given, or results would by default go to one.
    """
    for key, address in addresses_in(job):
        if verb == "evaluate" and key in ("labels", "instances") and job.out is None:
            raise ConfigError(
                f"{key}={address}: say where the scores go, by out=DIR or the address of a folder"
            )
        if key.startswith("data.") or key in _READ.get(verb, ()):
            continue
        if key != "out":
            raise ConfigError(
                f"{key}={address}: boxseg {verb} reads this from a disk: copy it to this machine, and give "
                "its path"
            )
        if verb not in _WRITING:
            raise ConfigError(
                f"out={address}: boxseg {verb} writes to a disk of this machine: give out=DIR, and copy what "
                f"you want to keep there afterwards ({', '.join(_WRITING)} take an address)"
            )
        if getattr(job, "cluster", None):
            raise ConfigError(
                f"out={address} with cluster=: the workers of a cluster write to a drive that all see: give "
                "out=DIR there, or leave out cluster="
            )


@contextmanager
def at_home(verb: str, job: T, names: Names, *, planned: bool = False) -> Iterator[tuple[T, list[Any]]]:
    """The job, with a folder of this machine as `out` if that is an address, and a list for its result.

    Unless the job is only `planned`, the folder's files are put to the address as they are finished. Results
    and errors name the address.

    Raises:
        ConfigError: Another command works there.
        StorageError: The store refuses or does not answer.
    """
    results: list[Any] = []
    _forget()
    address = getattr(job, "out", None)
    if not isinstance(address, RemotePath):
        yield job, results
        return
    from boxseg.remote.claims import claimed
    from boxseg.remote.published import looked_at, published

    all_files = verb in _GOING_ON or getattr(job, "submission", None) is not None
    folder = None
    try:
        with ExitStack() as stack:
            if planned:
                folder = stack.enter_context(looked_at(address, names))
            else:
                stack.enter_context(claimed(address))
                folder = stack.enter_context(published(address, names, all_files=all_files))
            yield dataclasses.replace(job, out=folder), results  # type: ignore[type-var]
    except BoxsegError as error:
        if folder is not None:
            error.args = tuple(_renamed(part, folder, address) for part in error.args)
        raise
    results[:] = [_renamed(result, folder, address) for result in results]


def _forget() -> None:
    store = sys.modules.get("boxseg.remote.store")
    if store is not None:
        store.forget()


def _renamed(value: Any, folder: Path, address: RemotePath) -> Any:
    """A value with the address in place of the working folder."""
    if isinstance(value, str):
        return value.replace(str(folder), str(address))
    if isinstance(value, Path):
        inside = not isinstance(value, RemotePath) and value.is_relative_to(folder)
        return address / value.relative_to(folder) if inside else value
    if type(value) is tuple:
        return tuple(_renamed(part, folder, address) for part in value)
    if type(value) is dict:
        return {key: _renamed(part, folder, address) for key, part in value.items()}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    before = {item.name: getattr(value, item.name) for item in dataclasses.fields(value) if item.init}
    after = {name: _renamed(part, folder, address) for name, part in before.items()}
    changes = {name: part for name, part in after.items() if part is not before[name] and part != before[name]}
    return dataclasses.replace(value, **changes) if changes else value
