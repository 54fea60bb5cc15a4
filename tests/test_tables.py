"""Tables in words."""

from boxseg.tables import Table


def test_scores_are_percent_and_gaps_are_dashes() -> None:
    table = Table(title="T", columns=("", "mIoU", "n"), rows=(("a", 0.61649, 3), ("b", None, 0)))
    assert table.texts() == [["a", "61.6", "3"], ["b", "–", "0"]]
    assert (
        table.markdown() == "**T**\n\n|  | mIoU | n |\n| --- | ---: | ---: |\n| a | 61.6 | 3 |\n| b | – | 0 |\n"
    )
