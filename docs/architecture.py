"""Draw the rooms of boxseg and what imports what, from the imports themselves.

    python docs/architecture.py

Rooms stand in the layers of pyproject.toml. The number on an arrow counts pairs of modules of which the upper
imports the lower. Imports that a path of arrows already shows are written into the box, and small modules that
all rooms share have no arrows. The picture's `<desc>` lists every pair of rooms, for the tests.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp
from importlinter.api import read_configuration

from boxseg.atomic import write_text

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "docs" / "figures" / "architecture.svg"

Edges = dict[tuple[str, str], int]

WIDTH, TOP, PITCH, HEIGHT = 1000, 16, 88, 58  # pixels: the picture, above the first layer, a layer, a box
LINE = 13  # pixels, of small text

# Left and right edge of each box, in pixels. A room without an entry is drawn at the right: give it a place.
PLACES = {
    "cli": (200, 400),
    "freed_memory": (30, 190),
    "api": (600, 800),
    "stages": (90, 910),
    "reporting": (690, 970),
    "training": (30, 320),
    "labelling": (338, 664),
    "scoring": (680, 970),
    "spreading": (355, 970),
    "inference": (30, 970),
    "data": (640, 970),
    "runs": (330, 610),
    "nn": (160, 310),
    "downloads": (145, 325),
    "formats": (510, 800),
    "shards": (640, 800),
    "options": (330, 490),
    "jobs": (330, 490),
    "crf": (20, 150),
}


@dataclass(frozen=True, kw_only=True)
class House:
    """The rooms.

    Attributes:
        layers: From top to bottom, the rooms of each.
        edges: Pairs of modules by (upper, lower) room, of which the first imports the second.
        sizes: Modules of each room.
    """

    layers: tuple[tuple[str, ...], ...]
    edges: Edges
    sizes: dict[str, int]

    @property
    def shared(self) -> frozenset[str]:
        """Rooms from the layer of `config` on: options, data types and helpers; not the CRF."""
        first = next(place for place, layer in enumerate(self.layers) if "config" in layer)
        return frozenset(room for layer in self.layers[first:] for room in layer) - {"crf"}

    @property
    def arrows(self) -> Edges:
        """Downward edges that no path replaces, except those to shared modules."""
        depth = {room: place for place, layer in enumerate(self.layers) for room in layer}
        drawn = {
            (upper, lower): count
            for (upper, lower), count in self.edges.items()
            if lower not in self.shared and depth[upper] < depth[lower]
        }
        return {edge: count for edge, count in drawn.items() if not _detour(*edge, drawn)}


def _detour(start: str, end: str, edges: Iterable[tuple[str, str]]) -> bool:
    """Whether a path of several edges leads from one room to the other."""
    steps = [lower for upper, lower in edges if upper == start and lower != end]
    return any((step, end) in edges or _detour(step, end, edges) for step in steps)


def layers() -> tuple[tuple[str, ...], ...]:
    """The layers of pyproject.toml, from top to bottom."""
    contracts = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    (contract,) = (contract for contract in contracts if contract["type"] == "layers")
    return tuple(tuple(re.findall(r"\w+", line)) for line in contract["layers"])


def look() -> House:
    """Read the layers and the imports."""
    graph = grimp.build_graph("boxseg", cache_dir=None)
    edges: Counter[tuple[str, str]] = Counter()
    sizes: Counter[str] = Counter()
    for module in graph.modules:
        room = _room(module)
        sizes[room] += 1
        edges.update((room, _room(lower)) for lower in graph.find_modules_directly_imported_by(module))
    known = {room for layer in layers() for room in layer}
    inner = {edge: count for edge, count in edges.items() if edge[0] != edge[1] and known.issuperset(edge)}
    return House(layers=layers(), edges=inner, sizes=dict(sizes))


def _room(module: str) -> str:
    return f"{module}.".split(".")[1]


def edge_list(house: House) -> str:
    """A line for every pair of rooms, for the picture's `<desc>`."""
    return "\n".join(
        f"{upper} imports {lower}: {count}" for (upper, lower), count in sorted(house.edges.items())
    )


