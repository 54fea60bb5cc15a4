"""Shards: what is written comes back, also by other readers; newer results count."""

from __future__ import annotations

import io
import json
import multiprocessing
import pickle
import shutil
import tarfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from boxseg.errors import DataError
from boxseg.shards import shard_file
from boxseg.shards.find import home_of
from boxseg.shards.shards import ShardHome
from shard_files import NAMES, SIZE, assert_holds, results_of, rows, tars, write_shards
from simulated_disk import lose_power_everywhere

pytest.importorskip("pyarrow.parquet", reason="the extra `arrow` is not installed")


def tables(folder: Path) -> list[Path]:
    return sorted((folder / "masks").iterdir())


def test_results_come_back_and_are_kept_by_shards(home: ShardHome) -> None:
    assert write_shards(home, NAMES) == [NAMES[:3], NAMES[3:6], NAMES[6:]]
    home.end()
    assert len(tars(home.folder)) == 3
    assert_holds(home.folder, NAMES)
    found = home_of(home.folder)
    assert not found.item("labels", "absent").is_file()
    assert not found.item("y_crf", "a").is_file()
    assert (found.has("a", ["labels", "masks"]), found.has("a", ["labels", "y_crf"])) == (True, False)
    assert (found.has_kind("masks"), found.has_kind("instances")) == (True, False)
    for kind, name in (("labels", "absent"), ("y_crf", "a")):
        with pytest.raises(DataError, match=rf"shards.*{name}"):
            found.item(kind, name).read_bytes()


def test_a_shard_is_closed_at_its_size(tmp_path: Path) -> None:
    home = ShardHome(tmp_path, size=9000).begin()
    kept = write_shards(home, NAMES)
    assert [name for names in kept for name in names] == NAMES
    sizes = [path.stat().st_size for path in tars(tmp_path)]
    assert len(sizes) == len(kept) > 2
    assert all(size >= 9000 for size in sizes[:-1])
    assert_holds(tmp_path, NAMES)


def test_tarfile_reads_the_same(home: ShardHome) -> None:
    write_shards(home, NAMES)
    for path, names in zip(tars(home.folder), (NAMES[:3], NAMES[3:6], NAMES[6:]), strict=True):
        with tarfile.open(path) as tar:
            members = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
        said = [
            json.loads(content)
            for name, content in members.items()
            if name.count(".") == 1 and name.endswith(".json")
        ]
        assert [photo["id"] for photo in said] == names
        assert [name for name in members if name.startswith("__")] == ["__index__", "__end__"]


def test_webdataset_reads_the_same(home: ShardHome) -> None:
    webdataset = pytest.importorskip("webdataset")
    write_shards(home, NAMES)
    found = list(webdataset.WebDataset([str(path) for path in tars(home.folder)], shardshuffle=False))
    assert [json.loads(sample["json"])["id"] for sample in found] == NAMES
    for sample, name in zip(found, NAMES, strict=True):
        results = results_of(name)[0]
        read = {key: content for key, content in sample.items() if not key.startswith("__")}
        del read["json"]
        assert read == {
            "png": results["labels"],
            "confidence.png": results["confidence"],
            "masks.json": results["masks"],
        }


def test_parquet_has_the_masks_of_the_boxes(home: ShardHome) -> None:
    write_shards(home, NAMES)
    home.end()
    found = rows(home.folder)
    assert len(found) == 2 * len(NAMES)
    photos = {str(row["photo"]) for row in found}
    assert {"sub/b.c", "é", "x" * 150, r"\udcff"} < photos
    for row in found:
        if row["photo"] not in NAMES:
            continue
        masks = json.loads(results_of(str(row["photo"]))[0]["masks"])
        code = {"size": [row["height"], row["width"]], "counts": row["counts"]}
        expected = coco_mask.decode(masks[row["box"]]["segmentation"])
        np.testing.assert_array_equal(coco_mask.decode(code), expected)
        assert row["area"] == expected.sum()
        assert (row["height"], row["width"]) == SIZE
        assert (row["x1"], row["y1"], row["x2"], row["y2"]) == (0.0, 1.5, 5.0, 6.0)
        assert (row["image_id"], row["annotation_id"]) == ("7", str(row["box"]))
        assert (home.place / str(row["shard"])).is_file()


