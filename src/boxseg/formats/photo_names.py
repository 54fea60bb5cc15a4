r"""Which photo a name in an annotation file means: one rule for all readers.

A name is read as a path, with `/` or `\` between its folders, and as an address: percent-encoded, with the
photo perhaps named in the query, as by Label Studio. The photo is the file

1. at that path in the folder of photos, else
2. anywhere below that folder with the last part of the name, if only one file fits: letter by letter, else in
   another case or another form of its accents, else without the eight digits that Label Studio puts in front of
   uploads, else with another suffix. Of several, the one whose folders match best.

If no photo is where its name says, step 2 searches the whole data set. Nothing is looked for outside of it. Two
names never share a photo, and pictures in folders of masks are no photos.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from boxseg.config import Data
from boxseg.dataset import Problem
from boxseg.errors import DataError
from boxseg.formats.files import is_file, leads_out
from boxseg.formats.images import SUFFIXES
from boxseg.formats.split_files import images_option
from boxseg.remote.address import commonpath
from boxseg.remote.hooks import walk
from boxseg.wording import counted

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
# Folders of pictures that are no photos, although they have the names of photos.
_NO_PHOTOS = re.compile(
    r"mask|(.*[-_ ])?masks|seg(mentation)?(class|object)?(aug|raw)?|panoptic.*|ground[-_ ]?truth|gts?|labels?"
    "|confidence|reliable|y_crf|y_ret",
    re.IGNORECASE,
)


class NamedPhoto(NamedTuple):
    """A photo, and its ID in the data set: its path in the folder of photos, without suffix."""

    id: str
    image: Path


def locate_photos(
    data: Data, source: Path, names: Sequence[str], below: Iterable[str]
) -> dict[str, NamedPhoto | Problem]:
    """The photo of each name, or the problem of a name that fits none or several; in the order of the names.

    Only the first `data.limit` names are in it, each once. The folder of photos is the one that `data.images`
    names, else the first that has one of the photos where its name says: of `below` (folders below the root,
    the likeliest first), then beside the annotation file `source`, then the only one up to two levels down.

    Raises:
        DataError: None of the photos is there.
    """
    below = tuple(below)
    folder = images_option(data) or _image_folder(data, source, names, below)
    unique = list(dict.fromkeys(names))
    # Without a folder, IDs depend on where all photos are.
    wanted = unique if folder is None else unique[: data.limit]
    files = find_files(wanted, folder or data.root, source)
    found = [file for file in files if isinstance(file, Path)]
    if wanted and all(isinstance(file, Problem) and file.kind == _MISSING for file in files):
        raise DataError(
            f"{source}: no photo found ({names[0]} and others looked for in {folder or data.root} and below); "
            "put them there, or name their folder by data.images"
        )
    top = folder or commonpath([file.parent for file in found] or [data.root])
    names_of = dict(zip(found, _identities(found, top), strict=True))
    return {
        name: NamedPhoto(names_of[file], file) if isinstance(file, Path) else file
        for name, file in list(zip(wanted, files, strict=True))[: data.limit]
    }


def find_files(names: Sequence[str], top: Path, source: Path) -> list[Path | Problem]:
    """The file of each name in the folder `top` or anywhere below it, or the problem of a name without one."""
    found = {name: file for name in dict.fromkeys(names) if (file := _as_written(top, name)) is not None}
    rest = [name for name in dict.fromkeys(names) if name not in found]
    if not rest:
        return [found[name] for name in names]
    index = PhotoIndex(top)
    alike = {name: index.find(name) for name in rest}
    only = {name: files[0] for name, files in alike.items() if len(files) == 1}
    literal = {
        name: file for name, file in only.items() if any(place.name == file.name for place in readings(name))
    }
    # A photo belongs to the name that fits it best, and to no other.
    for claims in (literal, only):
        taken, counts = set(found.values()), Counter(claims.values())
        found |= {name: file for name, file in claims.items() if file not in taken and counts[file] == 1}
    taken = set(found.values())
    unclear = {
        name: _unclear(name, [file for file in files if file not in taken], top, source)
        for name, files in alike.items()
        if name not in found
    }
    return [found.get(name) or unclear[name] for name in names]


_MISSING = "photo not found"


def _unclear(name: str, found: list[Path], top: Path, source: Path) -> Problem:
    if not found:
        return Problem.skipped(source, _MISSING, name)
    places = ", ".join(path.relative_to(top).as_posix() for path in found[:3])
    if len(found) == 1:
        return Problem.skipped(source, "one photo for several names", f"{name} and others fit {places}")
    many = counted(len(found), "photo")
    detail = f"{name} may be any of {many} ({places}): give the folder of the right ones by data.images"
    return Problem.skipped(source, "several photos of one name", detail)


def _identities(files: Sequence[Path], top: Path) -> list[str]:
    # Cutting text takes a fraction of the time of `relative_to`.
    start = f"{top.as_posix()}/"
    return [file.with_suffix("").as_posix().removeprefix(start) for file in files]


def _as_written(folder: Path, name: str) -> Path | None:
    """The photo at the very place that a name says, in a folder."""
    # Nearly all names are plain paths of files that are there; this is the fastest way to see it.
    if name and not leads_out(name) and is_file(file := folder / name):
        return file
    places = (folder / place for place in readings(name) if place.name and not leads_out(str(place)))
    return next(filter(is_file, places), None)


def _image_folder(data: Data, source: Path, names: Sequence[str], below: Sequence[str]) -> Path | None:
    some = names[:50]

    def holds(folder: Path) -> bool:
        return any(_as_written(folder, name) for name in some)

    likely = [*(data.root / name for name in below), source.parent / "images", source.parent, data.root]
    if (found := next(filter(holds, likely), None)) is not None:
        return found
    others = [path for pattern in ("*/", "*/*/") for path in data.root.glob(pattern) if holds(path)]
    return others[0] if len(others) == 1 else None


def readings(name: str) -> list[PurePosixPath]:
    """The paths that a name may mean, the most literal first."""
    literal = name.replace("\\", "/")
    places = [PurePosixPath(literal)]
    try:
        parts = urlsplit(literal)
        path = PurePosixPath(unquote(parts.path, errors="surrogateescape"))
        queries = _named_in_query(parts.query)
    except ValueError:  # no address: brackets and the like
        return places
    places += [path, *queries] if path.suffix.lower() in SUFFIXES else [*queries, path]
    return list(dict.fromkeys(places))


def _named_in_query(query: str) -> list[PurePosixPath]:
    """Photos named in the query of an address, plainly or in base 64."""
    texts = [text for _, value in parse_qsl(query) for text in (value, _from_base64(value))]
    places = [PurePosixPath(text.replace("\\", "/")) for text in texts]
    return [place for place in places if place.suffix.lower() in SUFFIXES]


def _from_base64(text: str) -> str:
    plain = text.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except ValueError:  # no code, or not one of text
        return ""


def without_upload_digits(name: str) -> str | None:
    """The last part of a name without the eight digits of Label Studio's uploads; None if it has none."""
    found = (_UPLOADED.fullmatch(place.name) for place in readings(name))
    return next((match[1] for match in found if match), None)


