"""Formats that boxseg does not read, by their marks: so that an error names the one at hand, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from boxseg.formats.files import is_file, listed
from boxseg.formats.split_files import head

_OWN_READER = "convert it to COCO, VOC or YOLO, or write a reader for it (docs/extending.md)"
_EXPORT = "export it as COCO, YOLO or Pascal VOC instead"
_BY_FIFTYONE = "convert it to COCO, for example with FiftyOne"

# Files of a pattern that are looked into: those of a data set are alike.
_FILES = 20

_JSON = ("*.json", "*/*.json", "*/*/*.json")
_CSV = ("*.csv", "*/*.csv")


@dataclass(frozen=True, kw_only=True)
class _Format:
    """A format and how to know it.

    Attributes:
        name: Its name, after "looks like".
        files: Patterns of its files, from the folder of the data set.
        marks: All of these stand at the beginning of a file.
        advice: What to do.
    """

    name: str
    files: tuple[str, ...]
    marks: tuple[bytes, ...] = ()
    advice: str = _OWN_READER


# The surest signs first.
_FORMATS = (
    _Format(
        name="VGG Image Annotator's own JSON",
        files=_JSON,
        marks=(b'"shape_attributes"', b'"region_attributes"'),
        advice="export it as COCO instead",
    ),
    _Format(
        name="CreateML",
        files=_JSON,
        marks=(b'"annotations"', b'"coordinates"', b'"image"'),
        advice="export it as COCO instead",
    ),
    _Format(name="BDD100K", files=_JSON, marks=(b'"box2d"', b'"category"'), advice=_BY_FIFTYONE),
    _Format(name="Supervisely's own JSON", files=_JSON, marks=(b'"classTitle"',), advice=_EXPORT),
    _Format(
        name="VoTT's own JSON", files=_JSON, marks=(b'"asset"', b'"regions"'), advice="export it as Pascal VOC"
    ),
    _Format(name="Labelbox's own JSON", files=("*.ndjson", *_JSON), marks=(b'"data_row"',), advice=_EXPORT),
    _Format(name="SageMaker Ground Truth", files=("*.manifest", "*/*.manifest"), marks=(b'"source-ref"',)),
    _Format(
        name="an image folder of Hugging Face datasets",
        files=("metadata.jsonl", "*/metadata.jsonl"),
        marks=(b'"file_name"',),
    ),
    _Format(
        name="VGG Image Annotator's own CSV",
        files=_CSV,
        marks=(b"region_shape_attributes",),
        advice="export it as COCO instead",
    ),
    _Format(
        name="Label Studio's CSV",
        files=_CSV,
        marks=(b"annotation_id", b"lead_time"),
        advice="export it as JSON",
    ),
    _Format(name="KITTI", files=("label_2/*.txt", "*/label_2/*.txt"), advice=_BY_FIFTYONE),
    _Format(name="DOTA", files=("labelTxt*/*.txt", "*/labelTxt*/*.txt")),
    _Format(
        name="TFRecords", files=("*.tfrecord*", "*/*.tfrecord*"), advice="take an export to COCO or Pascal VOC"
    ),
    _Format(
        name="a table with other columns than those of boxes",
        files=_CSV,
        advice="name these filename, xmin, ymin, xmax, ymax, class",
    ),
)


def unsupported(root: Path) -> str:
    """What a folder of no known format looks like, and what to do; empty if that cannot be told."""
    for kind in _FORMATS:
        for pattern in kind.files:
            for file in islice(sorted(listed(root, pattern)), _FILES):
                if _has_marks(file, kind):
                    return _sentence(file.relative_to(root), kind)
    return ""


def unsupported_json(path: Path) -> str:
    """The same for a JSON file."""
    found = (kind for kind in _FORMATS if _JSON[0] in kind.files and _has_marks(path, kind))
    return next((_sentence(path, kind) for kind in found), "")


def _sentence(file: Path, kind: _Format) -> str:
    return f"{file} looks like {kind.name}, which boxseg does not read: {kind.advice}"


def _has_marks(path: Path, kind: _Format) -> bool:
    if not kind.marks:
        return is_file(path)
    start = head(path)
    if _JSON[0] in kind.files and b'"categories"' in start:  # COCO, which may have any other key
        return False
    return all(mark in start for mark in kind.marks)
