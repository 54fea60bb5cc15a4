"""The public names."""

from __future__ import annotations

import inspect

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
    parameters = inspect.signature(function).parameters
    assert all(item.kind is inspect.Parameter.KEYWORD_ONLY for item in parameters.values())
    assert function.__name__ == name
    assert "Args:" in function.__doc__


def test_unknown_keywords_are_errors() -> None:
    with pytest.raises(boxseg.BoxsegError, match="did you mean 'grid'"):
        boxseg.classify(data="nowhere", out="nowhere", gird=3)
