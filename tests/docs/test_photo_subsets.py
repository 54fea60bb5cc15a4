"""The script that makes the lists of photos of docs/training.md."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import photo_subsets
from boxseg import formats
from boxseg.config import Data
from boxseg.data.toy import write_toy


@given(st.lists(st.frozensets(st.sampled_from("abcd"), min_size=1), min_size=1, max_size=12))
def test_each_next_photo_has_a_class_that_was_shown_least(classes: list[frozenset[str]]) -> None:
    photos = {str(place): labels for place, labels in enumerate(classes)}
    order = photo_subsets.spread(photos)
    assert sorted(order) == sorted(photos)
    for place, photo in enumerate(order):
        shown = Counter(label for earlier in order[:place] for label in photos[earlier])
        rarest = min(shown[label] for later in order[place:] for label in photos[later])
        assert min(shown[label] for label in photos[photo]) == rarest


def test_the_first_photos_show_all_classes() -> None:
    photos = {str(n): frozenset({"abcde"[max(0, n - 95)]}) for n in range(100)}
    assert {label for photo in photo_subsets.spread(photos)[:5] for label in photos[photo]} == set("abcde")


def test_two_sets_become_one_folder_with_lists(tmp_path: Path) -> None:
    first, second, out = tmp_path / "first", tmp_path / "second", tmp_path / "out"
    write_toy(first, train=6, val=2, size=64, seed=1)
    write_toy(second, train=5, val=0, size=64, seed=2)
    for file in [*second.glob("*/train_*")]:
        file.rename(file.with_name(file.name.replace("train_", "more_")))
    lists = second / "ImageSets" / "Segmentation"
    (lists / "train_aug.txt").write_text((lists / "train.txt").read_text().replace("train_", "more_"))
    for root in (first, second):
        if (root / "SegmentationClass").is_dir():
            shutil.copytree(root / "SegmentationClass", root / "SegmentationClassAug", dirs_exist_ok=True)

    photo_subsets.main([str(first), str(second), str(out)])

    loaded = {split: formats.load(Data(root=out, split=split)) for split in ("all", "t11", "t1000", "val")}
    assert [len(dataset) for dataset in loaded.values()] == [11, 11, 11, 2]
    assert {sample.id for sample in loaded["all"].samples} == {sample.id for sample in loaded["t11"].samples}
    assert not any(dataset.problems for dataset in loaded.values())


def test_a_missing_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy(tmp_path / "first", train=2, val=1, size=64, seed=1)
    with pytest.raises(SystemExit) as ended:
        photo_subsets.main([str(tmp_path / "first"), str(tmp_path / "nowhere"), str(tmp_path / "out")])
    assert ended.value.code == 2
    assert f"{tmp_path}/first/SegmentationClassAug is not there" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