def test_parquet_that_is_gone_is_made_again_and_one_without_a_shard_goes(home: ShardHome) -> None:
    write_shards(home, NAMES)
    before, table = rows(home.folder), tables(home.folder)[1]
    content = table.read_bytes()
    table.rename(table.with_name("0009-000000000000-00000.parquet"))
    home.end()
    assert table.read_bytes() == content
    assert rows(home.folder) == before


def test_newer_results_count_and_older_ones_are_taken_out(home: ShardHome) -> None:
    write_shards(home, NAMES)
    again = ShardHome(home.folder).begin()
    write_shards(again, ["é", "a"], version=1)
    for _ in ("before", "after"):  # the older results are taken out
        assert_holds(home.folder, ["é", "a"], version=1)
        assert_holds(home.folder, [name for name in NAMES if name not in ("é", "a")])
        again.end()
    photos = [json.loads(line)["id"] for path in tars(home.folder) for line in facts_in(path)]
    assert sorted(photos) == sorted(NAMES)
    assert len(rows(home.folder)) == 2 * len(NAMES)


def facts_in(path: Path) -> list[bytes]:
    """KEY.json of all photos of a shard."""
    with tarfile.open(path) as tar:
        return [
            tar.extractfile(info).read()  # type: ignore[union-attr]
            for info in tar
            if info.name.endswith(".json") and not info.name.endswith("masks.json")
        ]


def test_a_chunk_that_was_done_twice_is_there_once(home: ShardHome) -> None:
    write_shards(home, NAMES)
    write_shards(home, NAMES)
    write_shards(home, NAMES[:2])
    assert_holds(home.folder, NAMES)
    assert len(tars(home.folder)) == 7
    home.end()
    assert_holds(home.folder, NAMES)
    assert sum(len(facts_in(path)) for path in tars(home.folder)) == len(NAMES)


def test_a_late_worker_of_an_earlier_command_does_not_win(home: ShardHome) -> None:
    later = ShardHome(home.folder).begin()
    write_shards(later, ["a"], version=1)  # of no shard yet: of the same generation
    third = ShardHome(home.folder).begin()
    write_shards(third, ["a"], version=2)
    write_shards(home, ["a"], version=0)
    assert_holds(home.folder, ["a"], version=2)


def test_what_is_done_is_kept_when_the_work_fails(home: ShardHome) -> None:
    kept: list[list[str]] = []

    def interrupted() -> None:
        with home.writer(kept.append) as writer:
            for name in NAMES[:5]:
                writer.keep(name, writer.write(name, results_of(name)[0], lambda: results_of("a")[1]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert kept == [NAMES[:3], NAMES[3:5]]
    assert_holds(home.folder, NAMES[:5])


def test_a_full_disk_leaves_nothing_half_written(home: ShardHome, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shard_file.ShardFile.add

    def full(self: shard_file.ShardFile, name: str, members: dict[str, bytes]) -> None:
        if name == NAMES[4]:
            raise OSError(28, "No space left on device")
        real(self, name, members)

    monkeypatch.setattr(shard_file.ShardFile, "add", full)
    with pytest.raises(OSError, match="No space left"):
        write_shards(home, NAMES)
    assert_holds(home.folder, NAMES[:3])
    assert len(list(home.place.iterdir())) == 2  # with run.json
    assert len(tables(home.folder)) == 1


def read_all(home: ShardHome) -> list[bytes]:
    return [home.item("labels", name).read_bytes() for name in NAMES]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same(method: str, home: ShardHome) -> None:
    write_shards(home, NAMES)
    found = home_of(home.folder)
    assert isinstance(found, ShardHome)
    expected = read_all(found)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(read_all, [found] * 4)) == [expected] * 4
    # The index is not sent along: it may be large.
    assert len(pickle.dumps(found)) < 1000


def test_threads_read_many_shards_with_few_open_files(tmp_path: Path) -> None:
    home = ShardHome(tmp_path, photos=1).begin()
    names = [f"p{number}" for number in range(80)]
    write_shards(home, names)
    found = home_of(tmp_path)
    shard_file.forget_files()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda name: found.item("labels", name).read_bytes(), 5 * names))
    assert read == 5 * [results_of(name)[0]["labels"] for name in names]
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 32
    shard_file.forget_files()


