"""A count goes with its noun, in every message."""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

import pytest

import boxseg
from boxseg import wording
from boxseg.wording import counted, counted_of

SOURCE = Path(boxseg.__file__).parent


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "photo", "0 photos"),
        (1, "photo", "1 photo"),
        (2, "box", "2 boxes"),
        (1464, "class", "1,464 classes"),
        (3, "entry", "3 entries"),
        (2, "key", "2 keys"),
        (1, "batch", "1 batch"),
        (2, "batch", "2 batches"),
    ],
)
def test_a_count_and_its_noun_agree(count: int, noun: str, text: str) -> None:
    assert counted(count, noun) == text


def test_a_part_is_counted_in_its_whole() -> None:
    assert counted_of(1, 2, "photo") == "1 of 2 photos"
    assert counted_of(1, 1, "mask of GrabCut", "masks of GrabCut") == "1 of 1 mask of GrabCut"


def test_the_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(wording).failed == 0


# Nouns that messages count; the plural of one right after a number would be wrong for 1.
NOUNS = (
    *("photo", "image", "box", "mask", "file", "class", "object", "label", "problem", "iteration", "step"),
    *("annotation", "process", "seed", "tensor", "crop", "sample", "stage", "attempt", "part", "key"),
)
COUNTED = re.compile(rf" ({'|'.join(map(wording.plural, NOUNS))})\b")
# Not counts, or never 1.
OTHERS = {"{there.changed:,} photos or their boxes", "{_listed(lengths.values())} iterations"}


def texts_of(source: str) -> set[str]:
    """What follows a value in the f-strings of a module, where it begins with the plural of a noun."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        for value, text in zip(getattr(node, "values", ()), getattr(node, "values", ())[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                written = f"{ast.unparse(ast.JoinedStr([value]))[2:-1]}{text.value}"
                if COUNTED.match(str(text.value)) and not any(other in written for other in OTHERS):
                    found.add(written)
    return found


def test_a_count_without_the_helper_would_be_noticed() -> None:
    assert texts_of('f"{n} photos"') == {"{n} photos"}
    assert texts_of("""f"{counted(n, 'photo')}" + f"{n} of them" """) == set()


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_message_counts_by_the_helper(path: Path) -> None:
    if "crf" in path.parts:
        pytest.skip("boxseg.crf can be taken out: it imports nothing else of boxseg")
    assert not texts_of(path.read_text(encoding="utf-8"))
