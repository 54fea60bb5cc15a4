"""A JSON schema of YAML files with options, by which editors complete and check them.

One file serves all verbs, so there is one schema, with the options of all of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from boxseg.errors import ConfigError
from boxseg.jobs import JOBS
from boxseg.options.keys import Option, kinds_in, options_of, to_plain

_DIALECT = "http://json-schema.org/draft-07/schema#"  # the latest that YAML's language server knows fully


def answer(words: Sequence[str]) -> str:
    """What `boxseg schema` prints.

    Raises:
        ConfigError: There are further words.
    """
    if any(word in ("-h", "--help") for word in words):
        return _USAGE
    if words:
        raise ConfigError(f"schema takes no further words, got {words[0]!r}: one schema serves all verbs")
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


_USAGE = """\
usage: boxseg schema > boxseg.schema.json

Prints a JSON schema of the files that `-c FILE.yaml` takes. Editors complete and check a file that begins with
  # yaml-language-server: $schema=boxseg.schema.json
"""


def schema() -> dict[str, Any]:
    """The schema of a file of options."""
    found = _section("", _by_key())
    # Dotted keys are options, too, such as `label.method: box`; which there are, boxseg checks.
    dotted: dict[str, Any] = {r"^[a-z_]+\.[a-z_.]+$": {}}
    return {"$schema": _DIALECT, "title": "Options of boxseg", **found, "patternProperties": dotted}


# The options of one key, by the verbs that have it: types and texts may differ.
_Alike = dict[str, Option]


def _by_key() -> dict[str, _Alike]:
    found: dict[str, _Alike] = {}
    for verb, job in JOBS.items():
        for key, option in options_of(job).items():
            found.setdefault(key, {})[verb] = option
    return found


def _section(prefix: str, options: dict[str, _Alike]) -> dict[str, Any]:
    """The schema of a mapping of the options whose keys begin with `prefix`."""
    inside = {key[len(prefix) :]: alike for key, alike in options.items() if key.startswith(prefix)}
    properties: dict[str, Any] = {}
    for name in dict.fromkeys(key.partition(".")[0] for key in inside):
        meanings = []
        if any(key.startswith(f"{name}.") for key in inside):
            meanings.append(_section(f"{prefix}{name}.", options))
        if f"{name}.enabled" in inside:  # `adapt: false`
            meanings.append({"type": "boolean"})
        if name in inside:
            meanings.append(_option(inside[name]))
        said = {"description": meanings[0]["description"]} if "description" in meanings[0] else {}
        properties[name] = meanings[0] if len(meanings) == 1 else {"anyOf": meanings, **said}
    heading = next((o.heading for key, a in inside.items() for o in a.values() if "." not in key), "")
    text = {"description": heading} if heading else {}
    return {"type": "object", **text, "properties": properties, "additionalProperties": False}


def _option(alike: _Alike) -> dict[str, Any]:
    kinds = list(dict.fromkeys(kind for option in alike.values() for kind in _parts(option.kind)))
    made = [_of_kind(kind) for kind in kinds]
    found: dict[str, Any] = dict(made[0]) if len(made) == 1 else {"anyOf": made}
    found["description"] = _said(alike)
    defaults = [to_plain(option.default) for option in alike.values() if not option.required]
    if defaults and all(value == defaults[0] for value in defaults):
        found["default"] = defaults[0]
    return found


def _said(alike: _Alike) -> str:
    """What the option does; if that differs between verbs, for each."""
    verbs: dict[str, list[str]] = {}
    for verb, option in alike.items():
        verbs.setdefault(option.text, []).append(verb)
    return "\n".join(verbs if len(verbs) == 1 else (f"{', '.join(of)}: {text}" for text, of in verbs.items()))


def _parts(kind: Any) -> tuple[Any, ...]:
    """The types of a union, with None."""
    return get_args(kind) if len(kinds_in(kind)) != 1 or type(None) in get_args(kind) else (kind,)


def _of_kind(kind: Any) -> dict[str, Any]:
    """The schema of values of a type, as YAML has them."""
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    from pydantic import TypeAdapter  # slow to import

    found: dict[str, Any] = TypeAdapter(kind).json_schema()
    found.pop("format", None)  # a path, which editors do not know
    return found
