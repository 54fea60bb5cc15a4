"""One bad input: how it is made, and how `doctor` and the other verbs must meet it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Spoil = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One bad input.

    Attributes:
        name: What it is.
        base: The data set that it is made of.
        spoil: Spoils a copy of it.
        outcome: `listed`: doctor lists it, and the verbs go on without what is bad; `refused`: one line.
        says: What doctor's output, or that line, must hold: the file, and a word of the reason.
        options: More options of the command.
    """

    name: str
    base: str
    spoil: Spoil
    outcome: Literal["listed", "refused"]
    says: tuple[str, ...]
    options: tuple[str, ...] = ()


def listed(name: str, base: str, spoil: Spoil, *says: str, options: tuple[str, ...] = ()) -> Bad:
    """An input of which doctor lists what is bad."""
    return Bad(name=name, base=base, spoil=spoil, outcome="listed", says=says, options=options)


def refused(name: str, base: str, spoil: Spoil, *says: str, options: tuple[str, ...] = ()) -> Bad:
    """An input that is refused."""
    return Bad(name=name, base=base, spoil=spoil, outcome="refused", says=says, options=options)


def write(file: str, content: bytes | str) -> Spoil:
    """Put a file there."""
    return lambda root: (root / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def swap(file: str, old: str, new: str) -> Spoil:
    """Replace a text in a file, once."""

    def spoil(root: Path) -> None:
        text = (root / file).read_text(encoding="utf-8")
        assert old in text, (file, old)
        (root / file).write_text(text.replace(old, new, 1), encoding="utf-8", errors="surrogatepass")

    return spoil


def cut(file: str, share: float = 0.5) -> Spoil:
    """Cut a file short."""
    return lambda root: (root / file).write_bytes((root / file).read_bytes()[: int(size(root / file) * share)])


def size(file: Path) -> int:
    """Bytes of a file."""
    return file.stat().st_size


def entry(file: str, *places: Any, value: Any) -> Spoil:
    """Set a value in a JSON file."""

    def spoil(root: Path) -> None:
        content = json.loads((root / file).read_text(encoding="utf-8"))
        holder = content
        for place in places[:-1]:
            holder = holder[place]
        holder[places[-1]] = value
        (root / file).write_text(json.dumps(content), encoding="utf-8")

    return spoil


def instead(file: str, make: Callable[[Path], object]) -> Spoil:
    """Put something that is no file in the place of one."""

    def spoil(root: Path) -> None:
        (root / file).unlink()
        make(root / file)

    return spoil


def broken_link(path: Path) -> None:
    """A link to nothing."""
    path.symlink_to(path.parent / "nowhere")


def loop(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path)


ODD_THINGS: dict[str, Callable[[Path], object]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "broken link": broken_link,
    "loop": loop,
}


COCO = "annotations/instances_train.json"
