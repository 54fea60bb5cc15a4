"""What type checkers and editors know of the public names: `src/boxseg/__init__.pyi`."""

from __future__ import annotations

import ast
import inspect
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

import boxseg
import make_stubs
from boxseg.errors import ConfigError
from boxseg.jobs import JOBS
from boxseg.options import complete_key, options_of
from boxseg.results import Result

ROOT = Path(__file__).parents[1]
STUB = ROOT / "src" / "boxseg" / "__init__.pyi"
USES = ROOT / "tests" / "api_uses"
Place = tuple[str, int]


def test_stub_is_what_the_options_say() -> None:
    assert STUB.read_text(encoding="utf-8") == make_stubs.stub(), "run `python scripts/make_stubs.py`"


def test_package_says_that_it_is_typed() -> None:
    package = Path(boxseg.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / STUB.name).is_file()


def wrong_lines() -> set[Place]:
    """Where an error is due: file and line."""
    return {
        (file.name, number)
        for file in USES.glob("*.py")
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if "# wrong: " in line
    }


def test_mypy_reports_wrong_uses_and_no_others() -> None:
    # The configuration and cache of `mypy` itself, so that it reads torch once for both.
    words = [sys.executable, "-m", "mypy", *map(str, sorted(USES.glob("*.py")))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    errors = re.findall(r"^.*?(\w+\.pyi?):(\d+): error: ", done.stdout, flags=re.MULTILINE)
    assert {(name, int(line)) for name, line in errors} == wrong_lines(), done.stdout + done.stderr


def test_pyright_reports_wrong_uses_and_no_others(tmp_path: Path) -> None:
    settings = {
        "include": [str(USES)],
        "extraPaths": [str(ROOT / "src")],
        "typeCheckingMode": "standard",  # pyright's own; basedpyright adds rules to it
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    words = ["basedpyright", "--project", str(tmp_path), "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    found = [item for item in json.loads(done.stdout)["generalDiagnostics"] if item["severity"] == "error"]
    errors = {(Path(item["file"]).name, item["range"]["start"]["line"] + 1) for item in found}
    assert errors == wrong_lines(), [(item["range"]["start"]["line"] + 1, item["message"]) for item in found]


def test_right_uses_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = MagicMock()
    monkeypatch.setattr("boxseg.stages.run_verb", ran)
    runpy.run_path(str(USES / "right_uses.py"))
    assert {call.args[0] for call in ran.call_args_list} == set(JOBS)


class Stub:
    """The names of the stub and what its functions and mappings take."""

    def __init__(self) -> None:
        body = ast.parse(STUB.read_text(encoding="utf-8")).body
        self.public: list[str] = next(
            ast.literal_eval(node.value)
            for node in body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
        functions = [node for node in body if isinstance(node, ast.FunctionDef)]
        imported = [name for node in body if isinstance(node, ast.ImportFrom) for name in node.names]
        self.functions = {node.name: node for node in reversed(functions)}  # the first of overloads
        self.mappings: dict[str, dict[str, str]] = {"TypedDict": {}}
        for node in body:
            if isinstance(node, ast.ClassDef):
                bases = [self.mappings[ast.unparse(base)] for base in node.bases]
                self.mappings[node.name] = {
                    key: kind for fields in [*bases, _fields(node)] for key, kind in fields.items()
                }
        self.names = {*self.functions, *(name.asname or name.name for name in imported), "__version__"}

    def parameters(self, verb: str) -> dict[str, str]:
        """Types of all keywords of a verb, the short names of options among them."""
        arguments = self.functions[verb.replace("-", "_")].args
        assert not arguments.args
        assert not arguments.posonlyargs
        named = {item.arg: ast.unparse(item.annotation) for item in arguments.kwonlyargs if item.annotation}
        if arguments.kwarg is None or arguments.kwarg.annotation is None:
            return named
        short = self.mappings[ast.unparse(arguments.kwarg.annotation).removeprefix("Unpack[").removesuffix("]")]
        assert not named.keys() & short.keys()
        return named | short


def _fields(node: ast.ClassDef) -> dict[str, str]:
    items = [item for item in node.body if isinstance(item, ast.AnnAssign)]
    return {ast.unparse(item.target): ast.unparse(item.annotation) for item in items}


@pytest.fixture(scope="module")
def stub() -> Stub:
    return Stub()


def test_stub_and_module_have_the_same_names(stub: Stub) -> None:
    assert stub.public == boxseg.__all__
    assert set(boxseg.__all__) <= stub.names
    public = {getattr(boxseg, name) for name in boxseg.__all__}
    results = {kind for kind in Result.__subclasses__() if kind.__module__.startswith("boxseg.")}
    assert results | {Result} <= public


@pytest.mark.parametrize("verb", JOBS)
def test_functions_take_what_the_command_line_takes(verb: str, stub: Stub) -> None:
    job, parameters = JOBS[verb], stub.parameters(verb)

    def key_of(word: str) -> str | None:
        try:
            return complete_key(word, job, verb)
        except ConfigError:
            return None

    for key in options_of(job):  # nested, as `data={"root": …}`
        names, fields = key.split("."), parameters
        for name in names[:-1]:
            fields = stub.mappings[fields[name].partition(" | ")[0]]
        assert names[-1] in fields, key
    words = {word for key in options_of(job) for word in key.split(".")}
    sections = {name for name, kind in parameters.items() if kind.startswith("_")}
    accepted = {word for word in words if key_of(word)} | sections
    assert accepted <= parameters.keys()
    assert (
        parameters.keys() - accepted
        <= inspect.signature(getattr(boxseg, verb.replace("-", "_"))).parameters.keys()
    )
    stand_for_an_option = {name for name in sections if parameters[name].count(" | ") > 1}
    assert {name for name in sections if key_of(name)} == stand_for_an_option


def test_required_options_have_no_default(stub: Stub) -> None:
    required: dict[str, Any] = {}
    for verb in JOBS:
        arguments = stub.functions[verb.replace("-", "_")].args
        pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        required[verb] = [item.arg for item, default in pairs if default is None]
    assert required["label"] == ["data", "out"]
    assert required["convert"] == ["source", "out", "format"]
    assert required["demo"] == []
