"""What README.md and docs/ tell users to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`(boxseg [^`]+)`")
_VARIABLE = re.compile(r"^(\w+)=\"(.*)\"$")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A documented command.

    Attributes:
        page: README.md, docs/data.md …
        text: As it is written, on one line and without a comment.
        words: As a shell would split it; the first is the program.
        block: Whether it stands in a block of its own, to be copied, and not within a sentence or a table.
    """

    page: str
    text: str
    words: tuple[str, ...]
    block: bool

    @property
    def verb(self) -> str:
        return self.words[1] if len(self.words) > 1 else ""


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return [found[2] for found in _FENCE.finditer(path.read_text(encoding="utf-8")) if found[1] == language]


def commands(path: Path) -> Iterator[Command]:
    """Every line of the shell blocks of a page, then every `boxseg …` in its text."""
    name = page_name(path)
    for block in blocks(path, "sh"):
        variables: dict[str, str] = {}
        for line in block.replace("\\\n", " ").splitlines():
            text = " ".join(line.partition(" #")[0].split())
            if assigned := _VARIABLE.match(text):
                variables[assigned[1]] = assigned[2]
                continue
            for variable, value in variables.items():
                text = text.replace(f"${variable}", value)
            if words := tuple(shlex.split(text)):
                yield Command(page=name, text=text, words=words, block=True)
    prose = _FENCE.sub("", path.read_text(encoding="utf-8"))
    for found in _CODE.finditer(prose):
        text = " ".join(found[1].split())
        yield Command(page=name, text=text, words=tuple(shlex.split(text)), block=False)


def all_commands() -> list[Command]:
    return [command for path in PAGES for command in commands(path)]
