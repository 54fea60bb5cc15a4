"""Write `src/boxseg/__init__.pyi`: the public names for type checkers and editors.

The verbs are built from their jobs at first use, so no source file has their types. This reads the jobs of
`boxseg.jobs` and the sections of `boxseg.config`. A verb takes its job's fields as keyword-only parameters; a
section as its dataclass or a mapping of its options; and every option by any single word that stands for it
(`grid=3`).

    python scripts/make_stubs.py

A test compares the file with what this would write.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import boxseg
from boxseg import api
from boxseg.errors import ConfigError
from boxseg.jobs import JOBS
from boxseg.options import complete_key, options_of
from boxseg.options.keys import NAMES_OF_FILES, STAND_INS, kinds_in

STUB = Path(boxseg.__file__).with_name("__init__.pyi")

# Verbs with another result if an option is given: that option, and that result.
OTHER_RESULTS = {
    "predict": ("submission", "SubmissionResult"),
    "doctor": ("submission", "SubmissionCheckResult"),
    "reproduce": ("dry_run", "ReproducePlan"),
    **dict.fromkeys(("run", "classify", "label", "segment"), ("dry_run", "PlanResult")),
}

HEAD = '''\
"""From bounding boxes to segmentation masks and a trained segmentation network."""

# Written by scripts/make_stubs.py: edit the jobs and sections of options, then run it.
#
# The classes with an underscore are sections of `boxseg.config` as mappings, and the options of a verb by the
# shortest name that will do.

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, overload

from typing_extensions import Unpack
'''


def stub() -> str:
    """The text of the stub."""
    sections = {owner.__name__: owner for job in JOBS.values() for _, owner in _paths(job).values()}
    parts = [HEAD, *_imports(), "__version__: str", f"__all__ = {boxseg.__all__}"]
    for name, owner in sections.items():
        if owner not in JOBS.values():
            lines = [f"{option}: {_kind(hint, option)}" for option, hint in get_type_hints(owner).items()]
            parts.append(_mapping(f"_{name}", [], lines))
    for verb in JOBS:
        parts += [*_options_type(verb)[1:], *_functions(verb)]
    return _formatted("\n\n".join(parts) + "\n")


def _formatted(text: str) -> str:
    for command in (["check", "--select", "I,F401,RUF022", "--fix-only"], ["format"]):
        words = [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", str(STUB), "-"]
        text = subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout
    return text


def _imports() -> Iterator[str]:
    verbs = {verb.replace("-", "_") for verb in JOBS}
    for name, home in boxseg._HOMES.items():
        if name not in verbs:
            yield f"from boxseg import {name}" if home == f"boxseg.{name}" else f"from {home} import {name}"


def _mapping(name: str, bases: list[str], lines: list[str]) -> str:
    head = f"class {name}({', '.join(bases or ['TypedDict'])}, total=False):"
    return "\n    ".join([head, *(lines or ["..."])])


def _options_type(verb: str) -> list[str]:
    """Name and, if needed, definition of the mapping of a verb's options; whole sections are its bases."""
    words, paths = words_of(verb), _paths(JOBS[verb])
    owners = [paths[key][1] for key in words.values()]
    bases = [owner for owner in dict.fromkeys(owners) if owners.count(owner) == len(dataclasses.fields(owner))]
    names = [f"_{owner.__name__}" for owner in bases]
    lines = [
        f"{word}: {_kind(paths[key][0], word)}  # {key}"
        for word, key in words.items()
        if paths[key][1] not in bases
    ]
    if not lines and len(names) < 2:
        return names
    name = f"_{verb.title().replace('-', '')}Options"
    return [name, _mapping(name, names, lines)]


def words_of(verb: str) -> dict[str, str]:
    """Key by each word that stands for one option or section of a verb, except the verb's own fields."""
    job = JOBS[verb]
    own = inspect.signature(getattr(api, verb.replace("-", "_"))).parameters
    words: dict[str, str] = {}
    for key in _paths(job):
        word = key.rpartition(".")[2]
        if word in own or word in words or "." not in key:
            continue
        # A section is unambiguous where all its options are.
        meant = [option for option in options_of(job) if f"{option}.".startswith(f"{key}.")]
        if all(_complete(f"{word}{option[len(key) :]}", verb) == option for option in meant):
            words[word] = key
    return words


