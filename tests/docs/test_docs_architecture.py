"""docs/architecture.md and its picture say what pyproject.toml and the imports say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import architecture
from documented import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def house() -> architecture.House:
    return architecture.look()


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_picture_is_that_of_the_imports(house: architecture.House, tmp_path: Path) -> None:
    """The same rooms import the same rooms; how often may have changed a little since it was drawn."""
    architecture.main(tmp_path / "drawn.svg")
    drawn = architecture.read_edges((tmp_path / "drawn.svg").read_text(encoding="utf-8"))
    committed = architecture.read_edges(architecture.FIGURE.read_text(encoding="utf-8"))
    assert drawn == house.edges
    hint = "draw it again: python docs/architecture.py"
    assert set(drawn) == set(committed), hint
    assert all(abs(drawn[edge] - count) <= max(3, count // 4) for edge, count in committed.items()), hint


def test_every_room_is_in_the_picture_and_has_a_place(house: architecture.House) -> None:
    picture = architecture.draw(house)
    for layer in house.layers:
        for room in layer:
            assert re.search(rf"[>\s]{room}[<\s\N{{NO-BREAK SPACE}}]", picture), room
            assert room in architecture.PLACES or room in house.shared, (
                f"{room}: no place in {architecture.__file__}"
            )


def test_arrows_lead_down_and_leave_no_import_out(house: architecture.House) -> None:
    """Every import of a room is one of its arrows, or a path of arrows."""
    depth = {room: place for place, layer in enumerate(house.layers) for room in layer}
    assert all(depth[upper] < depth[lower] for upper, lower in house.arrows)
    below: dict[str, set[str]] = {room: set() for room in depth}
    for room in sorted(depth, key=lambda name: -depth[name]):
        for upper, lower in house.arrows:
            if upper == room:
                below[room] |= {lower, *below[lower]}
    for upper, lower in house.edges:
        if depth[upper] < depth[lower] and lower not in house.shared:
            assert lower in below[upper], (upper, lower)


def test_an_import_that_a_path_replaces_has_no_arrow() -> None:
    edges = {("a", "b"): 1, ("b", "c"): 2, ("a", "c"): 5, ("a", "config"): 9}
    house = architecture.House(layers=(("a",), ("b",), ("c",), ("config",)), edges=edges, sizes={})
    assert house.arrows == {("a", "b"): 1, ("b", "c"): 2}


def test_the_page_lists_the_layers_of_pyproject() -> None:
    listed = [frozenset(re.findall(r"`(\w+)`", row[0])) for row in table("The layers")]
    assert listed == [frozenset(layer) for layer in architecture.layers()]


def test_the_map_in_the_readme_has_every_room(house: architecture.House) -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Reading the code\n")[2]
    named = set(re.findall(r"`(\w+)/`", section))
    assert named == {room for layer in house.layers for room in layer if house.sizes[room] > 1}


def test_files_and_folders_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", PAGE)) - {"src/boxseg/"}
    assert len(named) > 40
    assert [name for name in sorted(named) if not (ROOT / "src" / "boxseg" / name).exists()] == []


def test_names_to_list_additions_in_are_there() -> None:
    for _, _, where in table("Where to add something"):
        for name, file in re.findall(r"`([A-Z]\w+)` in `([\w/]+\.py)`", where):
            source = (ROOT / "src" / "boxseg" / file).read_text(encoding="utf-8")
            assert re.search(rf"^{name}\b.* = ", source, re.MULTILINE), f"{name} in {file}"


def test_there_are_ten_questions_with_a_file_each() -> None:
    rows = table("Ten questions")
    assert len(rows) == 10
    assert all(re.fullmatch(r"`[\w/]+\.py`", answer) for _, answer in rows)
