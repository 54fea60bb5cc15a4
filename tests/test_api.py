"""The public names."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import pydoc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import boxseg
from boxseg.jobs import JOBS


def test_public_names_are_sorted_and_there() -> None:
    assert boxseg.__all__ == sorted(boxseg.__all__)
    for name in boxseg.__all__:
        assert getattr(boxseg, name) is not None
    assert dir(boxseg) == boxseg.__all__
    with pytest.raises(AttributeError, match="no attribute 'lable'"):
        boxseg.lable  # noqa: B018


@pytest.mark.parametrize("verb", JOBS)
def test_verbs_are_functions_with_keyword_only_options(verb: str) -> None:
    name = verb.replace("-", "_")
    function = getattr(boxseg, name)
    signature = inspect.signature(function)
    fields = {item.name for item in dataclasses.fields(JOBS[verb])}
    assert {item.kind for item in signature.parameters.values() if item.name in fields} == {
        inspect.Parameter.KEYWORD_ONLY
    }
    assert fields <= signature.parameters.keys()
    assert signature.return_annotation is boxseg.Result
    assert function.__name__ == name
    assert "Args:" in inspect.getdoc(function)


def test_help_names_the_types_of_options() -> None:
    text = pydoc.render_doc(boxseg.label, renderer=pydoc.plaintext)
    assert "checkpoint: pathlib.Path | None = None" in text.replace(
        "Optional[pathlib.Path]", "pathlib.Path | None"
    )
    assert "**options: Options of sections by any unambiguous shorter name" in text
    assert "**options" not in pydoc.render_doc(
        boxseg.download, renderer=pydoc.plaintext
    )  # which has no section


def test_unknown_keywords_are_errors() -> None:
    with pytest.raises(boxseg.BoxsegError, match="did you mean 'grid'"):
        boxseg.classify(data="nowhere", out="nowhere", gird=3)


def test_no_module_stands_in_the_way_of_a_verb() -> None:
    # Importing boxseg.NAME sets the attribute NAME of boxseg.
    assert not {verb.replace("-", "_") for verb in JOBS} & {
        part.name for part in pkgutil.iter_modules(boxseg.__path__)
    }


@pytest.fixture
def job_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Calls a verb, and returns the job that it would do."""
    monkeypatch.setattr("boxseg.stages.run_verb", lambda verb, job, **others: job)
    return lambda verb, **options: verb(**options)


def test_a_class_map_is_a_value_and_no_section(job_of: Callable[..., Any]) -> None:
    given = {"cat": "dog"}
    short = job_of(boxseg.label, data="photos", out="labels", method="box", class_map=given)
    long = job_of(boxseg.label, data="photos", out="labels", label={"method": "box", "class_map": given})
    assert short.label.class_map == long.label.class_map == given


def test_none_leaves_a_section_out(job_of: Callable[..., Any]) -> None:
    job = job_of(boxseg.convert, source="labels", out="voc", format="voc", data=None, split=None)
    assert job.data is None


def test_what_names_a_file_may_be_a_path(job_of: Callable[..., Any]) -> None:
    job = job_of(boxseg.segment, labels=[Path("a"), "b"], data=Path("photos"), out="out", weights=Path("w.pth"))
    assert (job.labels, job.model.weights) == (["a", "b"], "w.pth")
