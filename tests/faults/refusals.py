"""A command that refuses its input."""

from __future__ import annotations

import pytest

from boxseg.cli import execute


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a command that refuses its input."""
    capsys.readouterr()
    assert execute([*words, "--quiet"]) == 2
    err = capsys.readouterr().err
    line = err.splitlines()[-1]
    assert line.startswith("boxseg: ")
    assert "Traceback" not in err
    return line
