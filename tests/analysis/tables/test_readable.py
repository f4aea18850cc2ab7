"""Tables as text: rounded, joined, and whole as Markdown and LaTeX."""

import pandas as pd

from analysis.tables.readable import plain

TABLE = pd.DataFrame(
    {"variant": ["a_b & 10%", "c|d"], "low": [-0.12345, 0.1], "high": [0.5, 0.25], "p_value": [1e-5, 0.25]}
)


def test_an_interval_is_one_column_and_a_tiny_p_value_is_bounded():
    table = plain(TABLE)
    assert table.header == ["variant", "interval", "p value"]
    assert table.rows == [["a_b & 10%", "-0.123 to 0.500", "<0.001"], ["c|d", "0.100 to 0.250", "0.250"]]


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
