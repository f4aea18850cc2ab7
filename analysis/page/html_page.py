"""Render the page: fill its template.

In: a report's content. Out: one HTML string that needs no network, no script and no other
file. The only home of jinja2.
"""

import re
from pathlib import Path

import jinja2

from analysis.answers.answer import percent
from analysis.figures.drawing import Drawing
from analysis.loading.epochs_axis import numbers_of_epochs
from analysis.loading.replicates import are_subsets, seed_words
from analysis.page.content import Content
from analysis.page.methods import methods
from analysis.planning.advice import describe, first_steps, nothing_open
from analysis.tables.design import design_rows, finished_words, flattened, gap_words, settings_text
from analysis.tables.distance_tables import gaps
from analysis.tables.readable import labels_summary
from analysis.tables.score_tables import group_words

TEMPLATES = Path(__file__).with_name("templates")
TELEPHONE_REM = 21  # of a figure's width at 390 px; wider ones are scrolled sideways there
REM_PER_POINT = 0.09  # a figure of one panel is not blown up to the page's width, and its letters stay like the text's


def render_page(content: Content, reload_seconds: int | None = None) -> str:
    """Return the report as one HTML page, which loads itself anew every ``reload_seconds`` if these are given."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    findings, results = content.findings, content.findings.results
    return environment.get_template("report.html.j2").render(
        findings=findings,
        results=results,
        options=results.options,
        reload=reload_tag(reload_seconds) if reload_seconds else "",
        seed_words=seed_words(results.cells),
        are_subsets=are_subsets(results.cells),
        level=percent(results.options.confidence),
        margin=percent(results.options.near_minimum),
        answer=content.answer,
        steps=[(step, describe(step)) for step in first_steps(content.steps)],
        nothing_open=nothing_open(findings),
        claims=content.claims,
        methods=methods(findings),
        distance_gaps=gaps(findings),
        group_words=group_words(findings),
        drawings={drawing.name: drawing for drawing in content.drawings},
        svgs={drawing.name: _unique_ids(drawing) for drawing in content.drawings},
        labels_summary=labels_summary(findings, content.tables["labels_needed"]),
        tables=content.readable,
        design=design_rows(findings),
        finished=finished_words(results),
        settings=settings_text(findings),
        gap_words=gap_words(findings),
        data=flattened(results.data),
        versions=flattened(results.versions),
        epochs_per_arm=numbers_of_epochs(findings.variants),
    )


def reload_tag(seconds: int) -> str:
    """Return the element that makes a browser load the page anew."""
    return f'<meta http-equiv="refresh" content="{seconds}">\n'


def without_reload(page: str) -> str:
    """Return a page that stays as it is."""
    return re.sub(reload_tag(0).replace('"0"', r'"\d+"'), "", page)


def _unique_ids(drawing: Drawing) -> str:
    """Make the ids of an inlined SVG its own: matplotlib numbers them alike in every figure of a page."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{drawing.name}-\1"', drawing.svg)
    text = re.sub(r'(href="#|url\(#)([^")]+)', rf"\1{drawing.name}-\2", text)
    size = re.search(r'\swidth="([\d.]+)pt"', text)
    widest = REM_PER_POINT * float(size[1]) if size else 54.0
    scrolled = ' class="scrolled"' if widest > TELEPHONE_REM else ""
    text = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", text, count=2)
    alt = jinja2.filters.escape(drawing.alt)  # type: ignore[attr-defined]
    return text.replace("<svg", f'<svg{scrolled} style="--widest: {widest:.1f}rem" role="img" aria-label="{alt}"', 1)
