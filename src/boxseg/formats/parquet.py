"""A data set as Parquet files: what was read from annotations and headers, to be read again in seconds.

    FOLDER/photos.parquet, boxes.parquet, …    the columns of samples (`formats.sample_columns.TABLES`)
    FOLDER/problems.parquet                    the problems
    FOLDER/data.json                           all else, and digests of what it says

Nothing in it is code. Whatever is damaged is a ValueError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import write_json
from boxseg.dataset import BoxDataset, ClassChoice, Decision, Problem, Turned
from boxseg.documents import read_json
from boxseg.extras import import_extra
from boxseg.formats.columns import Texts, TextsMade
from boxseg.formats.sample_columns import TABLES, Columns
from boxseg.formats.samples import Samples, packed

_ABOUT = "data.json"
# Fields without a column that can be written: lists of ids.
_WRITABLE = ("more_image_ids", "annotation_ids", "instance_ids")
_WIDE = {"corners": 4, "crowd_corners": 4}  # values of a row
_PROBLEM = ("file", "kind", "detail", "action")
_RAW = ("choices", "sources")


def can_be_written(dataset: BoxDataset) -> bool:
    """Whether all of a data set has a place in the files; ground truth of unknown kinds has none."""
    samples = dataset.samples
    if not isinstance(samples, Samples) or samples.columns.other_regions:
        return False
    return all(set(rare) <= set(_WRITABLE) for rare in samples.columns.others.values())


def write_dataset(dataset: BoxDataset, folder: Path, notes: Mapping[str, Any]) -> None:
    """Write a data set to a folder that there is; `notes` are kept with it, as values of JSON.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    samples = dataset.samples
    assert isinstance(samples, Samples)
    if not samples.is_whole:
        samples = packed(samples)
    columns = samples.columns
    for name, names in TABLES.items():
        _write_table(folder / f"{name}.parquet", {key: getattr(columns, key) for key in names})
    texts = {name: TextsMade() for name in _PROBLEM}
    for problem in dataset.problems:
        for name, made in texts.items():
            made.add(str(getattr(problem, name)))
    _write_table(folder / "problems.parquet", {name: made.done() for name, made in texts.items()})
    about = {
        "dataset": _described(dataset),
        "folders": [str(path) for path in columns.folders],
        "mask_places": [[str(path), classes] for path, classes in columns.mask_places],
        **{name: getattr(columns, name) for name in _RAW},
        "others": {str(place): rare for place, rare in columns.others.items()},
        "notes": dict(notes),
    }
    write_json(folder / _ABOUT, {**about, "digest": _digest(about)})


def read_notes(folder: Path) -> dict[str, Any]:
    """The notes that were kept with a data set; ValueError if they are damaged."""
    notes: dict[str, Any] = _read_about(folder)["notes"]
    return notes


def read_dataset(folder: Path) -> BoxDataset:
    """The data set in a folder.

    Raises:
        ValueError: The files are damaged; other errors of pyarrow say the same.
        MissingExtraError: pyarrow is not installed.
    """
    about = _read_about(folder)
    values: dict[str, Any] = {}
    lengths = {}
    for name, names in TABLES.items():
        table = _read_table(folder / f"{name}.parquet", names)
        values |= table
        lengths[name] = len(table[names[0]]) // _WIDE.get(names[0], 1)
    columns = Columns(
        **values,
        folders=[Path(text) for text in about["folders"]],
        mask_places=[(Path(text), classes) for text, classes in about["mask_places"]],
        sources=about["sources"],
        choices=[tuple(labels) for labels in about["choices"]],
        others={int(place): _as_tuples(rare) for place, rare in about["others"].items()},
    )
    _check(columns, lengths)
    found = _read_table(folder / "problems.parquet", _PROBLEM)
    texts = ([found[name].text(place) for name in _PROBLEM] for place in range(len(found["file"])))
    problems = tuple(
        Problem(file=Path(file), kind=kind, detail=detail, action=action)
        for file, kind, detail, action in texts
    )
    return _dataset(about["dataset"], Samples(columns), problems)


