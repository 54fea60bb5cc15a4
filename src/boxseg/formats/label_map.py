"""labelmap.txt: names and colours of the classes of label masks, as CVAT and Datumaro write it.

One class per line, `name:r,g,b:parts:actions`; the last two describe persons and stay empty. In files that
boxseg writes, the n-th line names pixel value n, and the colours are VOC's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boxseg.atomic import write_text
from boxseg.dataset import IGNORE
from boxseg.documents import read_lines
from boxseg.errors import DataError
from boxseg.formats.files import is_file
from boxseg.palette import voc_palette

LABELMAP_TXT = "labelmap.txt"
_BACKGROUND, _IGNORED = "background", "ignored"


def write_label_map(path: Path, classes: Sequence[str], *, ignored: bool) -> None:
    """Write the names of classes 0..L, and that of 255 if masks contain it."""
    for name in classes:
        if ":" in name or name != name.strip() or not name or name.startswith("#"):
            raise DataError(
                f"class name {name!r} is not allowed in {LABELMAP_TXT}: it must not hold a colon, "
                "start or end with a space, or start with #"
            )
    named = dict(enumerate((_BACKGROUND, *classes))) | ({IGNORE: _IGNORED} if ignored else {})
    colours = voc_palette()
    lines = ["# label:color_rgb:parts:actions"]
    lines += [f"{name}:{','.join(map(str, colours[value].tolist()))}::" for value, name in named.items()]
    write_text(path, "\n".join(lines) + "\n")


def names_ignored(path: Path) -> bool:
    """Whether a file written by `write_label_map` names 255."""
    colour = ",".join(map(str, voc_palette()[IGNORE].tolist()))
    return is_file(path) and f"{_IGNORED}:{colour}::" in read_lines(path)


def read_label_map(path: Path) -> tuple[str, ...]:
    """Names of classes 1..L; empty if there is no such file or its colours are not VOC's in their order.

    With other colours, the order of the lines says nothing about pixel values.
    """
    if not is_file(path):
        return ()
    try:
        lines = [line.split(":") for line in read_lines(path) if line and not line.startswith("#")]
    except DataError:
        return ()
    names = [words[0] for words in lines]
    colours = [words[1].replace(" ", "") if len(words) > 1 else "" for words in lines]
    usual = [",".join(map(str, colour)) for colour in voc_palette()[: len(names)].tolist()]
    # A class may have this name, too: it then has the colour of its number, not that of 255.
    if names[-1:] == [_IGNORED] and colours[-1:] != usual[-1:]:
        names, colours, usual = names[:-1], colours[:-1], usual[:-1]
    return tuple(names[1:]) if names[:1] == [_BACKGROUND] and colours == usual else ()