def folded(text: str) -> str:
    """A name without the differences that file systems make: case, and composed or decomposed accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


class PhotoIndex:
    """The photos below a folder, by their names. The folder is walked when the first name is looked up."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def find(self, name: str) -> list[Path]:
        """The photos that a name from elsewhere fits best: none, one, or several that it may be."""
        for place in readings(name):
            for paths in self._alike(place.name):
                if paths:
                    return _best(paths, place)
        return []

    def _alike(self, name: str) -> Iterator[list[Path]]:
        """Photos of a name, in fewer and fewer letters of it."""
        same = self._names.get(folded(name), [])
        yield [path for path in same if path.name == name]
        yield same
        if uploaded := _UPLOADED.fullmatch(name):
            bare = folded(uploaded[1])
            yield self._names.get(bare, [])
            yield self._spaced.get(bare, [])  # Label Studio also replaces the spaces in the name of an upload
        yield self._stems.get(_stem(name), [])

    @cached_property
    def _photos(self) -> list[Path]:
        found = []
        for folder, folders, files in walk(self._top):
            folders[:] = [name for name in folders if name[0] != "." and not _NO_PHOTOS.fullmatch(name)]
            photos = [
                name for name in files if name[0] != "." and PurePosixPath(name).suffix.lower() in SUFFIXES
            ]
            found += [Path(folder) / name if isinstance(folder, str) else folder / name for name in photos]
        return sorted(found)

    @cached_property
    def _names(self) -> dict[str, list[Path]]:
        return _grouped((folded(path.name), path) for path in self._photos)

    @cached_property
    def _spaced(self) -> dict[str, list[Path]]:
        return _grouped((folded(path.name).replace(" ", "_"), path) for path in self._photos)

    @cached_property
    def _stems(self) -> dict[str, list[Path]]:
        return _grouped((_stem(path.name), path) for path in self._photos)


def _stem(name: str) -> str:
    """A name without the suffix of a photo; other dots are part of it."""
    path = PurePosixPath(name)
    return folded(path.stem if path.suffix.lower() in SUFFIXES else name)


def _grouped(pairs: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for key, path in pairs:
        groups[key].append(path)
    return groups


def _best(paths: list[Path], place: PurePosixPath) -> list[Path]:
    """Of several paths, those whose folders agree with most of the last ones of a place."""
    if len(paths) == 1:
        return paths
    wanted = [folded(part) for part in place.parts[-2::-1]]

    def agreeing(path: Path) -> int:
        count = 0
        for own, other in zip(map(folded, path.parts[-2::-1]), wanted, strict=False):
            if own != other:
                break
            count += 1
        return count

    counts = [agreeing(path) for path in paths]
    return [path for path, count in zip(paths, counts, strict=True) if count == max(counts)]
