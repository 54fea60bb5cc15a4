"""What `run` prints at its end."""

from pathlib import Path

from boxseg.scoring.mask_counts import MaskCounts
from boxseg.stages.label import LabelResult
from boxseg.stages.report import ReportResult
from boxseg.stages.run import RunResult
from boxseg.stages.segment import SegmentResult


def test_without_ground_truth_there_is_no_table_of_scores(tmp_path: Path) -> None:
    labels = LabelResult(
        folder=tmp_path, written=3, present=0, skipped={}, scores=None, title="Labels",
        counts={"all": MaskCounts(boxes=7, fallback=2)},
    )  # fmt: skip
    network = SegmentResult(checkpoint=tmp_path / "model.safetensors", scores=None, title="Network")
    report = ReportResult(file=tmp_path / "report.html", photos=3, size=4_000_000, missing=("No masks.",))
    done = RunResult(
        adapted=None, labels=labels, network=network, sheet=tmp_path / "sheet.png", report=report,
        splits=("train", "val"),
    )  # fmt: skip
    assert done.tables() == []
    assert any("3 written" in line for line in done.notes())
    assert any("masks.json (7 for 7 boxes, 2 of them only the ellipse" in line for line in done.notes())
    assert any("(3 photos, 4.0 MB)" in line for line in done.notes())
