"""Labels in shards at an address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faulty_store import BUCKET, FaultyStore

import boxseg
from boxseg.data.toy import write_toy
from boxseg.remote.patience import StorageError

pytest.importorskip("pyarrow", reason="the extra `arrow` is not installed")

OUT = f"s3://{BUCKET}/out"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "toy"
    write_toy(root, train=6, val=2, size=80)
    return root


def label(data: Path, out: Path | str = OUT, **shards: int) -> Any:
    options = {"store": "shards", "shards": shards}
    return boxseg.label(data=str(data), out=out, method="ellipse", crf=False, progress=False, label=options)


def test_shards_there_are_gone_on_with_and_read(store: FaultyStore, toy: Path, tmp_path: Path) -> None:
    near = tmp_path / "near"
    for out in (OUT, near):
        label(toy, out)
    again = label(toy)
    assert (again.written, again.present) == (0, 6)
    found = []
    for number, source in enumerate((OUT, near)):
        boxseg.convert(
            source=str(source), out=tmp_path / str(number), format="coco", photos="none", progress=False
        )
        found.append((tmp_path / str(number) / "annotations" / "instances_train.json").read_bytes())
    assert found[0] == found[1]


def test_shards_go_there_as_they_are_filled(
    store: FaultyStore, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.plant("503", "PUT .*-00001.tar", 7)
    with pytest.raises(StorageError):
        label(toy, most_photos=2)
    monkeypatch.setenv("BOXSEG_CACHE", str(tmp_path / "elsewhere"))
    again = label(toy)
    assert (again.written, again.present) == (4, 2)
