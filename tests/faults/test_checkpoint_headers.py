"""Checkpoints with other headers or bytes than boxseg writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from boxseg.errors import CheckpointError
from boxseg.nn import checkpoint
from refusals import refused
from small_data_sets import MAKERS, photo

META = {"kind": "segmenter", "classes": ["cat"], "model": {}, "options": {}, "palette": []}
HEADERS: list[Any] = [
    *(
        None,
        7,
        [],
        {},
        {"version": 1},
        {"meta": META},
        {"version": "new", "meta": META},
        {"version": 1, "meta": []},
    ),
    *({"version": 1, "meta": {**META, "kind": kind}} for kind in (None, [], {}, "video-network", 7)),
    *(
        {"version": 1, "meta": {**META, "classes": classes}}
        for classes in (None, [], 7, [1], ["a"] * 2, list("ab") * 200)
    ),
    *(
        {"version": 1, "meta": {**META, "model": model}}
        for model in (None, [], {"new_option": 1}, {"temperature": "hot"})
    ),
    *(
        {"version": 1, "meta": {**META, "model": model}}
        for model in ({"temperature": -1}, {"backbone": []}, {"stage": 3})
    ),
    *({"version": 1, "meta": {**META, "backbone": backbone}} for backbone in (7, {"a": 1}, {"geometry": {}})),
    {"version": 1, "meta": {**META, "options": None}},
    {"version": 2, "meta": META},
    {"version": 10**30, "meta": META},
]


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_headers_of_checkpoints(header: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(3)}, file, {"boxseg": json.dumps(header)})
    photo(tmp_path / "a.jpg")
    words = ("predict", f"checkpoint={file}", f"images={tmp_path}/a.jpg", f"out={tmp_path}/out")
    assert str(file) in refused(capsys, *words)
    MAKERS["voc_loose"](tmp_path / "data")
    words = ("label", f"checkpoint={file}", f"data={tmp_path}/data", f"out={tmp_path}/out")
    assert str(file) in refused(capsys, *words)


def test_bytes_of_checkpoints(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    checkpoint.save(file, {"a": torch.ones(5, 4)}, META)
    whole = file.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    tensors = json.loads(whole[8 : 8 + length])
    deep = '{"__metadata__": {"boxseg": ' + json.dumps("[" * 9999) + "}}"
    heads = [deep, "[" * 9999, "{}", json.dumps({**tensors, "a": {**tensors["a"], "shape": [2**40, 2**40]}})]
    heads += [
        json.dumps({**tensors, "a": {**tensors["a"], "data_offsets": offsets}})
        for offsets in ([0, 10**12], [9, 3])
    ]
    for content in (b"", whole[:4], whole[:40], whole[:-3], b"\xff" * 8 + whole[8:], *map(str.encode, heads)):
        framed = (
            content
            if content in (b"",) or content[:1] not in b"{["
            else len(content).to_bytes(8, "little") + content
        )
        file.write_bytes(framed + (whole[8 + length :] if framed is not content else b""))
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            checkpoint.load(file)
