"""The report as Markdown, for a README or an issue: the answer, what to run next, figures by link, tables, methods.

In: what the page is made of. Out: Markdown whose links are relative to the report's folder.
"""

from collections.abc import Iterable, Mapping

import pandas as pd

from analysis.advice import describe, first_steps
from analysis.claims import Claim
from analysis.conclusions import Answer
from analysis.drawing import Drawing
from analysis.findings import Findings
from analysis.methods import methods
from analysis.next_steps import next_steps
from analysis.readable import labels_summary, readable

SHOWN = ("errors", "differences")  # tables that stand in the text; the others are named


def render_markdown(
    findings: Findings,
    answer: Answer,
    claims: list[Claim],
    drawings: list[Drawing],
    tables: Mapping[str, pd.DataFrame],
) -> str:
    """Return the report as Markdown."""
    results, described = findings.results, methods(findings)
    head = f"{len(results.cells)} of {len(results.planned)} planned cells, {len(findings.seeds)} seeds"
    parts = [f"# {results.name}", f"{head}; reference arm: {findings.reference}.", "## Answer"]
    parts.append(_bullets(f"**{point.question} {point.short}.** {point.sentence}" for point in answer.points))
    parts += ["What limits it:", _bullets(answer.caveats)] if answer.caveats else []
    steps = first_steps(next_steps(findings))
    parts += ["## What to run next"] if steps else []
    for step in steps:
        parts.append(f"**{step.question.words}** {describe(step)}")
        parts += [f"```\n{step.settings}\n```"] if step.num_cells else []
    parts += ["## Figures", *(_figure(drawing) for drawing in drawings), "## Labels needed"]
    parts.append(labels_summary(findings, tables["labels_needed"]).markdown())
    for name in SHOWN:
        if len(tables[name]):
            parts += [f"## {name.capitalize()}", readable(name, tables[name], findings).markdown()]
    others = ", ".join(f"[{name}](tables/{name}.csv)" for name in tables if name not in SHOWN and len(tables[name]))
    parts += [f"All tables, as CSV and LaTeX: {others}.", "## Claims of arXiv 2209.00314"]
    parts.append(_bullets(f"**{claim.name}: {claim.verdict}.** {claim.statement} {claim.evidence}" for claim in claims))
    parts += ["## Methods", described.text, "References:", _bullets(described.references)]
    return "\n\n".join(parts) + "\n"


def _figure(drawing: Drawing) -> str:
    return f"![{drawing.alt}](figures/{drawing.name}.png)\n\n*{drawing.caption}*"


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
