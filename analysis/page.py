"""Render the page: round the tables for reading, and fill the template.

In: findings, words, drawings and tables. Out: one HTML string that needs no network, no script and no other
file. The only home of jinja2.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from analysis.advice import describe, first_steps
from analysis.claims import Claim
from analysis.conclusions import Answer, percent
from analysis.drawing import Drawing
from analysis.falling_curve import describe_labels, describe_labels_interval
from analysis.findings import Findings
from analysis.next_steps import next_steps
from analysis.uncertainty import Floats

TEMPLATES = Path(__file__).with_name("templates")
Cells = list[list[str]]


class ReadableTable:
    """A table as the page shows it: a heading row and rows of text."""

    def __init__(self, header: list[str], rows: Cells) -> None:
        self.header = header
        self.rows = rows


def render_page(
    findings: Findings,
    answer: Answer,
    claims: list[Claim],
    drawings: list[Drawing],
    tables: Mapping[str, pd.DataFrame],
    reload_seconds: int | None = None,
) -> str:
    """Return the report as one HTML page, which loads itself anew every ``reload_seconds`` if these are given."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    results = findings.results
    return environment.get_template("report.html.j2").render(
        findings=findings,
        results=results,
        options=results.options,
        reload=reload_tag(reload_seconds) if reload_seconds else "",
        level=percent(results.options.confidence),
        margin=percent(results.options.near_minimum),
        answer=answer,
        steps=[(step, describe(step)) for step in first_steps(next_steps(findings))],
        claims=claims,
        drawings={drawing.name: drawing for drawing in drawings},
        svgs={drawing.name: _unique_ids(drawing) for drawing in drawings},
        labels_summary=labels_summary(findings, tables["labels_needed"]),
        tables={name: readable(name, table, findings) for name, table in tables.items()},
        data=_flatten(results.data),
        versions=_flatten(results.versions),
        epochs_per_arm=findings.variants.groupby("arm")["pretraining_epochs"].agg(list).to_dict(),
    )


def reload_tag(seconds: int) -> str:
    """Return the element that makes a browser load the page anew."""
    return f'<meta http-equiv="refresh" content="{seconds}">\n'


def without_reload(page: str) -> str:
    """Return a page that stays as it is."""
    return re.sub(reload_tag(0).replace('"0"', r'"\d+"'), "", page)


def readable(name: str, table: pd.DataFrame, findings: Findings) -> ReadableTable:
    """Turn a data frame into text: intervals in one column, numbers rounded to what they can bear."""
    table = _join_intervals(_with_label_words(name, table, findings))
    table = table.drop(columns=["cell_id", "stage_id", "unit_id"], errors="ignore")
    header = [str(column).replace("_", " ") for column in table.columns]
    rows = [
        [_text(str(column), value) for column, value in zip(table.columns, row, strict=True)]
        for row in table.to_numpy(dtype=object)
    ]
    return ReadableTable(header, rows)


def labels_summary(findings: Findings, needed: pd.DataFrame) -> ReadableTable:
    """Return the labels needed and their interval: one row per headline variant, one column per goal."""
    counts = findings.label_counts
    needed = needed[needed["margin"].isna() | (needed["margin"] == findings.results.options.near_minimum)]
    goals = [str(goal) for goal in needed["goal"].unique()]
    rows = []
    for variant in findings.headline:
        row = [variant]
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


def _with_label_words(name: str, table: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    """Say label counts beyond the measured range in words."""
    if name not in ("labels_needed", "label_equivalence") or table.empty:
        return table
    column = "labels" if name == "labels_needed" else "reference_labels"
    fewest = "or fewer" if name == "labels_needed" else "fewer than"
    counts = findings.label_counts
    words = {column: [describe_labels(value, counts, fewest) for value in table[column]]}
    intervals = [
        describe_labels_interval(*ends, counts, fewest) for ends in zip(table["low"], table["high"], strict=True)
    ]
    return table.assign(**words, interval=intervals).drop(columns=["low", "high"])


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
    return "n/a" if np.isnan(low) or np.isnan(high) else f"{_number(low)} to {_number(high)}"


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
    if value == 0 or abs(value) >= 100 or abs(value - round(value)) < 1e-9:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def _flatten(content: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Turn nested JSON into readable lines: ``num_patients train`` -> ``80``."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{name} ")
        elif isinstance(value, list):
            flat[name] = ", ".join(map(str, value)) or "none"
        else:
            flat[name] = str(value)
    return flat


def _unique_ids(drawing: Drawing) -> str:
    """Make the ids of an inlined SVG its own: matplotlib numbers them alike in every figure of a page."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{drawing.name}-\1"', drawing.svg)
    text = re.sub(r'(href="#|url\(#)([^")]+)', rf"\1{drawing.name}-\2", text)
    text = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", text, count=2)
    alt = jinja2.filters.escape(drawing.alt)  # type: ignore[attr-defined]
    return text.replace("<svg", f'<svg role="img" aria-label="{alt}"', 1)