def read_edges(svg: str) -> Edges:
    """The pairs of rooms in a picture's `<desc>`."""
    found = re.findall(r"^(\w+) imports (\w+): (\d+)$", svg, re.MULTILINE)
    return {(upper, lower): int(count) for upper, lower, count in found}


def draw(house: House) -> str:
    """The picture, as SVG."""
    rows = [layer for layer in house.layers if not house.shared.issuperset(layer)]
    tops = {
        room: TOP + PITCH * row for row, layer in enumerate(rows) for room in layer if room not in house.shared
    }
    foot = TOP + PITCH * (len(rows) - 1)
    parts = [*_arrows(house, tops), *(part for room in tops for part in _box(house, room, tops[room]))]
    parts += _foot(house, foot)
    height = foot + PITCH + 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="DejaVu Sans, Verdana, sans-serif" font-size="11">',
            f"<title>The rooms of boxseg</title>\n<desc>\n{edge_list(house)}\n</desc>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#00695c"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _place(room: str) -> tuple[int, int]:
    return PLACES.get(room, (820, 990))


def _arrows(house: House, tops: dict[str, int]) -> Iterator[str]:
    """A line from box to box, vertical if possible, with its number above the tip."""
    for (upper, lower), count in sorted(house.arrows.items()):
        (left, right), (low_left, low_right) = _place(upper), _place(lower)
        end = min(max((max(left, low_left) + min(right, low_right)) // 2, low_left + 20), low_right - 20)
        start = min(max(end, left + 20), right - 20)
        below = tops[upper] + HEIGHT
        yield (
            f'<line x1="{start}" y1="{below}" x2="{end}" y2="{tops[lower]}" stroke="#00695c" stroke-width="1.5" '
            'marker-end="url(#tip)"/>'
        )
        yield f'<text x="{end + 7}" y="{tops[lower] - 8}" fill="#00695c" font-size="12">{count}</text>'


def _box(house: House, room: str, top: int) -> Iterator[str]:
    left, right = _place(room)
    middle = (left + right) // 2
    size = house.sizes[room]
    modules = f" ({size} modules)" if size > 1 else ""
    yield (
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{HEIGHT}" rx="6" fill="#e0f2f1" '
        'stroke="#00695c"/>'
    )
    yield (
        f'<text x="{middle}" y="{top + 20}" text-anchor="middle"><tspan font-weight="bold" font-size="15">{room}'
        f'</tspan><tspan fill="#455a64">{modules}</tspan></text>'
    )
    also = [
        f"{lower}\N{NO-BREAK SPACE}{count}"
        for (upper, lower), count in sorted(house.edges.items())
        if upper == room and (upper, lower) not in house.arrows and lower not in house.shared
    ]
    text = f"also imports {', '.join(also)}" if also else ""
    for number, line in enumerate(_wrap(text, (right - left - 16) // 6)):
        yield f'<text x="{middle}" y="{top + 37 + LINE * number}" text-anchor="middle" fill="#455a64">{line}</text>'


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _foot(house: House, top: int) -> Iterator[str]:
    """The shared modules, in a box at the foot, each with how many modules import it."""
    left, right = 190, 970
    users = {
        room: sum(count for (_, lower), count in house.edges.items() if lower == room) for room in house.shared
    }
    listed = ", ".join(
        f"{room}\N{NO-BREAK SPACE}{count}" for room, count in sorted(users.items(), key=_by_users)
    )
    yield (
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{HEIGHT + 16}" rx="6" fill="#f5f5f5" '
        'stroke="#78909c"/>'
    )
    yield (
        f'<text x="{(left + right) // 2}" y="{top + 20}" text-anchor="middle"><tspan font-weight="bold" '
        'font-size="13">shared by all rooms</tspan> (and how often each is imported)</text>'
    )
    for number, line in enumerate(_wrap(listed, 90)):
        yield (
            f'<text x="{(left + right) // 2}" y="{top + 39 + 15 * number}" text-anchor="middle" font-size="12" '
            f'fill="#455a64">{line}</text>'
        )


def _by_users(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]


def main(figure: Path = FIGURE) -> None:
    """Draw the picture into a file."""
    write_text(figure, draw(look()))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
