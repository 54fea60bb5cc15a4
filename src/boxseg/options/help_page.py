"""The help page of a verb, made from the docstrings, types and defaults of its dataclasses."""

from __future__ import annotations

import shutil
import textwrap
from typing import Any

from boxseg.jobs import JOBS
from boxseg.options.files import preset
from boxseg.options.keys import Option, default_options, docstring, options_of, placeholder, to_word

UNBROKEN = "\N{NO-BREAK SPACE}"


def help_text(verb: str) -> str:
    """Help of a verb, as wide as the terminal, with options as they are typed: key=VALUE."""
    job = JOBS[verb]
    options = options_of(job).values()
    required = [option.key.removesuffix(".root").upper() for option in options if option.positional]
    required += [f"{o.key}=…" for o in options if o.required and not (o.positional or o.left_out)]
    usual = default_options(job) | preset(verb, {})
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 120)
    sections: dict[str, list[Option]] = {"": []}
    for option in options:
        sections.setdefault(option.key.rpartition(".")[0], []).append(option)
    usage = " ".join(["usage: boxseg", verb, *required, "[key=value …] [-c FILE.yaml]"])
    lines = [usage, "", *wrapped(docstring(job)[0], width)]
    for inside in sections.values():
        heading = inside[0].heading.removesuffix(".") or "Input and output"
        lines += ["", *wrapped(f"{heading}:", width)]
        lines += [line for option in inside for line in _described(option, usual, width)]
    return "\n".join(lines) + "\n"


def _described(option: Option, usual: dict[str, Any], width: int) -> list[str]:
    """Lines of an option: how it is typed and, beside or below that, what it does."""
    typed, column = f"  {option.key}={placeholder(option.kind)}", width // 3
    if option.required and option.key not in usual:
        note = f"(required for {option.left_out}.*)" if option.left_out else "(required)"
    else:
        note = "" if usual[option.key] is None else f"(default: {to_word(usual[option.key])})"
    text = f"{option.text} {note.replace(' ', UNBROKEN)}"
    lines = [" " * column + line for line in wrapped(text, width - column)]
    if len(typed) + 2 > column:
        return [typed, *lines]
    return [typed + lines[0][len(typed) :], *lines[1:]]


def wrapped(text: str, width: int) -> list[str]:
    """Text as lines; words are not broken."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace(UNBROKEN, " ") for line in lines]
