"""What speaks against a mask: the limits of the rule, and its words."""

from __future__ import annotations

import pytest

from boxseg.dataset import Correction
from boxseg.scoring.doubtful_masks import RULE, JudgedMask


@pytest.mark.parametrize(
    ("filled", "score", "source", "reasons"),
    [
        (0.5, 0.7, "network", ()),
        (0.5, 0.699, "network", ("unsure",)),
        (0.0999, 0.9, "network", ("tiny",)),
        (0.1, 0.9, "network", ()),
        (0.95, 0.9, "network", ()),
        (0.951, 0.9, "network", ("fills box",)),
        (0.951, 0.1, "network", ("fills box", "unsure")),
        (0.78, 0.0, "fallback", ("fallback",)),
        (0.05, 0.0, "fallback", ("fallback", "tiny")),
        (0.5, 0.1, "sam", ()),  # its score is another one
        (0.05, 0.9, "grabcut", ("tiny",)),
    ],
)
def test_the_reasons_are_those_of_the_rule(
    filled: float, score: float, source: str, reasons: tuple[str, ...]
) -> None:
    mask = JudgedMask(box=400.0, filled=filled, score=score, source=source)
    assert mask.reasons == reasons


@pytest.mark.parametrize(
    ("corrected", "reasons"),
    [("ellipse", ()), ("box", ()), ("leave-out", ()), ("redraw", ("to be redrawn", "tiny", "unsure"))],
)
def test_somebody_has_looked_at_corrected_masks(corrected: Correction, reasons: tuple[str, ...]) -> None:
    mask = JudgedMask(box=400.0, filled=0.05, score=0.1, source="network", corrected=corrected)
    assert mask.reasons == reasons


def test_the_rule_in_words_names_its_limits_and_its_reasons() -> None:
    for words in ("10 %", "95 %", "below 0.7", "fallback", "tiny", "fills box", "unsure", "to be redrawn"):
        assert words in RULE
