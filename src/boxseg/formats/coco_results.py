"""COCO results: a JSON list of {image_id, category_id, segmentation, score}, masks as run-length codes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import atomic_path
from boxseg.dataset import BoxDataset, Sample
from boxseg.documents import read_json
from boxseg.errors import DataError
from boxseg.formats import run_lengths
from boxseg.formats.boxes import mask_bounds
from boxseg.formats.components import filled

CocoResult = dict[str, Any]

_KEYS = ("image_id", "category_id", "segmentation", "score")


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The compressed COCO run-length code of a mask (H, W), its counts as text."""
    return _as_text(run_lengths.encode(mask))


def encode_window(window: NDArray[np.bool_], left: int, top: int, size: tuple[int, int]) -> dict[str, Any]:
    """The code of a mask of `size` (H, W) that is false outside a window (h, w).

    Time grows with the window, not the mask; `left` and `top` are the window's first column and row there.
    """
    height, width = size
    # COCO's runs go down the columns; here each ends at the window's edge at the latest.
    edges = np.diff(np.pad(window.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    starts, stops = (
        (left + column) * height + top + row for column, row in (np.nonzero(edges == sign) for sign in (1, -1))
    )
    # If the window is as high as the mask, a run may continue in the next column.
    goes_on = starts[1:] == stops[:-1]
    starts, stops = np.delete(starts, np.flatnonzero(goes_on) + 1), np.delete(stops, np.flatnonzero(goes_on))
    borders = np.column_stack([starts, stops]).ravel()
    counts = np.diff(np.concatenate([[0], borders, [height * width]]))
    counts = counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts
    code = {"size": [height, width], "counts": counts.tolist()}
    return _as_text(run_lengths.from_counts(code, height, width))


def decode_window(code: dict[str, Any]) -> tuple[NDArray[np.bool_], int, int]:
    """The mask of a compressed code, cut to the window around its pixels, and the window's left and top.

    The window of an empty mask is empty. It takes time with the columns of the window only.

    Raises:
        ValueError: The runs do not fill the mask.
    """
    height, width = code["size"]
    counts = code["counts"].encode() if isinstance(code["counts"], str) else code["counts"]
    ends = np.cumsum(run_lengths.runs({"size": [height, width], "counts": counts}))
    if ends[-1:].tolist() != [height * width]:
        raise ValueError(f"run-length code that does not fill {height} x {width} pixels")
    last = ends[1::2]
    first = ends[::2][: len(last)]
    if not len(last) or (first == last).all():
        return np.zeros((0, 0), dtype=bool), 0, 0
    left, right = int(first[0]) // height, (int(last[-1]) - 1) // height + 1
    columns = filled(first - left * height, last - left * height, (right - left) * height)
    mask = columns.reshape(right - left, height).T
    left_out, top, end, bottom = mask_bounds(mask)
    return np.ascontiguousarray(mask[top:bottom, left_out:end]), left + left_out, top


def _as_text(code: dict[str, Any]) -> dict[str, Any]:
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}


def write_results(path: Path, results: Iterable[CocoResult]) -> int:
    """Write results atomically as they come, one per line; return their number."""
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for result in results:
            file.write(",\n" if count else "[\n")
            file.write(json.dumps(result, separators=(",", ":")))
            count += 1
        file.write("\n]\n" if count else "[]\n")
    return count


def read_results(path: Path) -> list[CocoResult]:
    """Read results with masks; of a COCO data set, the annotations that have a score.

    Raises:
        DataError: The file is missing or does not hold such a list.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such results file, expected COCO results (JSON)")
    results = read_json(path)
    if isinstance(results, dict) and isinstance(results.get("annotations"), list):  # masks.json, a data set
        results = [item for item in results["annotations"] if isinstance(item, dict) and "score" in item]
    if not isinstance(results, list):
        raise DataError(f"{path}: expected COCO results, a list of objects, got a {type(results).__name__}")
    for number, result in enumerate(results):
        missing = [key for key in _KEYS if not isinstance(result, dict) or key not in result]
        if missing:
            raise DataError(
                f"{path}: result number {number} has no {missing[0]!r}, expected {', '.join(_KEYS)}"
            )
        for key in ("image_id", "category_id"):
            if not isinstance(result[key], (int, str)):
                raise DataError(f"{path}: {key} of result number {number} is {result[key]!r}, expected an id")
    return results


def image_numbers(dataset: BoxDataset) -> dict[str, int]:
    """Numbers of images by the samples' ids: those that they have in COCO data, else from 1."""
    known = {sample.id: sample.image_id for sample in dataset.samples}
    if all(isinstance(number, int) for number in known.values()):
        return {name: int(number) for name, number in known.items() if number is not None}
    return {sample.id: number for number, sample in enumerate(dataset.samples, start=1)}


def image_id(sample: Sample) -> int | str:
    """The image's ID in COCO results."""
    return sample.id if sample.image_id is None else sample.image_id
