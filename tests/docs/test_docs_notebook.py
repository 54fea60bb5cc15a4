"""docs/notebook.ipynb, run cell after cell."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from documented import ROOT

NOTEBOOK = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_every_cell_runs_and_shows_what_it_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Jupyter does: in one namespace, and the last expression of a cell is shown; a shorter training."""
    monkeypatch.setenv("BOXSEG_QUIET", "1")
    names: dict[str, Any] = {"__name__": "__main__"}
    assert any("steps = 150" in cell for cell in CODE)
    shown = [show(cell.replace("steps = 150", "steps = 2"), names) for cell in CODE]
    scores = next(value for value in shown if isinstance(value, dict) and "Y_crf" in value)
    assert set(scores) == {"whole box", "Y_crf"}
    assert sum(names["prediction"].shares.values()) == pytest.approx(1)
    assert callable(shown[-1]._repr_png_)


def show(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell and return the value of its last line, where that is an expression."""
    body = ast.parse(cell).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, type_ignores=[]), "notebook", "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "notebook", "eval"), names)


def test_the_notebook_was_run_in_order_and_without_a_fault() -> None:
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert "error" not in kinds
