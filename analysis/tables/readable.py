"""Tables as a person reads them: intervals in one column, numbers rounded to what they can bear, labels in words.

In: data frames of the report. Out: headings and rows of text, and the same as Markdown or LaTeX.
"""

import re

import numpy as np
import pandas as pd

from analysis.findings import Findings
from analysis.intervals.uncertainty import Floats
from analysis.labels.falling_curve import describe_labels, describe_labels_interval

Cells = list[list[str]]
NEVER = "never"  # of infinity: labels or steps that no number is enough for
LABEL_COLUMNS = {  # of tables whose label counts may lie beyond the measured ones
    "labels_needed": "labels",
    "label_equivalence": "reference_labels",
    "label_equivalence_curve": "reference_labels",
    "crossings": "labels",
    "best_arm_changes": "labels",
}


class ReadableTable:
    """A table as the page shows it: a heading row and rows of text."""

    def __init__(self, header: list[str], rows: Cells) -> None:
        self.header = header
        self.rows = rows

    def markdown(self) -> str:
        """Return the table in Markdown's pipes."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)

    def latex(self) -> str:
        """Return the table as a tabular of the package booktabs."""
        heads, *rows = (" & ".join(map(_latex, line)) + r" \\" for line in [self.header, *self.rows])
        lines = [r"\toprule", heads, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}"]
        return "\n".join([r"\begin{tabular}{" + "l" * len(self.header) + "}", *lines, ""])


def readable(name: str, table: pd.DataFrame, findings: Findings) -> ReadableTable:
    """Turn a data frame into text: intervals in one column, numbers rounded to what they can bear."""
    return plain(_with_label_words(name, table, findings))


def plain(table: pd.DataFrame) -> ReadableTable:
    """Turn a data frame into text without knowing what it is about."""
    table = _join_intervals(table)
    table = table.drop(columns=["cell_id", "stage_id", "unit_id"], errors="ignore")
    header = [str(column).replace("_", " ") for column in table.columns]
    rows = [
        [_text(str(column), value) for column, value in zip(table.columns, row, strict=True)]
        for row in table.to_numpy(dtype=object)
    ]
    return ReadableTable(header, rows)


def labels_summary(findings: Findings, needed: pd.DataFrame) -> ReadableTable:
    """Return the labels needed and their interval: one row per headline variant, one column per goal."""
    needed = needed[needed["margin"].isna() | (needed["margin"] == findings.results.options.near_minimum)]
    goals = [str(goal) for goal in needed["goal"].unique()]
    rows = []
    for variant in findings.headline:
        row, counts = [variant], findings.measured_counts(variant)
        for goal in goals:
            chosen = needed[(needed["variant"] == variant) & (needed["goal"] == goal)]
            columns = zip(chosen["labels"], chosen["low"], chosen["high"], strict=True)
            row.append(next((_labels_with_interval(*values, counts) for values in columns), "n/a"))
        rows.append(row)
    return ReadableTable(["variant", *goals], rows)


def _labels_with_interval(labels: float, low: float, high: float, label_counts: Floats) -> str:
    value = describe_labels(labels, label_counts)
    interval = describe_labels_interval(low, high, label_counts)
    return value if interval in (value, "unknown") else f"{value} ({interval})"


def _counts_by_row(name: str, table: pd.DataFrame, findings: Findings) -> list[Floats]:
    """Return the label counts beyond which nothing is known of what a row tells of."""
    if name == "labels_needed":
        return [findings.measured_counts(str(variant)) for variant in table["variant"]]
    of_reference = LABEL_COLUMNS[name] == "reference_labels"
    return [findings.measured_counts(findings.reference) if of_reference else findings.label_counts] * len(table)


def _with_label_words(name: str, table: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    """Say label counts beyond the measured range in words."""
    if name not in LABEL_COLUMNS or table.empty:
        return table
    column, counts = LABEL_COLUMNS[name], _counts_by_row(name, table, findings)
    fewest = "fewer than" if column == "reference_labels" else "or fewer"
    ends = zip(table["low"], table["high"], counts, strict=True)
    words = {column: [describe_labels(*each, fewest) for each in zip(table[column], counts, strict=True)]}
    intervals = [describe_labels_interval(low, high, own, fewest) for low, high, own in ends]
    if "interval" not in table:
        table = table.rename(columns={"low": "interval"}).assign(low=None)  # in its place
    table = table.assign(**words, interval=intervals).drop(columns=["low", "high"])
    return table.replace({column: "unknown", "interval": "unknown"}, "none") if name == "crossings" else table


def _join_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Replace each pair of columns low and high, or x_low and x_high, by one column of text."""
    for low in [str(column) for column in table.columns if str(column) == "low" or str(column).endswith("_low")]:
        high = low[: -len("low")] + "high"
        joined = [_interval(*ends) for ends in zip(table[low], table[high], strict=True)]
        place = table.columns.get_loc(low)
        assert isinstance(place, int)
        table = table.drop(columns=[low, high])
        table.insert(place, f"{low[: -len('low')]}interval", joined)
    return table


def _interval(low: float, high: float) -> str:
    if np.isnan(low) or np.isnan(high):
        return "n/a"
    if np.isposinf(low):
        return NEVER
    return f"from {_number(low)}, no upper end" if np.isposinf(high) else f"{_number(low)} to {_number(high)}"


def _text(column: str, value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | np.integer):
        return str(value)
    if isinstance(value, float | np.floating):
        if "p_value" in column and value < 0.001:
            return "<0.001"
        return _number(float(value))
    return "n/a" if value is None or pd.isna(value) else str(value)  # type: ignore[call-overload]


def _number(value: float) -> str:
    if np.isnan(value):
        return "n/a"
    if np.isposinf(value):
        return NEVER
    if value == 0 or abs(value) >= 100 or abs(value - round(value)) < 1e-9:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def escaped(text: str) -> str:
    """Return text as Markdown that shows it as it is: a name may hold what Markdown, or HTML in it, takes for markup.

    An underscore within a word is left, which Markdown leaves, too. Source: CommonMark 0.31, "Backslash escapes"; the
    tables and strikethrough of GitHub Flavored Markdown; dollars, which enclose a formula on GitHub.
    """
    text = re.sub(r"([\\`*\[\]$|~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")
    return re.sub(r"^(\d*)([#+>.)-])(?=\s)", r"\1\\\2", text)  # of a heading, a quotation or a list


def _cell(text: str) -> str:
    """Escape what stands in a table, and keep it on one line."""
    return escaped(" ".join(text.split("\n")))


def _latex(text: str) -> str:
    """Escape what LaTeX reads as commands; a minus before a digit is one."""
    text = re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", r"\textbackslash "))
    text = text.replace("~", r"\textasciitilde ").replace("^", r"\textasciicircum ").replace("±", r"$\pm$")
    text = text.replace("<", "$<$").replace(">", "$>$")
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", text)
