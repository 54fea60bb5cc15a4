"""Names of classes that are worth a look."""

from __future__ import annotations

from collections.abc import Iterator

from boxseg.dataset import BACKGROUND_NAME, BoxDataset, Problem


def class_remarks(dataset: BoxDataset) -> list[Problem]:
    """Names that people would not expect; they are kept, as they may be meant."""
    return [*_doubtful(dataset), *_alike(dataset)]


def _alike(dataset: BoxDataset) -> Iterator[Problem]:
    """Names that people read as one."""
    groups: dict[str, list[str]] = {}
    for name in dataset.classes:
        groups.setdefault(" ".join(name.split()).casefold(), []).append(name)
    for names in groups.values():
        if len(names) > 1:
            detail = ", ".join(map(repr, names))
            kind = "classes that differ only in case or blanks"
            action = "kept as different classes"
            yield Problem(file=dataset.root, kind=kind, detail=detail, action=action)


def _doubtful(dataset: BoxDataset) -> Iterator[Problem]:
    """A class called like the background is one of objects here; labels are 0 outside all boxes."""
    for number, name in enumerate(dataset.classes, start=1):
        if name.strip().lower() == BACKGROUND_NAME:
            yield Problem(
                file=dataset.annotations or dataset.root,
                kind="class has the name of the background",
                detail=f"{name!r}, number {number}",
                action="kept as a class of objects",
            )
