"""JSON read a piece at a time: the same values and the same errors as all at once."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxseg.documents import read_json
from boxseg.errors import DataError
from boxseg.formats import json_lists
from boxseg.formats.json_lists import object_parts

LISTS = {"images", "annotations"}


def put_together(path: Path) -> Any:
    """The whole content, from its parts."""
    content: Any = {}
    for part in object_parts(path, LISTS):
        if part.key is None:
            content = part.value
        elif part.is_items and not part.begins:
            content[part.key] += part.value
        else:
            content[part.key] = list(part.value) if part.is_items else part.value
    return content


def outcome(read: Any, path: Path) -> Any:
    """What is read, as text, which tells NaN from others; or the error."""
    try:
        return repr(read(path))
    except DataError as error:
        return f"DataError {error}"


def is_same(path: Path) -> bool:
    """Whether a file is read, or refused in the same words, as by `json` itself.

    From Python 3.13 on `json` has words of its own for a comma before a closing bracket, and its place.
    """
    ours, theirs = outcome(put_together, path), outcome(read_json, path)
    if "Illegal trailing comma" in theirs:
        ours, theirs = (text.partition(" is not valid JSON (")[0] for text in (ours, theirs))
    return bool(ours == theirs)


@pytest.fixture(autouse=True, params=[1, 7, 1 << 20])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces so small that they end anywhere, and pieces larger than the file."""
    monkeypatch.setattr(json_lists, "_PIECE", request.param)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["images", "annotations", "categories", "info"])


@given(st.data())
def test_any_object_in_any_layout_is_read_as_by_json(tmp_path_factory: Any, data: Any) -> None:
    pairs = data.draw(st.lists(st.tuples(KEYS, VALUES | st.lists(VALUES, max_size=5)), max_size=4))
    indent = data.draw(st.sampled_from([None, 1, "\t"]))
    escaped = data.draw(st.booleans())
    # Pairs, not a dictionary: keys may come twice.
    said = [f"{json.dumps(k)}: {json.dumps(v, indent=indent, ensure_ascii=escaped)}" for k, v in pairs]
    text = "{" + ",\r\n".join(said) + "}"
    path = tmp_path_factory.mktemp("json") / "x.json"
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le"]))
    path.write_bytes(text.encode(encoding, "surrogatepass"))
    assert outcome(put_together, path) == outcome(read_json, path)


WHOLE = """{
 "images": [{"id": 1, "n": "é\\u00e9"}, -1.5e3, NaN, true],
"info": {"a": [1]}, "annotations": [ ]
}
"""


def test_a_file_that_ends_anywhere_names_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for end in range(len(WHOLE.encode())):
        path.write_bytes(WHOLE.encode()[:end])
        assert is_same(path), WHOLE.encode()[:end]


def test_a_wrong_byte_anywhere_names_the_same_place(tmp_path: Path) -> None:
    path, content = tmp_path / "x.json", WHOLE.encode()
    for place, byte in itertools.product(range(len(content)), b'"},x\x01'):
        path.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
        assert is_same(path), path.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"[]",
        b"[1, 2]",
        b"7",
        b'{"images": 3}',
        b'{"images": [1], "images": {"a": 1}}',
        b'{"images": [1], "x": 1, "images": [2]}',
        b'{"images": [1,]}',
        b'{"images": [1] "info": 2}',
        b'{"images": [1]} 7',
        b'{"images": ["\xff"]}',
        b'{"images": ["\xe2\x82"',
        b'{"images": [' + b"9" * 400 + b"]}",
        b'{"images": [' + b"9" * 5000 + b"]}",
        b'{"info": ' + b"8" * 309 + b', "images": [' + b"1" * 308 + b"]}",
    ],
)
def test_what_is_odd_is_read_or_refused_as_by_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert is_same(path)


@pytest.mark.parametrize("content", ['{"images": [%s]}', '{"info": %s}', "%s"])
def test_deep_values_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content % ("[" * 100_000))
    with pytest.raises(DataError, match=r"x\.json is not valid JSON"):
        list(object_parts(path, LISTS))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "no.json", tmp_path):
        assert outcome(put_together, path) == outcome(read_json, path)


def test_only_a_piece_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lists, "_PIECE", 1 << 12)
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"images": list(range(10_000))}))
    sizes = [len(part.value) for part in object_parts(path, LISTS)]
    assert sum(sizes) == 10_000
    assert max(sizes) < 2_000
