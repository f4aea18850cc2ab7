"""Turn a results folder into one page that answers which pretraining, how many epochs and how many labels.

    python -m analysis.report RESULTS [--output DIR] [--watch [SECONDS]] [--format markdown]

In: a results folder. Out: index.html (self-contained) or report.md, figures/ (SVG and PNG), tables/ (CSV and LaTeX) and
fits.parquet; the answer and the page's place on standard output.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.answers.answer import Answer
from analysis.answers.claims import check_claims
from analysis.answers.conclusions import conclude
from analysis.figures.all_figures import draw_all
from analysis.findings import Findings, find
from analysis.loading.load import load_results, write_fits
from analysis.loading.selection import ReportError
from analysis.page.content import Content
from analysis.page.html_page import render_page
from analysis.page.markdown import render_markdown
from analysis.page.watch import Written, watch
from analysis.planning.advice import next_steps_table
from analysis.planning.next_steps import next_steps
from analysis.tables.all_tables import all_tables
from analysis.tables.readable import readable
from trainables.results import check_results, write_text
from trainables.results.programs import DONE, EXIT_CODES, program

WATCH_SECONDS = 30


@dataclass(frozen=True)
class Report:
    """What the results say in a few sentences, and where the page with everything is."""

    answer: str
    page: Path
    num_missing: int  # planned cells without a result
    num_given_up: int  # of these, cells whose failure is recorded


def write_report(
    results: Path,
    output: Path | None = None,
    protocol: str | None = None,
    *,
    layout: str = "html",
    reload_seconds: int | None = None,
) -> Report:
    """Write the report of a results folder, by default to its ``report`` folder and of its latest plan's protocol.

    ``layout`` is html or markdown. With ``reload_seconds`` the page asks its browser to load it anew that often.
    Raises ResultsError for a folder that holds no results of this schema and ReportError where no cell has finished or
    the output cannot be written.
    """
    output = Path(output) if output is not None else Path(results) / "report"
    findings = find(load_results(Path(results), protocol))
    try:
        answer, page = _write(output, findings, layout, reload_seconds)
    except OSError as error:
        raise ReportError(f"the report cannot be written to {output} ({error}); choose another --output") from error
    missing = findings.results.missing
    num_given_up = int((missing["reason"] != "").sum())
    return Report(" ".join([answer.text, *answer.caveats]), page, len(missing), num_given_up)


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report", description="Write the report of a sweep.", epilog=EXIT_CODES
    )
    parser.add_argument("results", type=Path, help="the results folder of a sweep")
    parser.add_argument("--output", type=Path, help="where the report goes (default: RESULTS/report)")
    parser.add_argument("--protocol", help="the protocol whose cells are shown (default: that of the latest plan)")
    parser.add_argument("--format", choices=("html", "markdown"), default="html", help="index.html or report.md")
    parser.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help="write it anew while cells come in",
    )
    _run(parser.parse_args(arguments))
    return DONE


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected whole seconds, at least 1, found {text!r}")
    return int(text)


def _run(chosen: argparse.Namespace) -> None:
    def write(reload_seconds: int | None) -> Written:
        report = write_report(
            chosen.results, chosen.output, chosen.protocol, layout=chosen.format, reload_seconds=reload_seconds
        )
        return Written(report.page, report.num_missing, report.num_given_up)

    if chosen.watch is not None:
        check_results(chosen.results)
        watch(chosen.results, write, chosen.watch, lambda words: print(words, flush=True))
        return
    report = write_report(chosen.results, chosen.output, chosen.protocol, layout=chosen.format)
    print(report.answer)
    print(f"Report: {report.page}")


def _write(output: Path, findings: Findings, layout: str, reload_seconds: int | None) -> tuple[Answer, Path]:
    content = _content(findings)
    (output / "tables").mkdir(parents=True, exist_ok=True)
    for name, table in content.tables.items():
        table.to_csv(output / "tables" / f"{name}.csv", index=False)
        (output / "tables" / f"{name}.tex").write_text(content.readable[name].latex())
    write_fits(output / "fits.parquet", content.tables["laws"])
    for drawing in content.drawings:
        drawing.save(output / "figures")
    page = output / ("index.html" if layout == "html" else "report.md")
    write_text(page, render_page(content, reload_seconds) if layout == "html" else render_markdown(content))
    return content.answer, page.absolute()


def _content(findings: Findings) -> Content:
    steps = next_steps(findings)
    tables = all_tables(findings) | {"next_steps": next_steps_table(steps)}
    return Content(
        findings=findings,
        answer=conclude(findings),
        claims=check_claims(findings),
        drawings=draw_all(findings),
        tables=tables,
        readable={name: readable(name, table, findings) for name, table in tables.items()},
        steps=steps,
    )


if __name__ == "__main__":
    sys.exit(main())
