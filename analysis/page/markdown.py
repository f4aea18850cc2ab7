"""The report as Markdown, for a README or an issue: what the page says in its order, figures by link, long tables
folded.

In: a report's content. Out: Markdown whose links are relative to the report's folder.
"""

from collections.abc import Iterable

from analysis.figures.drawing import Drawing
from analysis.findings import Findings
from analysis.page.content import Content
from analysis.page.methods import methods
from analysis.planning.advice import describe, first_steps, nothing_open
from analysis.tables.design import design_rows, finished_words, flattened, gap_words, settings_text
from analysis.tables.distance_tables import gaps
from analysis.tables.readable import ReadableTable, escaped, labels_summary
from analysis.tables.score_tables import group_words

DESIGN = ("encoders", "progress", "missing", "failures")
SECTIONS: tuple[
    tuple[str, tuple[str, ...], tuple[str, ...]], ...
] = (  # a title, its figures and its tables in the text
    ("Convergence", ("convergence", "time_to_target", "speed_up"), ("convergence",)),
    ("Error and labels", ("error_vs_labels", "paired_differences"), ("errors", "differences")),
    ("Labels needed", (), ()),
    ("The law of error and labels", ("fitted_laws",), ("laws",)),
    (
        "What an arm's labels are worth",
        ("label_equivalence",),
        ("label_equivalence", "crossings", "best_arm", "best_arm_changes"),
    ),
    ("Pretraining epochs", ("pretraining_epochs", "enough_epochs"), ("pretraining_epochs",)),
    ("Example segmentations", ("examples_fewest_labels", "examples_most_labels"), ()),
    ("Structures and groups", (), ("dice_by_class", "error_by_group")),
    ("Distances and volumes", ("distances_and_ejection",), ("distances", "volumes", "ejection_fraction")),
    ("Cost", (), ("device_hours", "cost", "early_stopping", "pretraining")),
)
OPEN = ("errors", "progress", "failures", "device_hours")  # tables that are not folded


def render_markdown(content: Content) -> str:
    """Return the report as Markdown, in the order of the page."""
    findings, answer, results = content.findings, content.answer, content.findings.results
    head = f"{finished_words(results)}; {findings.num_seeds_words}"
    parts = [f"# {escaped(results.name)}", escaped(f"{head}; reference arm: {findings.reference}."), "## Answer"]
    parts.append(_bullets(_bold(f"{point.question} {point.short}.", point.sentence) for point in answer.points))
    parts += ["What limits it:", _bullets(map(escaped, answer.caveats))] if answer.caveats else []
    parts += _design(content)
    for title, figures, names in SECTIONS:
        shown = [_figure(drawing) for name in figures for drawing in content.drawings if drawing.name == name]
        if title == "Labels needed":
            shown.append(labels_summary(findings, content.tables["labels_needed"]).markdown())
        shown += [escaped(group_words(findings))] if "error_by_group" in names else []
        shown += map(escaped, gaps(findings) if "distances" in names else [])
        shown += _tables(content, names)
        parts += [f"## {title}", *shown] if shown else []
    parts += _next_steps(content)
    parts += ["## Claims of arXiv 2209.00314"]
    parts.append(
        _bullets(
            _bold(f"{claim.name}: {claim.verdict}.", f"{claim.statement} {claim.evidence}") for claim in content.claims
        )
    )
    return "\n\n".join([*parts, *_methods(findings), *_rest(content)]) + "\n"


def _design(content: Content) -> list[str]:
    """Say what was run, what is missing of it, and every warning."""
    findings = content.findings
    parts = ["## Design", ReadableTable(["", ""], [[name, value] for name, value in design_rows(findings)]).markdown()]
    sources = (("data", findings.results.data), ("version", findings.results.versions))
    rows = [[f"{which}: {name}", value] for which, content in sources for name, value in flattened(content).items()]
    parts += [_fold("Data and versions", ReadableTable(["", ""], rows).markdown())] if rows else []
    if settings := settings_text(findings):
        parts.append(_fold("Settings of experiment.yaml", f"```yaml\n{settings}```"))
    parts += ["## Missing and failed", escaped(" ".join(gap_words(findings))), *_tables(content, DESIGN)]
    return parts + ([_bullets(map(escaped, findings.results.warnings))] if findings.results.warnings else [])


def _tables(content: Content, names: Iterable[str]) -> list[str]:
    """Return the tables that have rows, folded but for those of OPEN."""
    found = []
    for name in names:
        if len(content.tables[name]):
            text, title = content.readable[name].markdown(), name.capitalize().replace("_", " ")
            found.append(f"{title}:\n\n{text}" if name in OPEN else _fold(title, text))
    return found


def _next_steps(content: Content) -> list[str]:
    parts = ["## What to run next"]
    steps = first_steps(content.steps)
    for step in steps:
        parts.append(_bold(step.question.words, describe(step)))
        parts += [f"```\n{step.settings}\n```"] if step.num_cells else []
    if len(parts) == 1:
        return [*parts, escaped(nothing_open(content.findings))]
    if any(step.num_cells for step in steps):
        parts.append(
            "Settings to add to the command of this sweep, with the same results folder: finished cells are not run "
            "again."
        )
    return parts


def _methods(findings: Findings) -> list[str]:
    described = methods(findings)
    return ["## Methods", escaped(described.text), "References:", _bullets(map(escaped, described.references))]


def _rest(content: Content) -> list[str]:
    links = ", ".join(f"[{name}](tables/{name}.csv)" for name, table in content.tables.items() if len(table))
    return [f"All tables, as CSV and LaTeX: {links}. What each quantity is: docs/quantities.md of the program."]


def _fold(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def _figure(drawing: Drawing) -> str:
    return f"![{escaped(drawing.alt)}](figures/{drawing.name}.png)\n\n*{escaped(drawing.caption)}*"


def _bold(first: str, rest: str) -> str:
    return f"**{escaped(first)}** {escaped(rest)}"


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