def _paths(owner: type[Any], prefix: str = "") -> dict[str, tuple[Any, type[Any]]]:
    """Every option and section of a job by full name: its type, and the class it is a field of."""
    found: dict[str, tuple[Any, type[Any]]] = {}
    for name, hint in get_type_hints(owner).items():
        found[f"{prefix}{name}"] = (hint, owner)
        for part in filter(dataclasses.is_dataclass, kinds_in(hint)):
            found |= _paths(part, f"{prefix}{name}.")
    return found


def _complete(word: str, verb: str) -> str | None:
    try:
        return complete_key(word, JOBS[verb], verb)
    except ConfigError:
        return None


def _functions(verb: str) -> Iterator[str]:
    stage = importlib.import_module(f"boxseg.stages.{verb.replace('-', '_')}")
    option, other = OTHER_RESULTS.get(verb, ("", ""))
    results = [kind.__name__ for kind in kinds_in(get_type_hints(stage.run)["return"])]
    usual = next(name for name in results if name != other)
    if not other:
        yield _function(verb, {}, usual)
        return
    kind = _kind(get_type_hints(JOBS[verb])[option], option)
    given, idle = ("Literal[True]", "Literal[False] = False")
    if kind != "bool":
        given, idle = (kind.removesuffix(" | None"), "None = None")
    yield "@overload\n" + _function(verb, {option: idle}, usual)
    yield "@overload\n" + _function(verb, {option: given}, other, about=False)
    yield "@overload\n" + _function(verb, {option: kind}, f"{usual} | {other}", about=False)


def _function(verb: str, changes: dict[str, str], result: str, *, about: bool = True) -> str:
    """One signature of a verb, with `changes` of its parameters' types; `about`: with its docstring."""
    function = getattr(api, verb.replace("-", "_"))
    lines = [f"def {function.__name__}(", "    *,"]
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            lines.append(f"    **options: Unpack[{_options_type(verb)[0]}],")
        else:
            kind = changes.get(name) or _kind(parameter.annotation, name) + _default(parameter.default)
            lines.append(f"    {name}: {kind},")
    body = textwrap.indent(f'"""{inspect.cleandoc(function.__doc__)}\n"""', "    ") if about else "    ..."
    return "\n".join([*lines, f") -> {result}:", body])


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    if dataclasses.is_dataclass(value):
        return " = ..."
    return f" = {(str(value) if isinstance(value, Path) else value)!r}"


def _kind(hint: Any, name: str) -> str:
    texts = [text for part in kinds_in(hint) for text in _texts(part, name)]
    return " | ".join(dict.fromkeys([*texts, "None"] if NoneType in get_args(hint) else texts))


def _texts(kind: Any, name: str) -> list[str]:
    """A type, and what else is accepted for it, such as text for a path."""
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, str):  # for Python alone
        return [kind]
    if kind is Path or (kind is str and name in NAMES_OF_FILES):
        return ["Path", "str"]
    if dataclasses.is_dataclass(kind):  # a mapping of its options, itself, or what its name alone stands for
        hints = get_type_hints(kind)
        stand_ins = [_kind(hints[option], option) for option in STAND_INS if option in hints]
        return [f"_{kind.__name__}", f"config.{kind.__name__}", *stand_ins]
    if origin is Literal:
        return [f"Literal[{', '.join(map(repr, inner))}]"]
    if origin in (tuple, list):
        ends = [" | ".join(_texts(part, name)) for part in inner if part is not Ellipsis]
        each = " | ".join(dict.fromkeys(ends))
        many = origin is list or Ellipsis in inner
        return [f"list[{each}]", f"tuple[{each}, ...]" if many else f"tuple[{', '.join(ends)}]"]
    if origin is dict:
        return [f"dict[{', '.join(' | '.join(_texts(part, '')) for part in inner)}]"]
    return [kind.__name__]


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
