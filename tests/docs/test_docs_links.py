"""Links of the pages that are read on a forge; those within docs/ are checked when the site is built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from boxseg.cli import VERBS
from documented import PAGES, ROOT, page_name


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "src/boxseg/crf/README.md"])
def test_relative_links_lead_to_files_and_headings(page: str) -> None:
    path = ROOT / page
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), f"{page}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page}: {link}"


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_source_files_that_a_page_names_are_there(path: Path) -> None:
    """`nn/pooling.py` is relative to the package, `docs/figures.py` to the repository."""
    for name in re.findall(r"`((?:\w+/)+\w+\.\w+)`", path.read_text(encoding="utf-8")):
        if name.endswith((".py", ".cpp")):
            assert (ROOT / "src" / "boxseg" / name).exists() or (ROOT / name).exists(), name


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.md"):
        assert f": {path.relative_to(ROOT / 'docs').as_posix()}" in navigation, path


def test_every_verb_is_in_the_reference_of_functions() -> None:
    page = (ROOT / "docs/api/index.md").read_text(encoding="utf-8")
    functions = {verb.replace("-", "_") for verb in VERBS}
    assert functions == set(re.findall(r"^\| `boxseg\.(\w+)` \|", page, re.MULTILINE))
