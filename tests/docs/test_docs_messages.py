"""docs/troubleshooting.md quotes what boxseg can print, and has a row for each of its own errors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from boxseg import errors, options
from boxseg.data.loading import LoadingError
from documented import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCE_FOLDER = ROOT / "src" / "boxseg"

# What makes an error that a user reads: `require` raises a ConfigError, and the CRF has too little memory.
OURS = {"require", "MemoryError", LoadingError.__name__} | {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.BoxsegError)
}
ANYTHING = "\0"

# Messages without a row: what comes before them whenever a user could meet them.
INTERNAL = {
    "backbone '…' has no such option: …": "options of a backbone are ours or those of a checkpoint",
    "stride … of efficientnet_lite0: expected 8, 16 or 32": "no option sets it",
    "stride … of a ResNet: expected 8, 16 or 32": "no option sets it",
    "… is …, expected a number of at least 1": "batch and iterations are checked when options are read",
    "seed is …, expected 0 or more": "trainer.seed is checked when options are read",
    "rank is …, expected 0 to … for … processes": "Lightning counts the processes",
    "split … of … has no photos to train on": "an empty split is an error when it is read",
    "…: no ground-truth mask, expected one for labels=ground-truth": "photos without one are left out",
    "label maps of one photo must have one size, got …: were they resized?": "masks are sized as photos",
    "… holds the value …, expected 0..… or 255: check the class list": "masks are checked when they are read",
    "confusion matrices of other classes do not add: … and …": "all parts of a score are of one data set",
}

# Options whose value is of another kind: the words of these messages are the parser's.
OF_ANOTHER_KIND = ("classify.grid=a", "overwrite=maybe", "classify.pooling=some", "classify.milestones=3")


@dataclass(frozen=True)
class Message:
    """What an error says: where it stands in the source, and its text with marks for what is filled in."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text.replace(ANYTHING, '…')}"


def written(node: ast.expr) -> str:
    """The text of a message in the source, what is filled in replaced by a mark."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(written(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return written(node.left) + written(node.right)
    return ANYTHING


def raised() -> Iterator[Message]:
    """What is given to errors of ours, and to `require`, anywhere in boxseg; not what only passes text on."""
    for path in sorted(SOURCE_FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", "")
            if isinstance(node, ast.Call) and name in OURS and node.args:
                text = written(node.args[-1])
                if text.strip(ANYTHING):
                    yield Message(f"{path.relative_to(ROOT).as_posix()}:{node.lineno}", text)


def of_the_parser() -> Iterator[Message]:
    """What is said of a value that is of another kind than its option takes."""
    for word in OF_ANOTHER_KIND:
        with pytest.raises(errors.ConfigError) as caught:
            options.build_job("classify", options.parse_words(["data=d", "out=o", word], "classify"))
        yield Message(word, str(caught.value))


def quoted() -> list[str]:
    """The messages in the first column of the page's tables; a cell may have several."""
    cells = re.findall(r"^\| (`.*?`)(?= \| )", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [quote.strip() for cell in cells for _, quote in re.findall(r"(`+)(.+?)\1(?!`)", cell)]


def occurs(quote: str, message: str) -> bool:
    """Whether a message can read as a quote: `…` there stands for anything, and so does what is filled in."""
    return bool(re.fullmatch(".*".join(map(re.escape, quote.split("…"))), message, re.DOTALL))


MESSAGES = [*raised(), *of_the_parser()]
QUOTES = quoted()


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_in_the_source(quote: str) -> None:
    assert any(occurs(quote, message.text) for message in MESSAGES), quote


def test_every_message_has_a_row_or_is_said_to_be_internal() -> None:
    known = (*QUOTES, *INTERNAL)
    missing = [f"\n  {message}" for message in MESSAGES if not any(occurs(q, message.text) for q in known)]
    assert not missing, (
        "messages without a row in docs/troubleshooting.md (add one, with what to do; or INTERNAL here, with a "
        f"reason):{''.join(missing)}"
    )


@pytest.mark.parametrize("message", INTERNAL)
def test_an_internal_message_is_in_the_source_and_not_on_the_page(message: str) -> None:
    there = [found.text for found in MESSAGES if occurs(message, found.text)]
    assert there, "in the source no longer"
    assert not any(occurs(quote, text) for quote in QUOTES for text in there), "has a row on the page"


def test_no_message_is_quoted_twice() -> None:
    assert len(set(QUOTES)) == len(QUOTES), sorted(quote for quote in QUOTES if QUOTES.count(quote) > 1)


def test_a_made_up_message_would_be_noticed() -> None:
    assert len(QUOTES) > 200
    assert not any(occurs("the … is made of …", message.text) for message in MESSAGES)
    assert occurs("unknown verb …", "unknown verb \0\0 (one of \0)")
    assert not occurs("(one of … unknown verb", "unknown verb \0 (one of \0)")
    assert not occurs("unknown verb", "unknown verb \0 (one of \0)")