def test_large_members_are_read_alone(home: ShardHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a photo with large maps, no more than what is asked for, and the headers before it."""
    big = bytes(1 << 20)
    with home.writer(lambda _: None) as writer:
        results = {"labels": b"small", "confidence": big, "masks": b"[]"}
        facts = {"image_id": 1, "height": 1, "width": 1, "boxes": []}
        writer.keep("a", writer.write("a", results, lambda: facts))
    read: list[int] = []
    real = shard_file._Reader.read
    monkeypatch.setattr(
        shard_file._Reader,
        "read",
        lambda self, offset, size: read.append(size) or real(self, offset, size),  # type: ignore[func-returns-value]
    )
    found = home_of(home.folder)
    assert found.item("masks", "a").read_bytes() == b"[]"
    assert sum(read) < 3000
    assert found.item("confidence", "a").read_bytes() == big


def test_an_index_finds_photos_as_a_dictionary_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    home = ShardHome(tmp_path, photos=7).begin()
    newest: dict[str, int] = {}
    for version in range(3):
        names = [f"photo {number}" for number in rng.permutation(60)[:40]]
        write_shards(home, names, version)
        newest |= dict.fromkeys(names, version)
        home = ShardHome(tmp_path, photos=7).begin()
    for name, version in newest.items():
        assert_holds(tmp_path, [name], version)
    found = home_of(tmp_path)
    assert not any(found.has(f"photo {number}", []) for number in range(60, 90))
    home.end()
    for name, version in newest.items():
        assert_holds(tmp_path, [name], version)
    assert len(rows(tmp_path)) == 2 * len(newest)


def test_photos_with_other_results_are_in_another_shard(home: ShardHome) -> None:
    with home.writer(lambda _: None) as writer:
        for number, name in enumerate(NAMES[:4]):
            results, facts = results_of(name)
            more = {"instances": b"{}"} if number % 2 else {}
            writer.keep(name, writer.write(name, {**results, **more}, lambda facts=facts: facts))  # type: ignore[misc]
    found = home_of(home.folder)
    assert [found.has(name, ["instances"]) for name in NAMES[:4]] == [False, True, False, True]
    assert found.item("instances", NAMES[3]).read_bytes() == b"{}"


def test_a_damaged_name_of_the_run_is_one_line(home: ShardHome) -> None:
    write_shards(home, ["a"])
    (home.place / "run.json").write_text("[")
    with pytest.raises(DataError, match=r"run\.json.*remove it and label again"):
        home_of(home.folder).has("a", [])
    (home.place / "run.json").unlink()
    assert_holds(home.folder, ["a"])
    again = home_of(home.folder).begin()
    write_shards(again, ["b"])
    assert_holds(home.folder, ["a", "b"])


def test_tars_end_as_any_reader_expects(home: ShardHome) -> None:
    write_shards(home, ["a"])
    content = tars(home.folder)[0].read_bytes()
    assert content.endswith(bytes(1024))
    assert len(content) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|") as stream:  # never back
        assert len(list(stream)) == 6


def test_later_generations_count_however_many_there_were(home: ShardHome) -> None:
    for generation in (10_000, 9_999):
        later = replace(home, generation=generation)
        write_shards(later, ["a"], version=generation)
    assert_holds(home.folder, ["a"], version=10_000)
    assert home_of(home.folder).begin().generation == 10_001  # type: ignore[attr-defined]


def test_what_is_kept_survives_a_loss_of_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any write of the disk: whatever was said to be kept can be read, and nothing wrong is."""
    kept: list[list[str]] = []

    def work(folder: Path) -> None:
        kept.append([])
        home = ShardHome(folder, photos=2).begin()
        with home.writer(kept[-1].extend) as writer:
            for name in NAMES[:5]:
                results, facts = results_of(name)
                writer.keep(name, writer.write(name, results, lambda facts=facts: facts))  # type: ignore[misc]

    def check(files: dict[Path, bytes]) -> None:
        after = tmp_path / "after"
        shutil.rmtree(after, ignore_errors=True)
        for path, content in files.items():
            (after / path).parent.mkdir(parents=True, exist_ok=True)
            (after / path).write_bytes(content)
        found = home_of(after)
        assert all(found.has(name, ["labels", "masks"]) for name in kept[-1])
        for name in NAMES[:5]:
            if found.item("labels", name).is_file():
                assert found.item("labels", name).read_bytes() == results_of(name)[0]["labels"]

    losses = lose_power_everywhere(work, check, tmp_path, monkeypatch)
    assert kept[-1] == NAMES[:5]
    assert losses >= 20  # three writes for each of two files of three shards, and of run.json
