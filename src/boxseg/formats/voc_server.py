"""Results for the PASCAL VOC 2012 evaluation server: their layout, the archive to upload, and a check of both.

    results/VOC2012/Segmentation/COMP_SPLIT_cls/ID.png     8-bit palette PNG of the photo's size, labels 0..20

one for each ID of ImageSets/Segmentation/SPLIT.txt, in a .tgz with `results` at its root. COMP is comp5 for
methods trained only on VOC 2012's own train and val images, comp6 for any other training data.

Source: PASCAL VOC 2012 development kit, segmentation task (submission of results).
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from boxseg.atomic import atomic_path
from boxseg.dataset import IGNORE, VOC_CLASSES, Problem
from boxseg.errors import DataError, did_you_mean, is_damage
from boxseg.formats import voc
from boxseg.formats.images import image_size
from boxseg.progress import track

TREE = PurePosixPath("results/VOC2012/Segmentation")
_COMPETITIONS = ("comp5", "comp6")


def results_folder(out: Path, comp: str, split: str) -> Path:
    """Where the predictions of a split go below `out`."""
    return out / TREE / f"{comp}_{split}_cls"


def split_ids(root: Path, split: str) -> tuple[str, ...]:
    """The IDs that the server expects: those in ImageSets/Segmentation, not in any other list."""
    path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.txt"))
        hint = did_you_mean(split, known) or f" (there are: {', '.join(known) or 'none'})"
        raise DataError(f"no {path}, which lists the photos of a submission{hint}")
    ids = tuple(voc.read_list(root, path))
    if not ids:
        raise DataError(f"{path} lists no photo")
    return ids


def pack(out: Path, archive: Path) -> None:
    """Write the tree `out`/results to a .tgz, atomically; the same files give the same bytes."""
    files = sorted(path for path in (out / TREE.parts[0]).rglob("*") if path.is_file())
    with (
        atomic_path(archive) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for file in track(files, "pack"):
            content = file.read_bytes()
            member = tarfile.TarInfo(file.relative_to(out).as_posix())
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))


def check_results(results: Path, root: Path, split: str = "test") -> list[Problem]:
    """Everything that would make the server refuse results or score them wrong.

    Args:
        results: The archive (.tgz, .tar), the folder `results`, or the folder it is in.
        root: VOC 2012, with JPEGImages and ImageSets/Segmentation.
        split: Name of the list there.

    Returns:
        Missing and unexpected files, wrong formats, modes and sizes, and labels outside 0..20, by their paths
        in the archive and in its order.

    Raises:
        DataError: There are no results or no such data set, or the archive is damaged.
    """
    root, results = voc.find_root(root.expanduser()) or root, results.expanduser()
    if not results.exists():
        raise DataError(f"{results}: no such archive or folder of results")
    ids = split_ids(root, split)
    wanted = {TREE / f"{comp}_{split}_cls" / f"{name}.png": name for comp in _COMPETITIONS for name in ids}
    seen: Counter[PurePosixPath] = Counter()
    problems: list[Problem] = []
    for path, content in track(_entries(results), "check", total=len(ids)):
        seen[path] += 1
        if path not in wanted:
            problems.append(_problem(path, "unexpected file", "to be removed"))
        elif seen[path] > 1:
            problems.append(_problem(path, "second file of this name", "to be removed"))
        else:
            faults = _faults(content, _photo_size(root, wanted[path]))
            problems += [_problem(path, kind, "to be written again", detail) for kind, detail in faults]
    return problems + _missing(seen, ids, split)


def _missing(seen: Mapping[PurePosixPath, int], ids: tuple[str, ...], split: str) -> list[Problem]:
    folders = [TREE / f"{comp}_{split}_cls" for comp in _COMPETITIONS]
    there = [folder for folder in folders if any(path.parent == folder for path in seen)]
    if not there:
        expected = f"expected {folders[0].name} or {folders[1].name}"
        return [_problem(TREE, "no predictions", "to be added", expected)]
    wanted = (folder / f"{name}.png" for folder in there for name in ids)
    return [_problem(path, "missing", "to be added") for path in wanted if path not in seen]


def _problem(path: PurePosixPath, kind: str, action: str, detail: str = "") -> Problem:
    return Problem(file=Path(path), kind=kind, detail=detail, action=action)


def _entries(results: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    if results.is_dir():
        base = results.parent if results.name == TREE.parts[0] else results
        for path in sorted((base / TREE.parts[0]).rglob("*")):
            if not path.is_dir():
                yield (
                    PurePosixPath(path.relative_to(base).as_posix()),
                    path.read_bytes() if path.is_file() else b"",
                )
        return
    try:
        with tarfile.open(results) as tar:
            for member in tar:
                if not member.isdir():
                    file = tar.extractfile(member) if member.isfile() else None
                    name = re.sub(r"^(\./)+", "", member.name)
                    yield PurePosixPath(name), file.read() if file else b""
            while tar.fileobj is not None and tar.fileobj.read(1 << 20):
                pass  # read on to the checksum at the end, which tar does not read
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{results}: damaged, or not a tar archive ({reason})") from error


def _photo_size(root: Path, name: str) -> tuple[int, int] | None:
    photo = voc.photo_file(root, name)
    try:
        return image_size(photo) if photo else None
    except DataError:
        return None


def _faults(content: bytes, size: tuple[int, int] | None) -> Iterator[tuple[str, str]]:
    """Kind and detail of what is wrong with a prediction for a photo of this (width, height)."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            file_format, mode, found = image.format, image.mode, image.size
            values = np.asarray(image)
    except Exception as error:
        if not is_damage(error):
            raise
        yield "unreadable image", ""
        return
    if file_format != "PNG":
        yield "format", f"{file_format}, expected PNG"
    if mode != "P":
        yield "mode", f"{mode}, expected P, an 8-bit palette"
    if size is not None and found != size:
        yield "size", "{} x {}, the photo is {} x {}".format(*found, *size)
    if values.ndim == 2:
        for value, count in zip(*np.unique(values, return_counts=True), strict=True):
            if value == IGNORE:
                yield "ignored pixels", f"255 in {count} pixels, the server wants a class for each"
            elif not 0 <= value <= len(VOC_CLASSES):
                yield "label out of range", f"{value} in {count} pixels, expected 0..20"
