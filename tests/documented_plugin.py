"""The plug-in package of docs/extending.md, as an installed one."""

from __future__ import annotations

import re
from pathlib import Path

from documented import ROOT, blocks

PAGE = ROOT / "docs" / "extending.md"


def install(site: Path) -> Path:
    """Write the package and its entry points into a folder, which is to be put on the path."""
    for block in blocks(PAGE, "python"):
        if found := re.match(r"# (boxseg_extras/\w+\.py)\n", block):
            file = site / found[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block, encoding="utf-8")
    (project,) = blocks(PAGE, "toml")
    groups = re.findall(r'^\[project\.entry-points\."(.+)"\]\n((?:.+\n)+)', project, re.MULTILINE)
    list_entry_points(site, "boxseg-extras", {group: lines.replace('"', "") for group, lines in groups})
    return site


def list_entry_points(site: Path, package: str, groups: dict[str, str]) -> None:
    """What an installer notes of a package: its name and, by group, lines `name = module:object`."""
    notes = site / f"{package.replace('-', '_')}-0.1.dist-info"
    notes.mkdir(parents=True)
    (notes / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    (notes / "entry_points.txt").write_text("".join(f"[{name}]\n{lines}\n" for name, lines in groups.items()))
