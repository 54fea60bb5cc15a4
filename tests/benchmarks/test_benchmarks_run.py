"""Every benchmark runs, at sizes that take seconds: whether, not how fast."""

from __future__ import annotations

from types import ModuleType

import pytest

import crf
import evaluation
import label
import loading
import memory
import object_masks
import provenance
import scale
import shards
import startup
import storage
import training_step


@pytest.mark.parametrize(
    ("benchmark", "tables"),
    [
        (label, 3),
        (training_step, 4),
        (evaluation, 1),
        (loading, 3),
        (scale, 6),
        (startup, 2),
        (crf, 1),
        (object_masks, 1),
        (memory, 1),
        (provenance, 1),
        (shards, 1),
        (storage, 1),
    ],
    ids=[
        "label",
        "training_step",
        "evaluation",
        "loading",
        "scale",
        "startup",
        "crf",
        "object_masks",
        "memory",
        "provenance",
        "shards",
        "storage",
    ],
)
def test_it_prints_its_tables(benchmark: ModuleType, tables: int, capsys: pytest.CaptureFixture[str]) -> None:
    if benchmark is storage:
        for package in ("s3fs", "moto", "flask_cors"):
            pytest.importorskip(package, reason=f"{package} is not installed")
    benchmark.main(["--smoke", "--threads", "1"])
    lines = capsys.readouterr().out.splitlines()
    rules = [place for place, line in enumerate(lines) if line.startswith("|") and not set(line) - set("|-: ")]
    assert len(rules) == tables
    for place in rules:
        assert lines[place - 1].count("|") == lines[place].count("|") == lines[place + 1].count("|")
        assert "nan" not in lines[place + 1]


def test_the_table_of_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    label.main(["--smoke", "--threads", "2", "--folder", "2"])
    assert "boxseg / limit" in capsys.readouterr().out
