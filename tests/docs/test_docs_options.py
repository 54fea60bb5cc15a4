"""Every option that a sentence in README.md or docs/ names is an option of some verb."""

from __future__ import annotations

import re

import pytest

from boxseg import options
from boxseg.cli import VERBS
from boxseg.errors import ConfigError
from boxseg.jobs import JOBS
from documented import PAGES, ROOT, page_name

# What stands for any option, and arguments of what is no verb: load, to_coco, OnnxPredictor, Trainer.
PYTHON_ARGUMENTS = {
    "key",
    "section.option",
    "category_ids",
    "providers",
    "device",
    "use_distributed_sampler",
    "progress",
}


@pytest.mark.parametrize("page", [page_name(path) for path in PAGES])
def test_options_named_in_a_sentence_are_known(page: str) -> None:
    """`crf.sigma_xy=60` in a text is an option of some verb."""
    text = re.sub(
        r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for key in re.findall(r"`([a-z][\w.]*)=[^`=]*`", text):
        assert any(is_option(key, verb) for verb in VERBS) or key in PYTHON_ARGUMENTS, f"{page}: {key}"


def is_option(key: str, verb: str) -> bool:
    try:
        options.complete_key(key, JOBS[verb], verb)
    except ConfigError as error:
        return "could be any of" in str(error)
    return True
