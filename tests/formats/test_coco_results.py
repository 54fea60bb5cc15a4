from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from boxseg.errors import DataError
from boxseg.formats.coco_results import decode_window, encode_mask, encode_window, read_results, write_results

reference = pytest.importorskip("pycocotools.mask")

masks = array_shapes(min_dims=2, max_dims=2, max_side=40).flatmap(lambda shape: arrays(np.bool_, shape))


@settings(max_examples=200)
@given(masks | masks.map(np.logical_not) | masks.map(np.asfortranarray))
def test_codes_are_those_of_pycocotools(mask: NDArray[np.bool_]) -> None:
    code = json.loads(json.dumps(encode_mask(mask)))
    theirs = reference.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert code == {"size": theirs["size"], "counts": theirs["counts"].decode()}
    assert np.array_equal(reference.decode({**code, "counts": code["counts"].encode()}), mask)


@settings(max_examples=300)
@given(
    masks | masks.map(np.logical_not),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_the_code_of_a_window_is_that_of_the_whole_mask(
    window: NDArray[np.bool_], left: int, top: int, right: int, bottom: int
) -> None:
    mask = np.pad(window, ((top, bottom), (left, right)))
    assert encode_window(window, left, top, mask.shape) == encode_mask(mask)


@settings(max_examples=200)
@given(masks | masks.map(np.logical_not))
def test_a_code_is_decoded_to_the_window_of_its_pixels(mask: NDArray[np.bool_]) -> None:
    window, left, top = decode_window(encode_mask(mask))
    height, width = window.shape
    around = ((top, mask.shape[0] - top - height), (left, mask.shape[1] - left - width))
    assert np.array_equal(np.pad(window, around), mask)
    if mask.any():
        assert all(edge.any() for edge in (window[0], window[-1], window[:, 0], window[:, -1]))
    else:
        assert window.size == 0


def test_a_code_that_does_not_fill_its_size_is_refused() -> None:
    code = encode_mask(np.eye(4, dtype=bool))
    with pytest.raises(ValueError, match="does not fill 4 x 5"):
        decode_window({**code, "size": [4, 5]})


@given(st.integers(0, 2), st.booleans())
def test_empty_and_full_masks(border: int, value: bool) -> None:
    mask = np.full((7, 5), value)
    mask[:border] = not value
    code = encode_mask(mask)
    assert np.array_equal(reference.decode({**code, "counts": code["counts"].encode()}), mask)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_are_read_as_written(count: int, tmp_path: Path) -> None:
    segmentation = encode_mask(np.eye(4, dtype=bool))
    results = [
        {"image_id": n, "category_id": 90, "segmentation": segmentation, "score": 0.25} for n in range(count)
    ]
    path = tmp_path / "results.json"
    assert write_results(path, iter(results)) == count
    assert json.loads(path.read_text()) == results
    assert read_results(path) == results


def test_a_failing_source_of_results_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, [])

    def broken():
        yield {"image_id": 1}
        raise DataError("damaged")

    with pytest.raises(DataError):
        write_results(path, broken())
    assert path.read_text() == "[]\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not valid JSON"),
        ("{}", "a list of objects, got a dict"),
        ("[3]", "result number 0 has no 'image_id'"),
        ('[{"image_id": [1], "category_id": 1, "segmentation": 0, "score": 1}]', r"image_id .* is \[1\]"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "has no 'segmentation'"),
    ],
)
def test_files_that_are_no_results(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_results(path)
    with pytest.raises(DataError, match="no such results file"):
        read_results(tmp_path / "nowhere.json")
