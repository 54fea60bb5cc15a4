"""IDs of photos as keys: told apart, and read by webdataset's rule."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from boxseg.shards.keys import key_of

# What webdataset takes for the key: all before the first dot after the last slash.
RULE = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
# Members that it leaves out.
SKIPPED = re.compile(r"__[^/]*__($|/)")

NAMES = st.text(st.characters(exclude_categories=()), min_size=1, max_size=40) | st.text(
    "ab./_%~-", min_size=1, max_size=200
)


@given(NAMES)
@example("2007_000032")
@example("../../etc/passwd")
@example("/absolute")
@example("a//b")
@example("__index__")
@example("__end__/a")
@example("photo.of.a.cat/left.eye")
@example("\udcff")  # a name of a file that is no UTF-8
@example("\ud800")  # half a character, as JSON may hold
def test_webdataset_finds_key_and_suffix_and_leaves_nothing_out(name: str) -> None:
    key = key_of(name)
    for suffix in ("png", "json", "confidence.png"):
        found = RULE.match(f"{key}.{suffix}")
        assert found is not None
        assert found.groups() == (key, suffix)
    assert not SKIPPED.match(f"{key}.png")
    assert key.isascii()
    assert len(f"{key}.confidence.png") <= 100
    # Unpacked by any program, it stays in the folder.
    assert not key.startswith("/")
    assert not {"", ".", ".."} & set(f"{key}.png".split("/"))


@given(NAMES, NAMES)
@example("a.b", "a%2Eb")
@example("a//b", "a/%/b")
@example("__a", "%5F_a")
@example("x" * 81, "x" * 47 + "~" + "0" * 32)
@example("a" * 90 + "b", "a" * 90 + "c")
def test_no_two_ids_have_one_key(one: str, other: str) -> None:
    assert (key_of(one) == key_of(other)) == (one == other)


def test_usual_ids_are_their_own_keys() -> None:
    for name in ("2007_000032", "train/000000000139", "IMG-1_b"):
        assert key_of(name) == name
