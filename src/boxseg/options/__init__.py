"""From `key=value` words, YAML files or Python keywords to a checked job.

All options end in one flat mapping of dotted keys. pydantic converts and checks its values by the dataclasses
of `boxseg.jobs`, which also hold the defaults and the `--help` texts.
"""

from __future__ import annotations

from boxseg.options.build import build_job, from_python
from boxseg.options.files import RECIPES, load_mapping, read_yaml, recipe_path, to_yaml
from boxseg.options.help_page import help_text, wrapped
from boxseg.options.keys import (
    Flat,
    complete_key,
    default_options,
    docstring,
    flatten,
    options_of,
    to_plain,
)
from boxseg.options.words import parse_words, to_words

__all__ = [
    "RECIPES",
    "Flat",
    "build_job",
    "complete_key",
    "default_options",
    "docstring",
    "flatten",
    "from_python",
    "help_text",
    "load_mapping",
    "options_of",
    "parse_words",
    "read_yaml",
    "recipe_path",
    "to_plain",
    "to_words",
    "to_yaml",
    "wrapped",
]
