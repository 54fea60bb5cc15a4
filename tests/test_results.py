"""What all results have in common."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import boxseg
import boxseg.stages
from boxseg.dataset import BoxDataset, Problem
from boxseg.jobs import JOBS
from boxseg.results import Result
from boxseg.scoring.confusion import Scores
from boxseg.stages.doctor import DoctorResult, SubmissionCheckResult
from boxseg.tables import Table


def stage_modules() -> list[Any]:
    return [
        importlib.import_module(f"boxseg.stages.{part.name}")
        for part in pkgutil.iter_modules(boxseg.stages.__path__)
    ]


@pytest.mark.parametrize("verb", JOBS)
def test_verbs_return_public_documented_results(verb: str) -> None:
    stage = importlib.import_module(f"boxseg.stages.{verb.replace('-', '_')}")
    returned = get_type_hints(stage.run)["return"]
    for kind in get_args(returned) if get_origin(returned) else [returned]:
        assert issubclass(kind, Result)
        assert getattr(boxseg, kind.__name__) is kind
        documented = re.findall(r"^    (\w+): ", inspect.getdoc(kind), flags=re.MULTILINE)
        assert documented == [item.name for item in dataclasses.fields(kind)]


def test_every_stage_returns_a_result() -> None:
    """Also `plan` and `submission`, which are no verbs."""
    for stage in stage_modules():
        returned = get_type_hints(stage.run)["return"]
        for kind in get_args(returned) if get_origin(returned) else [returned]:
            assert issubclass(kind, Result)
            assert kind.__repr__ is Result.__repr__


@dataclass(frozen=True, kw_only=True)
class Found(Result):
    folder: Path = Path("runs/first")
    names: tuple[str, ...] = tuple(f"name {number}" for number in range(1000))
    reasons: dict[str, str] = field(default_factory=lambda: {"a": "b" * 1000})
    inner: Result = field(default_factory=Result)
    score: float | None = 0.5

    def tables(self) -> list[Table]:
        return [Table(title="mIoU <b>", columns=("class", "%"), rows=(("<script>", 0.5), ("a & b", None)))]

    def notes(self) -> list[str]:
        return ["Labels: <here>", "  and there"]


def test_repr_says_what_was_made_where_and_the_main_figures() -> None:
    assert repr(Found()).splitlines() == [
        "Found",
        "  Labels: <here>",
        "  mIoU <b>, %: <script> 50.0, a & b –",
    ]


@dataclass(frozen=True, kw_only=True)
class Long(Result):
    def tables(self) -> list[Table]:
        rows = tuple((f"class {number} " + "x" * 1000, 0.5, number) for number in range(1000))
        return [
            Table(title="IoU", columns=("class", "IoU", "n"), rows=rows),
            Table(title="boxes", columns=("", "count"), rows=(("all", 7),)),
            *[Table(title="more", columns=("", "count"), rows=(("all", 7),))] * 100,
        ]

    def notes(self) -> list[str]:
        return ["Next:", "  a detail", *(f"note {number} " + "y" * 1000 for number in range(100))]


def test_repr_is_a_few_short_lines() -> None:
    lines = repr(Long()).splitlines()
    assert [line.split()[0] for line in lines] == ["Long", "note", "note", "note", "IoU:", "boxes:"]
    assert lines[-1] == "  boxes: all 7"
    assert max(map(len, lines)) <= 162
    assert repr(Result()) == "Result"


def test_repr_of_a_large_data_set_is_short() -> None:
    problems = tuple(
        Problem(file=Path(f"{n}.jpg"), kind="a box", detail="outside", action="dropped") for n in range(1000)
    )
    data = BoxDataset(
        root=Path("photos"), format="voc", split="train", classes=("a",), samples=(), problems=problems
    )
    found = DoctorResult(dataset=data, problems=problems)
    assert "photos: voc, split train: images 0" in repr(found)
    assert len(repr(found)) < 500
    assert len(repr(data)) < 100


def test_repr_of_scores_does_not_list_classes() -> None:
    many = {f"class {number}": 0.5 for number in range(81)}
    scores = Scores(miou=0.5, mean_accuracy=0.25, pixel_accuracy=float("nan"), iou=many)
    assert (
        repr(scores)
        == "Scores(mIoU 50.0%, mean accuracy 25.0%, pixel accuracy nan%, 81 classes with background)"
    )


def test_notebooks_show_tables_and_notes_and_no_markup_of_the_data() -> None:
    page = Found()._repr_html_()
    assert "<caption><b>mIoU &lt;b&gt;</b></caption>" in page
    assert "<tr><td>&lt;script&gt;</td><td>50.0</td></tr><tr><td>a &amp; b</td><td>–</td></tr>" in page
    assert page.endswith("<ul><li>Labels: &lt;here&gt;</li><li>and there</li></ul>")
    assert "<script>" not in page


def test_status_is_one_where_something_is_wrong() -> None:
    problem = Problem(file=Path("a.png"), kind="size", detail="wrong", action="mend")
    assert SubmissionCheckResult(results=Path("r.tgz"), problems=(problem,)).status == 1
    assert SubmissionCheckResult(results=Path("r.tgz"), problems=()).status == 0
    assert Found().status == 0
