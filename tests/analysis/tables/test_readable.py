"""Tables as text: rounded, joined, and whole as Markdown and LaTeX."""

import html
import re

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from analysis.tables.readable import escaped, plain, readable

TABLE = pd.DataFrame(
    {"variant": ["a_b & 10%", "c|d"], "low": [-0.12345, 0.1], "high": [0.5, 0.25], "p_value": [1e-5, 0.25]}
)


def test_an_interval_is_one_column_and_a_tiny_p_value_is_bounded():
    table = plain(TABLE)
    assert table.header == ["variant", "interval", "p value"]
    assert table.rows == [["a_b & 10%", "-0.123 to 0.500", "<0.001"], ["c|d", "0.100 to 0.250", "0.250"]]


def test_an_interval_that_goes_on_without_end_says_so():
    table = plain(pd.DataFrame({"uncut_low": [0.0, 0.684], "uncut_high": [np.inf, np.inf], "high": [1.0, 2.0]}))
    assert [row[0] for row in table.rows] == ["from 0, no upper end", "from 0.684, no upper end"]


def test_what_no_number_of_labels_reaches_is_never_reached():
    ends = {"labels_by_law": [np.inf, 320.0], "by_law_low": [np.inf, 250.0], "by_law_high": [np.inf, np.inf]}
    assert plain(pd.DataFrame(ends)).rows == [["never", "never"], ["320", "from 250, no upper end"]]


def test_a_worth_beyond_the_measured_labels_between_two_counts_is_said_in_words(findings):
    table = pd.DataFrame({"variant": ["a"], "reference_labels": [np.inf], "low": [0.0], "high": [np.inf]})
    shown = readable("label_equivalence_curve", table, findings)
    assert shown.rows == [["a", "more than 224", "fewer than 4 to more than 224"]]


@pytest.mark.parametrize(("name", "never"), [("best_arm_changes", "unknown"), ("crossings", "none")])
def test_label_counts_beyond_the_measured_ones_are_said_in_words(findings, name, never):
    table = pd.DataFrame(
        {
            "variant": ["a", "b", "c"],
            "labels": [89.8, 36, np.nan],
            "low": [0, 12, np.nan],
            "high": [np.inf, 112, np.nan],
        }
    )
    shown = readable(name, table.assign(is_certain=True), findings)
    assert findings.label_counts[[0, -1]].tolist() == [4, 224]
    assert shown.header == ["variant", "labels", "interval", "is certain"]
    assert shown.rows == [
        ["a", "90", "4 or fewer to more than 224", "True"],
        ["b", "36", "12 to 112", "True"],
        ["c", never, never, "True"],
    ]
    assert list(table.columns) == ["variant", "labels", "low", "high"]  # what the CSV is written from


def test_markdown_has_a_line_per_row_and_keeps_pipes_out_of_the_grid():
    lines = plain(TABLE).markdown().splitlines()
    assert lines[0] == "| variant | interval | p value |"
    assert lines[1] == "| --- | --- | --- |"
    assert lines[3] == "| c\\|d | 0.100 to 0.250 | 0.250 |"


def test_latex_uses_booktabs_and_escapes_what_it_would_read_as_commands():
    text = plain(TABLE).latex()
    assert text.startswith("\\begin{tabular}{lll}\n\\toprule\nvariant & interval & p value \\\\\n\\midrule\n")
    assert "a\\_b \\& 10\\% & $-$0.123 to 0.500 & $<$0.001 \\\\" in text
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")


def rendered(markdown: str) -> str:
    """What a reader of Markdown sees, by an implementation of CommonMark with GitHub's tables and strikethrough."""
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)
    return html.unescape(re.sub(r"<[^>]+>", "", page)).strip()


NAMES = (
    "a|b*c*<i>_$%&",
    "*bold* **x** _x_ __x__ snake_case ~~gone~~ `code`",
    "<script>alert(1)</script> & &lt; &amp;c",
    "[text](https://example.org) ![x](y) [x][y]",
    "back\\slash \\* $x$ $$y$$",
    "# no heading",
    "1. no list",
    "- no list",
    "> no quotation",
    "+fine",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_in_a_paragraph_a_list_and_a_table(name):
    assert rendered(escaped(name)) == name
    assert rendered(f"- {escaped(name)}") == name
    assert name in rendered(plain(pd.DataFrame({"variant": [name], "p_value": [0.5]})).markdown()).splitlines()
    assert not re.search(r"(?<!\\)\$", escaped(name))  # a formula on GitHub


def test_words_without_markup_are_left_as_they_are():
    words = "near_minimum: 4 to 12 (95% interval), e = f + b n^-a; 1.5 times"
    assert escaped(words) == words
