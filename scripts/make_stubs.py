"""Write `src/boxseg/__init__.pyi`: what type checkers and editors know of the public names.

The verbs are built from their jobs when they are first used, so their types stand in no source file. This reads
the jobs of `boxseg.jobs` and the sections of `boxseg.config`. A verb takes its job's fields as keyword-only
parameters; a section as its dataclass or a mapping of its options; and every option by each single word that
stands for it (`grid=3`).

    python scripts/make_stubs.py

A test compares the file with what this would write.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import boxseg
from boxseg import api
from boxseg.errors import ConfigError
from boxseg.jobs import JOBS
from boxseg.options import complete_key, known_keys
from boxseg.options.keys import STAND_INS
from boxseg.stages import plan

STUB = Path(boxseg.__file__).with_name("__init__.pyi")

# Options that are text to the command line and often name a file or folder: in Python they may be a Path.
NAMES_OF_FILES = frozenset(
    {"labels", "strong", "images", "weights", "classifier_weights", "backbone", "sam", "class_map", "mirror"}
    | {"test_archive"}
)

# Verbs whose result is another one where an option is given: {verb: {option: result}}.
OTHER_RESULTS = {
    "predict": {"submission": "SubmissionResult"},
    "doctor": {"submission": "SubmissionCheckResult"},
    "reproduce": {"dry_run": "ReproducePlan"},
    **{
        verb: {"dry_run": "PlanResult"}
        for verb, job in JOBS.items()
        if job in get_args(get_type_hints(plan.run)["job"])
    },
}

HEAD = '''\
"""From bounding boxes to segmentation masks and a trained segmentation network."""

# Written by scripts/make_stubs.py: edit the jobs and sections of options, then run it.
#
# The classes with an underscore are sections of `boxseg.config` as mappings, and the options of a verb by the
# shortest name that will do.

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, overload

from typing_extensions import Unpack
'''


def stub() -> str:
    """The text of the stub."""
    sections = {owner.__name__: owner for job in JOBS.values() for _, owner in _paths(job).values()}
    parts = [HEAD, *_imports(), "__version__: str", f"__all__ = {boxseg.__all__}"]
    parts += [_section_type(owner) for owner in sections.values() if owner not in JOBS.values()]
    for verb in JOBS:
        parts += [*_options_type(verb)[1:], *_functions(verb)]
    return _formatted("\n\n".join(parts) + "\n")


def _formatted(text: str) -> str:
    for command in (["check", "--select", "I,F401,RUF022", "--fix-only"], ["format"]):
        words = [sys.executable, "-m", "ruff", *command, "--quiet", "--stdin-filename", str(STUB), "-"]
        text = subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout
    return text


def _imports() -> Iterator[str]:
    """The public names that are defined elsewhere, with their types."""
    verbs = {verb.replace("-", "_") for verb in JOBS}
    for name, home in boxseg._HOMES.items():
        if name not in verbs:
            yield f"from boxseg import {name}" if home == f"boxseg.{name}" else f"from {home} import {name}"


def _section_type(section: type[Any]) -> str:
    """A section as a mapping of its options."""
    lines = [f"{item.name}: {_kind(item, section)}" for item in dataclasses.fields(section)]
    return f"class _{section.__name__}(TypedDict, total=False):\n{_indented(*lines)}"


def _options_type(verb: str) -> list[str]:
    """Name of the mapping of all words that stand for options of a verb, and its definition where it needs one.

    Sections of which every option has such a word are its bases.
    """
    words, paths = words_of(verb), _paths(JOBS[verb])
    owners = [paths[key][1] for key in words.values()]
    bases = [owner for owner in dict.fromkeys(owners) if owners.count(owner) == len(dataclasses.fields(owner))]
    names = [f"_{owner.__name__}" for owner in bases]
    lines = [
        f"{word}: {_kind(*paths[key])}  # {key}" for word, key in words.items() if paths[key][1] not in bases
    ]
    if not lines and len(names) < 2:
        return names
    name = f"_{verb.title().replace('-', '')}Options"
    head = f"class {name}({', '.join(names or ['TypedDict'])}, total=False):"
    return [name, f"{head}\n{_indented(*lines or ['...'])}"]


def words_of(verb: str) -> dict[str, str]:
    """Key by each word that stands for one option or section of a verb, besides its own fields."""
    job = JOBS[verb]
    own = inspect.signature(getattr(api, verb.replace("-", "_"))).parameters
    words: dict[str, str] = {}
    for key in _paths(job):
        word = key.rpartition(".")[2]
        if word in own or word in words or "." not in key:
            continue
        inside = [option for option in known_keys(job) if option.startswith(f"{key}.")]
        if inside:  # a section: unambiguous where all its options are
            meant = all(_complete(f"{word}{option[len(key) :]}", verb) == option for option in inside)
        else:
            meant = _complete(word, verb) == key
        if meant:
            words[word] = key
    return words


def _paths(kind: type[Any], prefix: str = "") -> dict[str, tuple[dataclasses.Field[Any], type[Any]]]:
    """Every option and section of a job by its full name, with the class it is a field of."""
    found: dict[str, tuple[dataclasses.Field[Any], type[Any]]] = {}
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        found[f"{prefix}{item.name}"] = (item, kind)
        for part in _alternatives(hints[item.name]):
            if dataclasses.is_dataclass(part):
                found |= _paths(part, f"{prefix}{item.name}.")
    return found


def _complete(word: str, verb: str) -> str | None:
    try:
        return complete_key(word, JOBS[verb], verb)
    except ConfigError:
        return None


def _functions(verb: str) -> Iterator[str]:
    """A verb as a function, with an overload for each kind of result."""
    result = get_type_hints(importlib.import_module(f"boxseg.stages.{verb.replace('-', '_')}").run)["return"]
    others = OTHER_RESULTS.get(verb, {})
    main_result = next(part.__name__ for part in _alternatives(result) if part.__name__ not in others.values())
    if not others:
        yield _function(verb, {}, main_result)
        return
    [(option, other)] = others.items()
    job = JOBS[verb]
    item = next(item for item in dataclasses.fields(job) if item.name == option)
    kind = _kind(item, job)
    given = "Literal[True]" if kind == "bool" else kind.removesuffix(" | None")
    idle = "Literal[False]" if kind == "bool" else "None"
    yield "@overload\n" + _function(verb, {option: f"{idle} = {item.default!r}"}, main_result)
    yield "@overload\n" + _function(verb, {option: given}, other, about=False)
    yield "@overload\n" + _function(verb, {option: kind}, f"{main_result} | {other}", about=False)


def _function(verb: str, changes: dict[str, str], result: str, *, about: bool = True) -> str:
    """One signature of a verb.

    Args:
        verb: Its name.
        changes: Types of parameters that are others here, with their default.
        result: What it returns.
        about: Whether it has a docstring.
    """
    name, job = verb.replace("-", "_"), JOBS[verb]
    function = getattr(api, name)
    fields = {item.name: f"{_kind(item, job)}{_default(item)}" for item in dataclasses.fields(job)} | changes
    parameters = [f"    {key}: {text}," for key, text in fields.items()]
    parameters += [  # what is for Python alone
        f"    {item.name}: {item.annotation} = {item.default!r},"
        for item in inspect.signature(function).parameters.values()
        if item.name not in fields and item.kind is item.KEYWORD_ONLY
    ]
    parameters += [f"    **options: Unpack[{options}]," for options in _options_type(verb)[:1]]
    body = _indented(_docstring(function)) if about else "    ..."
    return "\n".join([f"def {name}(", "    *,", *parameters, f") -> {result}:", body])


def _default(item: dataclasses.Field[Any]) -> str:
    if item.default is dataclasses.MISSING:
        return ""
    if dataclasses.is_dataclass(item.default):
        return " = ..."
    value = str(item.default) if isinstance(item.default, Path) else item.default
    return f" = {value!r}"


def _kind(item: dataclasses.Field[Any], owner: type[Any]) -> str:
    """The type of a field, as it may be given."""
    hint = get_type_hints(owner)[item.name]
    parts = [text for part in _alternatives(hint) for text in _texts(part, item.name)]
    return " | ".join(dict.fromkeys(parts))


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _texts(kind: Any, name: str) -> list[str]:
    """A type, and what else may be given for it, such as text for a path."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Path or (kind is str and name in NAMES_OF_FILES):
        return ["Path", "str"]
    if kind is type(None):
        return ["None"]
    if kind is Any:
        return ["Any"]
    if dataclasses.is_dataclass(kind):
        return _section_texts(kind)
    if origin is Literal:
        return [f"Literal[{', '.join(map(repr, inner))}]"]
    if origin in (tuple, list):
        ends = [" | ".join(_texts(part, name)) for part in inner if part is not Ellipsis]
        each = " | ".join(dict.fromkeys(ends))
        many = origin is list or Ellipsis in inner
        return [f"list[{each}]", f"tuple[{each}, ...]" if many else f"tuple[{', '.join(ends)}]"]
    if origin is not None:
        return [f"{origin.__name__}[{', '.join(' | '.join(_texts(part, '')) for part in inner)}]"]
    return [kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"]


def _section_texts(section: type[Any]) -> list[str]:
    """A section: a mapping of its options, its dataclass, or what its name alone stands for."""
    stand_in = next((item for item in dataclasses.fields(section) if item.name in STAND_INS), None)
    texts = [f"_{section.__name__}", f"config.{section.__name__}"]
    return [*texts, _kind(stand_in, section)] if stand_in else texts


def _docstring(documented: Any) -> str:
    return f'"""{inspect.cleandoc(documented.__doc__)}\n"""'


def _indented(*blocks: str) -> str:
    lines = [line for block in blocks for line in block.split("\n")]
    return "\n".join(f"    {line}" if line else "" for line in lines)


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
