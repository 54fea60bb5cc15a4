"""docs/troubleshooting.md explains the errors that users meet; boxseg can print each that it quotes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from boxseg.wording import plural
from documented import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCE_FOLDER = ROOT / "src" / "boxseg"
ANYTHING = "\0"


def written(node: ast.AST) -> str:
    """A text in the source, what is filled in replaced by a mark; a mark for what is no text."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(written(part) for part in node.values)
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Call):
        called, *arguments = (node.value.func, *node.value.args)
        noun = arguments[-1] if arguments else None
        counts = isinstance(called, ast.Name) and called.id in ("counted", "counted_of")
        if counts and isinstance(noun, ast.Constant):
            return f"{ANYTHING} {plural(str(noun.value))}"
    if isinstance(node, ast.BinOp):
        return written(node.left) + written(node.right)
    return ANYTHING


def texts() -> Iterator[str]:
    """Every text in the source of boxseg, but for docstrings."""
    for path in sorted(SOURCE_FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Expr):
                yield from (written(child) for child in ast.iter_child_nodes(node))


def quoted() -> list[str]:
    """The messages in the first column of the page's tables; a cell may have several."""
    cells = re.findall(r"^\| (`.*?`)(?= \| )", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [quote.strip() for cell in cells for _, quote in re.findall(r"(`+)(.+?)\1(?!`)", cell)]


def occurs(quote: str, message: str) -> bool:
    """Whether a message can read as a quote: `…` there stands for anything, and so does what is filled in."""
    return bool(re.fullmatch(".*".join(map(re.escape, quote.split("…"))), message, re.DOTALL))


MESSAGES = {text for text in texts() if text.strip(ANYTHING)}
QUOTES = quoted()


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_in_the_source(quote: str) -> None:
    assert any(occurs(quote, message) for message in MESSAGES), quote


def test_no_message_is_quoted_twice() -> None:
    assert len(set(QUOTES)) == len(QUOTES), sorted(quote for quote in QUOTES if QUOTES.count(quote) > 1)


def test_a_made_up_message_would_be_noticed() -> None:
    assert len(QUOTES) > 50
    assert not any(occurs("the … is made of …", message) for message in MESSAGES)
    assert occurs("unknown verb …", "unknown verb \0\0 (one of \0)")
    assert not occurs("(one of … unknown verb", "unknown verb \0 (one of \0)")
    assert not occurs("unknown verb", "unknown verb \0 (one of \0)")
