"""Masks brushed in Label Studio: its run-length code, read bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxseg.formats.label_studio_brush import decode_brush, encode_brush
from label_studio_files import brush_code


@settings(max_examples=60)
@given(st.data())
def test_brushed_masks_are_decoded(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    alpha = data.draw(
        st.lists(st.sampled_from([0, 0, 0, 255, 7]), min_size=width * height, max_size=width * height)
    )
    rgba = [value for pixel in alpha for value in ((190, 20, 3, pixel) if pixel else (0, 0, 0, 0))]
    code = brush_code(rgba, data.draw(st.lists(st.booleans(), min_size=1, max_size=4)))
    expected = np.array(alpha).reshape(height, width) > 0
    assert np.array_equal(decode_brush(code, width, height), expected)
    with pytest.raises(ValueError, match="another size"):
        decode_brush(code, width + 1, height)
    with pytest.raises(ValueError, match="ends too early"):
        decode_brush(code[:-4], width, height)


@pytest.mark.parametrize("code", [None, 5, "abc", [300], [-1], ["a"]])
def test_what_is_no_brush_code(code: Any) -> None:
    with pytest.raises(ValueError, match="without run-length code"):
        decode_brush(code, 4, 3)


@settings(max_examples=40)
@given(st.data())
def test_brushed_masks_are_coded_as_the_editor_does(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height)))
    assert encode_brush(mask.reshape(height, width)) == brush_code((mask.repeat(4) * 255).tolist(), [False])


def test_long_runs_of_a_brushed_mask() -> None:
    """More than fit into one block of the code."""
    mask = np.zeros((300, 400), bool)
    mask[100:250] = True
    code = encode_brush(mask)
    assert code == brush_code((mask.ravel().repeat(4) * 255).tolist(), [False])
    assert np.array_equal(decode_brush(code, 400, 300), mask)
