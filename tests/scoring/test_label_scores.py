"""Labels are read a few ahead of the one that is scored."""

from __future__ import annotations

from pathlib import Path

import pytest

from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.dataset import Sample
from boxseg.formats import load
from boxseg.scoring import label_scores


def test_labels_are_read_a_few_at_a_time_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy(tmp_path, train=30, val=1, size=32)
    samples = load(Data(root=tmp_path)).samples
    begun: list[str] = []
    read = label_scores._read

    def counting(sample: Sample, *rest: object) -> object:
        begun.append(sample.id)
        return read(sample, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(label_scores, "_read", counting)
    done = []
    for sample, _, _ in label_scores._read_all(samples, {}, 3):
        done.append(sample.id)
        assert len(begun) - len(done) < label_scores._AHEAD
    assert done == [sample.id for sample in samples]