def _check(columns: Columns, lengths: Mapping[str, int]) -> None:
    """Check that rows end where others begin."""
    owned = {
        "box_end": "boxes",
        "crowd_end": "crowds",
        "truth_end": "truths",
        "instance_end": "instances",
        "ignored_end": "ignored",
    }
    for end, table in owned.items():
        ends = getattr(columns, end)
        if (int(ends[-1]) if len(ends) else 0) != lengths[table]:
            raise ValueError(f"{table} of another number of photos")


def _described(dataset: BoxDataset) -> dict[str, Any]:
    """All but samples and problems, as values of JSON."""
    return {
        "root": str(dataset.root),
        "format": dataset.format,
        "split": dataset.split,
        "classes": list(dataset.classes),
        "category_ids": list(dataset.category_ids),
        "annotations": None if dataset.annotations is None else str(dataset.annotations),
        "turned": [asdict(one) for one in dataset.turned],
        "choice": None if dataset.choice is None else asdict(dataset.choice),
        "decisions": [asdict(one) for one in dataset.decisions],
    }


def _dataset(said: dict[str, Any], samples: Samples, problems: tuple[Problem, ...]) -> BoxDataset:
    choice = said["choice"]
    return BoxDataset(
        root=Path(said["root"]),
        format=said["format"],
        split=said["split"],
        classes=tuple(said["classes"]),
        samples=samples,
        problems=problems,
        category_ids=tuple(said["category_ids"]),
        annotations=None if said["annotations"] is None else Path(said["annotations"]),
        turned=tuple(Turned(**one) for one in said["turned"]),
        choice=None if choice is None else ClassChoice(**_as_tuples(choice)),
        decisions=tuple(Decision(**one) for one in said["decisions"]),
    )


def _as_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _digest(about: Mapping[str, Any]) -> str:
    said = json.dumps(about, sort_keys=True).encode()
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def _read_about(folder: Path) -> dict[str, Any]:
    about: dict[str, Any] = read_json(folder / _ABOUT)
    digest = about.pop("digest", None)
    if digest != _digest(about):
        raise ValueError(f"{_ABOUT} is not what was written")
    return about


def _arrow(module: str = "pyarrow") -> Any:
    return import_extra(module, extra="arrow", purpose="an index of a data set")


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    arrow = _arrow()
    table = arrow.table({name: _to_arrow(arrow, name, values) for name, values in columns.items()})
    _arrow("pyarrow.parquet").write_table(
        table, path, compression="lz4", use_dictionary=False, write_statistics=False, write_page_checksum=True
    )


def _to_arrow(arrow: Any, name: str, values: Any) -> Any:
    if isinstance(values, Texts):
        ends = np.concatenate([np.zeros(1, np.int64), values.ends.astype(np.int64)])
        buffers = [None, arrow.py_buffer(ends), arrow.py_buffer(values.data)]
        return arrow.LargeBinaryArray.from_buffers(arrow.large_binary(), len(values), buffers)
    if name in _WIDE:
        return arrow.FixedSizeListArray.from_arrays(arrow.array(values), _WIDE[name])
    return arrow.array(values)


def _read_table(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    file = _arrow("pyarrow.parquet").ParquetFile(path, page_checksum_verification=True)
    return {name: _from_arrow(file.read([name]).column(0), name) for name in names}


def _from_arrow(column: Any, name: str) -> Any:
    arrow = _arrow()
    kind = next((each.type for each in fields(Columns) if each.name == name), "Texts")
    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(whole, arrow.ChunkedArray):  # of no row
        whole = arrow.concat_arrays(whole.chunks or [arrow.array([], type=column.type)])
    if whole.null_count:
        raise ValueError(f"{name} lacks values")
    if kind == "Texts":
        _, places, data = whole.buffers()
        ends = np.frombuffer(places, dtype=np.int64)[whole.offset : whole.offset + len(whole) + 1]
        content = memoryview(data if data is not None else b"")[int(ends[0]) : int(ends[-1])]
        return Texts(content, _narrow(ends[1:] - ends[0]))
    return (whole.flatten() if name in _WIDE else whole).to_numpy(zero_copy_only=False)


def _narrow(ends: NDArray[np.int64]) -> NDArray[Any]:
    return ends.astype(np.min_scalar_type(int(ends[-1]) if len(ends) else 0))
