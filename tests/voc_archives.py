"""The archives of a VOC of a few photos."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from boxseg.downloads.archives import ARCHIVES, Archive

TAR, ZIP = "VOCtrainval_11-May-2012.tar", "SegmentationClassAug.zip"


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def as_published(contents: dict[str, bytes]) -> tuple[Archive, ...]:
    """The table of archives with the lengths and checksums of these, where any are published."""
    return tuple(
        replace(archive, size=len(contents[archive.file]), checksum=md5(contents[archive.file]))
        if archive.checksum
        else archive
        for archive in ARCHIVES["voc"]
    )


def states(done) -> dict[str, str]:
    return {step.name: step.state for step in done.steps}


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
