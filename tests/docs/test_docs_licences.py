"""The page of licences names every package that pyproject.toml does, with the licence of the installed one."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("tomllib", reason="new in Python 3.11")

import licences


def documented() -> dict[str, str]:
    """Package and licence, of the first table of the page."""
    first = licences.PAGE.read_text(encoding="utf-8").partition("## What those bring along")[0]
    return dict(re.findall(r"^\| (?!package )(\S+) \| [a-z0-9, ]+ \| ([^|]+) \|$", first, re.MULTILINE))


def test_every_package_that_is_named_is_on_the_page_with_its_licence() -> None:
    assert set(documented()) == set(licences.declared()), "run python scripts/licences.py"
    for name, licence in documented().items():
        assert licence not in ("", "unknown")
        assert licences.licence(name) in (licence, None), f"{name}: run python scripts/licences.py"


def test_no_licence_asks_for_the_source_of_programs_that_use_the_package() -> None:
    text = licences.PAGE.read_text(encoding="utf-8")
    assert not re.search(r"\b(A|L)?GPL|GNU", text)
