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


def test_repr_is_short() -> None:
    text = repr(Found())
    assert text.startswith(
        "Found(folder='runs/first', names=('name 0', 'name 1', 'name 2', ...), reasons={'a': 'bbb"
    )
    assert text.endswith("bbb'}, inner=Result(…), score=0.5)")
    assert len(text) < 250


def test_repr_of_a_large_data_set_is_short() -> None:
    problems = tuple(
        Problem(file=Path(f"{n}.jpg"), kind="a box", detail="outside", action="dropped") for n in range(1000)
    )
    data = BoxDataset(
        root=Path("photos"), format="voc", split="train", classes=("a",), samples=(), problems=problems
    )
    found = DoctorResult(dataset=data, problems=problems)
    assert repr(found).startswith(
        "DoctorResult(dataset=BoxDataset(…), problems=(Problem(…), Problem(…), Problem(…), ...), tightness=None"
    )
    assert len(repr(found)) < 150
    assert len(repr(data)) < 100


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
