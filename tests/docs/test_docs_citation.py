"""How to cite boxseg and the paper: CITATION.cff, and the BibTeX that README.md shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import boxseg

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    """The file as its readers see it (GitHub, Zenodo): versions are text."""
    content: dict[str, Any] = yaml.load((ROOT / "CITATION.cff").read_text(), yaml.BaseLoader)
    return content


def test_the_citation_has_what_its_format_requires(citation: dict[str, Any]) -> None:
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type", "license"} <= set(citation)
    for entry in (citation, *citation["references"]):
        assert entry["title"]
        assert entry["type"]
        assert all("name" in author or "family-names" in author for author in entry["authors"])


def test_the_citation_is_of_this_version_and_licence(citation: dict[str, Any]) -> None:
    assert citation["version"] == boxseg.__version__
    assert f'license = "{citation["license"]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_readme_cites_the_same(citation: dict[str, Any]) -> None:
    text = (ROOT / "README.md").read_text()
    entries = dict(re.findall(r"^@(\w+)\{(.*?)^\}", text, re.MULTILINE | re.DOTALL))
    assert set(entries) == {"inproceedings", "software"}
    fields = {kind: dict(re.findall(r"(\w+) = \{(.*?)\},?\n", body)) for kind, body in entries.items()}
    [paper] = citation["references"]
    plain = {name: value.replace("{", "").replace("}", "") for name, value in fields["inproceedings"].items()}
    assert plain["title"] == paper["title"]
    assert plain["year"] == paper["year"]
    names = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    assert plain["author"] == names
    software = {name: value.replace("{", "").replace("}", "") for name, value in fields["software"].items()}
    assert (software["title"], software["version"]) == (citation["title"], citation["version"])
    assert software["author"] == citation["authors"][0]["name"]
