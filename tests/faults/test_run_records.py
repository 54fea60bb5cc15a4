"""Files of run folders that are damaged, or that somebody else made: one line, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from bad import entry
from boxseg.cli import execute
from refusals import refused
from small_data_sets import MAKERS

QUICK = ("label.method=ellipse", "crf=false", "workers=0", "--quiet")
SMALL = ("iterations=1", "batch=1", "crop=33", "model.weights=none", "workers=0", "--quiet")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder of labels, and its data set beside it."""
    MAKERS["coco"](tmp_path / "data")
    assert execute(["label", f"data={tmp_path}/data", f"out={tmp_path}/run", *QUICK]) == 0
    return tmp_path / "run"


@pytest.mark.parametrize("key", ["null", "7", "2024-01-01", "1e3", "true"])
def test_options_whose_names_are_no_text(
    key: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (run / "config.yaml").open("a") as file:
        file.write(f"{key}: 3\n")
    line = refused(capsys, "label", f"data={tmp_path}/data", f"out={run}", *QUICK[:3])
    assert f"{run} holds the results of another command, with " in line


@pytest.mark.parametrize("option", ["annotations", "images", "masks", "root"])
def test_options_with_a_name_that_no_file_can_have(
    option: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = yaml.safe_load((run / "config.yaml").read_text())
    options["data"][option] = "1" * 5000
    (run / "config.yaml").write_text(yaml.safe_dump(options))
    assert execute(["report", str(run), "--quiet"]) == 0
    (run / "config.yaml").unlink()
    line = refused(capsys, "doctor", f"data.root={tmp_path}/data", f"data.{option}={'1' * 5000}")
    assert "1' is longer than the name of a file can be" in line


RECORDS = ("", "null", "7", "[]", '"x"', "{", "[" * 9999, '{"a": [1]}', '{"format": 3}')


@pytest.mark.parametrize("text", RECORDS)
def test_a_report_leaves_out_what_is_damaged(text: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("metrics.json", "confusion.json", "mask-counts.json", "versions.json"):
        (run / name).write_text(text)
    (run / "history.csv").write_bytes(b"iteration,loss,lr\n\x00\xff,1,2\n")
    assert execute(["report", str(run), "--quiet"]) == 0
    assert (run / "report.html").stat().st_size > 1000


@pytest.mark.parametrize(
    ("places", "value"),
    [
        (("labels", "miou"), "high"),
        (("labels", "iou"), 0.5),
        (("labels", "iou", "cat"), [1]),
        (("labels",), 7),
        (("images",), "many"),
        (("split",), {"a": 1}),
        (("instances",), [1]),
        (("instances", "masks"), 3),
        (("instances", "masks", "ap"), "x"),
    ],
)
def test_a_report_leaves_out_odd_scores(
    places: tuple[str, ...], value: Any, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry("metrics.json", *places, value=value)(run)
    assert execute(["report", str(run), "--quiet"]) == 0
    assert "metrics.json does not hold scores" in capsys.readouterr().err


@pytest.mark.parametrize("text", [text for text in RECORDS if text != '{"a": [1]}'])
def test_records_of_labels(text: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "versions.json").write_text(text)
    if text != '{"format": 3}':  # of another program, or of a newer boxseg
        line = refused(capsys, "label", f"data={tmp_path}/data", f"out={run}", *QUICK[:3])
        assert f"{run}/versions.json does not hold versions: remove it to keep the results" in line
    piece = run / "masks" / "a.json"
    piece.write_text(text)
    assert str(piece) in refused(capsys, "convert", str(run), f"out={tmp_path}/out", "format=coco")


@pytest.mark.parametrize(
    ("places", "value"),
    [
        ((0, "segmentation", "counts"), "xyz"),
        ((0, "segmentation", "size"), [10**5, 10**5]),
        ((0, "segmentation"), [[1, 2, 3, 4, 5, 6]]),
        ((0, "score"), float("nan")),
        ((0, "source"), None),
        ((0, "corrected"), "maybe"),
        ((0, "corrected"), ["redraw"]),
        ((0,), None),
    ],
)
def test_masks_of_a_photo(
    places: tuple[Any, ...], value: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry("masks/a.json", *places, value=value)(run)
    for words in (("convert", str(run), f"out={tmp_path}/out", "format=coco"), ("label", *QUICK[:3])):
        more = () if words[0] == "convert" else (f"data={tmp_path}/data", f"out={run}")
        assert f"{run}/masks/a.json does not hold a mask" in refused(capsys, *words, *more)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"no picture"])
def test_a_damaged_label_png(
    content: bytes, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "labels" / "a.png").write_bytes(content)
    line = refused(capsys, "convert", str(run), f"out={tmp_path}/out", "format=masks")
    assert f"{run}/labels/a.png" in line
    if not content:  # as left by a full disk: made again
        assert execute(["label", f"data={tmp_path}/data", f"out={run}", *QUICK]) == 0
        assert (run / "labels" / "a.png").stat().st_size > 0


@pytest.mark.parametrize(
    "text", ["", "- a", "format: [voc]", "splits: 3", "a: &a [*a]", "format: voc\nsplits: {train: 3}"]
)
def test_the_record_of_a_written_data_set(
    text: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "convert.yaml").write_text(text)
    assert f"{tmp_path}/out/convert.yaml" in refused(
        capsys, "convert", str(run), f"out={tmp_path}/out", "format=voc"
    )


@pytest.mark.parametrize(
    "counts", [{}, {"written": None}, {"written": [1]}, {"written": {"photos": "x"}}, {"maps_written": 7}]
)
def test_a_split_whose_record_lost_its_counts_is_not_taken_for_done(
    counts: dict[str, Any], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, file = ("convert", str(run), f"out={tmp_path}/out", "format=coco"), tmp_path / "out" / "convert.yaml"
    assert execute([*words, "--quiet"]) == 0
    record = yaml.safe_load(file.read_text())
    whole = record["splits"]["train"]
    if not counts:
        del whole["written"]
    file.write_text(yaml.safe_dump({**record, "splits": {"train": {**whole, **counts}}}))
    assert "already has split 'train': write it again with overwrite=true" in refused(capsys, *words)
    assert execute([*words, "overwrite=true", "--quiet"]) == 0
    assert execute([*words, "--quiet"]) == 0


def test_photos_and_names_of_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "p"
    (home / "labels").mkdir(parents=True)
    Image.new("L", (48, 32)).save(home / "labels" / "a.png")
    words = ("convert", str(home), f"out={tmp_path}/out", "format=coco", "classes=[cat]")
    for text in ("", "[", "[1]", '{"a": 3}', '{"a": ["b"]}'):
        (home / "photos.json").write_text(text)
        assert f"{home}/photos.json" in refused(capsys, *words)
    (home / "photos.json").unlink()
    for text in ("", "[", '[{"value": "a", "name": "b"}]', '[{"name": "b"}]', '[{"value": 1, "name": []}]'):
        (home / "labelmap.json").write_text(text)
        assert f"{home}/labelmap.json" in refused(capsys, *words[:4])
