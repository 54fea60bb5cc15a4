"""Every message that docs/troubleshooting.md quotes is one that boxseg can print."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from documented import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"

RAISED = {"require", "did_you_mean"}  # and every class whose name ends in Error
ANYTHING = "\0"


def written(node: ast.expr) -> str:
    """The text of a message in the source, what is filled in replaced by a mark."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(written(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return written(node.left) + written(node.right)
    return ANYTHING


def messages() -> Iterator[str]:
    """What is given to errors, and to `require`, anywhere in boxseg."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", "")
                if name.endswith("Error") or name in RAISED:
                    yield from (written(argument) for argument in node.args)


SOURCE = [message for message in messages() if message != ANYTHING]


def quoted() -> list[str]:
    """The first column of the page's tables."""
    rows = re.findall(r"^\| (`+)(.+?)\1 \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [row for _, row in rows]


def occurs(quote: str, message: str) -> bool:
    """Whether a message can read as a quote: `…` there stands for anything, and so does what is filled in."""
    fixed = [part.strip() for part in quote.split("…") if part.strip()]
    place = 0
    for part in fixed:
        found = message.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return bool(fixed)


@pytest.mark.parametrize("quote", quoted())
def test_a_quoted_message_is_in_the_source(quote: str) -> None:
    assert any(occurs(quote, message) for message in SOURCE), quote


def test_the_page_has_many_messages_and_a_made_up_one_would_be_noticed() -> None:
    assert len(quoted()) > 60
    assert not any(occurs("the … is made of …", message) for message in SOURCE)
    assert occurs("unknown verb …", "unknown verb \0\0 (one of \0)")
    assert not occurs("(one of … unknown verb", "unknown verb \0 (one of \0)")
