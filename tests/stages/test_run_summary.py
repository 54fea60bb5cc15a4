"""What `run` prints at its end."""

from pathlib import Path

from boxseg.stages.label import Labelled
from boxseg.stages.report import Reported
from boxseg.stages.run import Finished
from boxseg.stages.segment import Segmented


def test_without_ground_truth_there_is_no_table_of_scores(tmp_path: Path) -> None:
    labels = Labelled(folder=tmp_path, written=3, present=0, skipped={}, scores=None, title="Labels")
    network = Segmented(checkpoint=tmp_path / "model.safetensors", scores=None, title="Network")
    (tmp_path / "report.html").write_text("<html>")
    report = Reported(file=tmp_path / "report.html", photos=3, missing=("No masks.",))
    done = Finished(
        labels=labels, network=network, sheet=tmp_path / "sheet.png", report=report, splits=("train", "val")
    )
    assert done.tables() == []
    assert any("3 written" in line for line in done.notes())
