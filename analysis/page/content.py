"""What a report is made of, each part found once, for the page and for Markdown.

In: findings. Out: a Content.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.answers.answer import Answer
from analysis.answers.claims import Claim
from analysis.figures.drawing import Drawing
from analysis.findings import Findings
from analysis.planning.next_steps import NextStep
from analysis.tables.readable import ReadableTable


@dataclass(frozen=True)
class Content:
    """The findings, and the words, figures and tables that show them."""

    findings: Findings
    answer: Answer
    claims: list[Claim]
    drawings: list[Drawing]
    tables: Mapping[str, pd.DataFrame]  # numbers, unrounded
    readable: Mapping[str, ReadableTable]  # the same as text
    steps: list[NextStep]  # what would settle what is open
