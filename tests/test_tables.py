"""Tables in words."""

from boxseg.tables import Table


def test_scores_are_percent_and_gaps_are_dashes() -> None:
    table = Table(title="T", columns=("", "mIoU", "n"), rows=(("a", 0.61649, 3), ("b", None, 0)))
    assert table.texts() == [["a", "61.6", "3"], ["b", "–", "0"]]
    assert (
        table.markdown() == "**T**\n\n|  | mIoU | n |\n| --- | ---: | ---: |\n| a | 61.6 | 3 |\n| b | – | 0 |\n"
    )


def test_html_shows_the_first_rows_and_counts_the_others() -> None:
    table = Table(title="T", columns=("a", "b"), rows=tuple((number, "x") for number in range(250)))
    page = table.html(most=2)
    assert page.count("<tr>") == 1 + 2 + 1
    assert "<tr><td>1</td><td>x</td></tr><tr><td>… and 248 more</td><td></td></tr></tbody>" in page
    assert table.html(most=250).count("<tr>") == 251
