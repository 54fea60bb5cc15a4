"""`label.store=shards`, as users type it: the same results as in files, to every verb that reads them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.formats import load
from boxseg.shards.find import home_of
from correction_files import save_corrections
from shard_files import tars

parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `arrow` is not installed")

ELLIPSE = ("method=ellipse", "label.crf.iterations=1")
# By kind; of a classifier.
KINDS = ("labels", "masks", "confidence", "reliable", "y_crf", "y_ret", "instances")
SMALL = ("label.store=shards", "label.shards.most_photos=3")


def results(folder: Path) -> dict[str, bytes]:
    """All results of single photos, by what their files are or would be called."""
    home, ids = home_of(folder), [json.loads(line)["id"] for line in (folder / "provenance.jsonl").open()]
    items = {f"{kind}/{name}": home.item(kind, name) for kind in KINDS for name in sorted(ids)}
    return {name: item.read_bytes() for name, item in items.items() if item.is_file()}


@pytest.fixture(scope="module")
def both(toy: Path, tmp_path_factory: pytest.TempPathFactory, miniature: tuple[str, ...], boxseg) -> Path:  # type: ignore[no-untyped-def]
    """Labels of a classifier in files/ and in shards/, of three shards and one photo."""
    folder = tmp_path_factory.mktemp("both")
    words = [word for word in miniature if word.startswith(("classify.", "trainer."))]
    boxseg("classify", f"data={toy}", f"out={folder}/c", "model.weights=none", *words)
    label = ["label", f"data={toy}", f"checkpoint={folder}/c", "label.crf.iterations=2", "label.instances=true"]
    boxseg(*label, f"out={folder}/files")
    said = boxseg(*label, f"out={folder}/shards", *SMALL)
    assert "No masks.json with label.store=shards: `boxseg convert" in said.stdout
    return folder


def test_every_result_has_the_bytes_of_its_file(both: Path) -> None:
    expected = results(both / "files")
    assert results(both / "shards") == expected
    assert len(expected) == 10 * len(KINDS)
    assert len(tars(both / "shards")) == 4
    for name in ("metrics.json", "confusion.json", "mask-counts.json", "labelmap.json"):
        assert (both / "shards" / name).read_bytes() == (both / "files" / name).read_bytes()
    own = {path.name for path in (both / "shards").iterdir()}
    assert own == {
        "config.yaml", "versions.json", "provenance.jsonl", "labelmap.json", "metrics.json", "confusion.json",
        "mask-counts.json", "shards", "masks",
    }  # fmt: skip


def test_parquet_has_what_masks_json_has(both: Path, toy: Path) -> None:
    """Its masks are those before the clean-up, as in masks/ID.json."""
    found = parquet.read_table(both / "shards" / "masks").to_pylist()
    samples = {sample.id: sample for sample in load(Data(root=toy)).samples}
    assert sorted((row["photo"], row["box"]) for row in found) == sorted(
        (name, place) for name, sample in samples.items() for place in range(len(sample.boxes))
    )
    for row in found:
        mask = json.loads((both / "files" / "masks" / f"{row['photo']}.json").read_text())[row["box"]]
        sample = samples[row["photo"]]
        assert mask["segmentation"] == {"size": [row["height"], row["width"]], "counts": row["counts"]}
        assert (mask["score"], mask["source"]) == (row["score"], row["source"])
        assert [row[edge] for edge in ("x1", "y1", "x2", "y2")] == sample.boxes[row["box"]].tolist()
        assert row["class"] == sample.labels[row["box"]]


@pytest.mark.parametrize(
    "options",
    ["format=coco maps=true", "format=masks which=agreed", "format=voc which=y_ret", "format=yolo-seg"],
)
def test_convert_writes_the_same(options: str, both: Path, tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    for name in ("files", "shards"):
        boxseg("convert", both / name, tmp_path / name, *options.split())
    first = {path.relative_to(tmp_path / "files"): path for path in files_below(tmp_path / "files")}
    assert len(first) > 10
    for relative, path in first.items():
        assert (tmp_path / "shards" / relative).read_bytes() == path.read_bytes(), relative
    assert len(first) == len(list(files_below(tmp_path / "shards")))


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("labels", ["{}", "{}/y_crf"])
def test_scores_are_the_same(labels: str, both: Path, toy: Path, tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    for name in ("files", "shards"):
        words = [f"labels={labels.format(both / name)}", f"data={toy}", f"out={tmp_path}/{name}"]
        boxseg("evaluate", *words)
    assert (tmp_path / "shards/metrics.json").read_bytes() == (tmp_path / "files/metrics.json").read_bytes()
    assert not (both / "shards" / "y_crf").exists()


def test_masks_of_objects_have_the_same_scores(both: Path, toy: Path, tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    """As masks.json has them, cleaned up, and those of both labels; by `label` itself and by `evaluate`."""
    boxseg("label", f"data={toy}", *ELLIPSE, f"out={tmp_path}/truth", "scores=false")
    data = [f"data.root={tmp_path}/truth/masks.json", f"data.images={toy}/JPEGImages"]
    label = ["label", *data, f"checkpoint={both}/c", "label.crf.iterations=2", "label.instances=true"]
    for name, more in (("files", ()), ("shards", SMALL)):
        out = tmp_path / name
        boxseg(*label, "masks.min_component=0.5", "masks.fill_holes=inf", f"out={out}", *more)
        boxseg("evaluate", f"instances={out}", *data, f"out={out}-scores")
    for file in ("{}/metrics.json", "{}-scores/metrics.json"):
        first, second = (json.loads((tmp_path / file.format(name)).read_text()) for name in ("files", "shards"))
        assert first == second
        assert {"masks", "y_crf", "y_ret", "whole_box"} <= set(first.get("instances", first))
    rows = parquet.read_table(tmp_path / "shards" / "masks").to_pylist()
    known = json.loads((tmp_path / "truth/masks.json").read_text())
    images = {entry["id"]: entry["image_id"] for entry in known["annotations"]}
    assert {int(row["annotation_id"]): int(row["image_id"]) for row in rows} == images
    other = boxseg("evaluate", f"instances={both}/shards", *data, check=False)
    assert other.returncode == 2
    assert "none of the" in other.stderr


def test_a_network_learns_the_same(both: Path, toy: Path, tmp_path: Path, miniature, boxseg) -> None:  # type: ignore[no-untyped-def]
    """By loading processes, which have the shards from this one; `strong` takes labels of shards, too."""
    words = [word for word in miniature if word.startswith("segment.")]
    for name in ("files", "shards"):
        labels = [f"labels=[{both / name},{both / name}/labels]", f"strong={both / name}/y_ret"]
        more = [f"data={toy}", "data.limit=6", f"out={tmp_path}/{name}", "scores=false", "trainer.workers=1"]
        boxseg("segment", *labels, *more, *words, "model.weights=none")
    for name in ("model.safetensors", "provenance.jsonl"):
        assert (tmp_path / "shards" / name).read_bytes() == (tmp_path / "files" / name).read_bytes()


def test_the_report_shows_the_same(both: Path, tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    photos = {}
    for name in ("files", "shards"):
        boxseg("report", both / name, f"out={tmp_path}/{name}.html")
        photos[name] = [line for line in (tmp_path / f"{name}.html").open() if line.startswith("<script type=")]
    assert photos["shards"] == photos["files"]
    assert len(photos["files"]) == 11


def test_a_folder_of_files_is_refused_for_shards_and_the_other_way_round(both: Path, toy: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    label = ["label", f"data={toy}", f"checkpoint={both}/c", "label.crf.iterations=2", "label.instances=true"]
    for name, words in (("files", SMALL), ("shards", ())):
        said = boxseg(*label, f"out={both}/{name}", *words, check=False)
        assert said.returncode == 2
        assert f"{both}/{name} holds a run with other options (label.store: " in said.stderr
        assert "choose another out=…, or start again with overwrite=true" in said.stderr
        assert len(said.stderr.strip().splitlines()) == 1


def test_the_size_of_shards_may_change_and_what_is_there_stays(both: Path, toy: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    label = ["label", f"data={toy}", f"checkpoint={both}/c", "label.crf.iterations=2", "label.instances=true"]
    before = {path.name: path.read_bytes() for path in tars(both / "shards")}
    said = boxseg(*label, f"out={both}/shards", "label.store=shards", "label.shards.most_photos=7")
    assert "0 written, 10 there already" in said.stdout
    assert {path.name: path.read_bytes() for path in tars(both / "shards")} == before


def test_starting_anew_leaves_nothing_of_the_other_way(toy: Path, tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    label = ["label", f"data={toy}", f"out={tmp_path}/out", *ELLIPSE]
    boxseg(*label, *SMALL, "scores=false")
    (tmp_path / "out" / "shards" / "notes.txt").touch()
    boxseg(*label, "overwrite=true", "scores=false")
    assert [path.name for path in (tmp_path / "out" / "shards").iterdir()] == ["notes.txt"]
    assert "masks.json" in {path.name for path in (tmp_path / "out").iterdir()}
    expected = results(tmp_path / "out")
    boxseg(*label, *SMALL, "overwrite=true", "scores=false")
    assert not (tmp_path / "out" / "labels").is_dir() or not any((tmp_path / "out" / "labels").iterdir())
    assert results(tmp_path / "out") == expected


def test_changed_photos_and_corrections_replace_what_was_there(toy: Path, tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    data = tmp_path / "data"
    shutil.copytree(toy, data)
    label = ["label", f"data={data}", *ELLIPSE, "scores=false"]
    boxseg(*label, f"out={tmp_path}/out", *SMALL)
    [annotation] = data.rglob("Annotations/train_0004.xml")
    annotation.write_text(annotation.read_text().replace("<xmin>", "<xmin>1", 1))
    save_corrections(tmp_path / "c.json", load(Data(root=data)), {"train_0001": {0: "box"}})
    more = [f"corrections={tmp_path}/c.json"]
    said = boxseg(*label, f"out={tmp_path}/out", *SMALL, *more)
    assert "2 written, 8 there already" in said.stdout
    boxseg(*label, f"out={tmp_path}/whole", *more)
    assert results(tmp_path / "out") == results(tmp_path / "whole")
    rows = parquet.read_table(tmp_path / "out" / "masks").to_pylist()
    assert len(rows) == sum(len(sample.boxes) for sample in load(Data(root=data)).samples)
    assert [row["photo"] for row in rows if row["corrected"]] == ["train_0001"]


def test_a_killed_command_loses_at_most_the_shard_that_was_open(tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    write_toy(tmp_path / "data", train=40, val=1, size=160, seed=3)
    words = [f"data={tmp_path}/data", *ELLIPSE, "scores=false"]
    out = tmp_path / "out"
    program = "import sys; from boxseg.cli import execute; sys.exit(execute(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "label", *words, f"out={out}", *SMALL]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as run:
        until = time.monotonic() + 60
        while len(tars(out)) < 2 and run.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
    there = len(tars(out))
    assert 2 <= there < 14
    said = boxseg("label", *words, f"out={out}", *SMALL)
    written = int(said.stdout.partition(" written")[0].rpartition("(")[2])
    assert written <= 40 - 3 * (there - 1)
    boxseg("label", *words, f"out={tmp_path}/whole")
    assert results(out) == results(tmp_path / "whole")
    assert not [path for path in files_below(out) if path.name.startswith(".")]


def test_several_processes_write_shards_of_their_own(toy: Path, tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    words = ["label", f"data={toy}", *ELLIPSE, "scores=false", "trainer.accelerator=cpu"]
    boxseg(*words, f"out={tmp_path}/one")
    boxseg(*words, f"out={tmp_path}/two", *SMALL, "trainer.devices=2")
    assert results(tmp_path / "two") == results(tmp_path / "one")
    assert len({path.name.split("-")[1] for path in tars(tmp_path / "two")}) > 1


def test_a_damaged_shard_is_said_and_its_photos_are_made_anew(toy: Path, tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    words = ["label", f"data={toy}", *ELLIPSE, f"out={tmp_path}/out", *SMALL, "scores=false"]
    boxseg(*words)
    expected, [first, second, *_] = results(tmp_path / "out"), tars(tmp_path / "out")
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:-1500])
    said = boxseg("evaluate", f"labels={tmp_path}/out", f"data={toy}", f"out={tmp_path}/scores")
    assert [line for line in said.stderr.splitlines() if str(first) in line]
    assert json.loads((tmp_path / "scores" / "metrics.json").read_text())["missing"] == 6
    again = boxseg(*words)
    for path, what in ((first, "it is empty"), (second, "it is cut short")):
        [line] = [line for line in again.stderr.splitlines() if str(path) in line]
        assert what in line
    assert "6 written, 4 there already" in again.stdout
    assert results(tmp_path / "out") == expected
    assert not first.exists()


def test_other_formats_and_a_dry_run(toy: Path, tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    words = ["label", f"data={toy}", *ELLIPSE, "scores=false", "label.formats=[coco]"]
    said = boxseg(*words, f"out={tmp_path}/shards", *SMALL, "dry_run=true")
    assert "10 photos" in said.stdout
    assert not (tmp_path / "shards").exists()
    for name, more in (("files", ()), ("shards", SMALL)):
        boxseg(*words, f"out={tmp_path}/{name}", *more)
    annotations = "coco/annotations/instances_train.json"
    assert (tmp_path / "shards" / annotations).read_bytes() == (tmp_path / "files" / annotations).read_bytes()


def test_run_makes_the_same_network_and_picture_sheet(toy: Path, tmp_path: Path, miniature, boxseg) -> None:  # type: ignore[no-untyped-def]
    words = ["run", f"data={toy}", *miniature, *ELLIPSE, "model.weights=none", "report.max_photos=2"]
    for name, more in (("files", ()), ("shards", SMALL)):
        boxseg(*words, f"out={tmp_path}/{name}", *more)
    for file in ("segment/model.safetensors", "sheet.png", "metrics.json"):
        assert (tmp_path / "shards" / file).read_bytes() == (tmp_path / "files" / file).read_bytes()


@pytest.mark.parametrize(
    "option", ["label.shards.most_photos=0", "label.shards.most_megabytes=0", "label.store=tar"]
)
def test_wrong_options_are_one_line(option: str, toy: Path, tmp_path: Path, boxseg) -> None:  # type: ignore[no-untyped-def]
    said = boxseg("label", f"data={toy}", *ELLIPSE, f"out={tmp_path}/out", option, check=False)
    assert said.returncode == 2
    assert option.partition("=")[0].partition(".")[2] in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_without_pyarrow_it_is_said_before_any_work(
    toy: Path,
    tmp_path: Path,
    boxseg,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    said = boxseg("label", f"data={toy}", *ELLIPSE, f"out={tmp_path}/out", *SMALL, check=False)
    assert said.returncode == 2
    assert "label.store=shards needs the package pyarrow.parquet" in said.stderr
    assert "pip install 'boxseg[arrow]'" in said.stderr
    assert not tars(tmp_path / "out")
