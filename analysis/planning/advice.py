"""Next steps in words, and as a table.

In: NextSteps. Out: sentences that promise no more than what is expected, and a data frame.
"""

import math
from collections.abc import Iterable

import pandas as pd

from analysis.counted import number
from analysis.findings import Findings
from analysis.planning.next_steps import NextStep

LOG_MOST = math.log(1000)  # an interval that is wider tells nothing more
FEW = 3  # steps that the page shows before the table of all


def first_steps(steps: list[NextStep]) -> list[NextStep]:
    """Return the steps to show first: which arm at the fewest labels, how many labels, how many epochs."""
    arms = [step for step in steps if step.question.about == "arms"]
    others = [step for step in steps if step.question.about != "arms"]
    return [*arms[:1], *others, *arms[1:]][:FEW]


def describe(step: NextStep) -> str:
    """Say what would settle a question, and what is to be expected of it."""
    compared = step.question.num_compared
    adjusted = f", adjusted for {compared} comparisons," if compared > 1 else ""
    now = f"Its interval{adjusted} is {_plus_minus(step.half_width)} with {number(step.seeds_now, 'seed')}"
    if math.isnan(step.half_width):
        now = f"With {number(step.seeds_now, 'seed')} that can be compared there is no interval"
    else:
        now += f" and {number(step.patients_now, 'test patient')}" * (step.patients_now > 1)
    if step.seeds is None:
        return f"{now}. {_beyond_seeds(step)}"
    if step.is_waiting:
        return f"{now}; the planned cells that are still missing come first."
    if step.num_cells == 0:
        return f"{now}, {_narrow_enough(step)}"
    then = f"{now}; {step.seeds} seeds, {number(step.num_cells, 'new cell')},"
    if math.isnan(step.expected):
        return f"{then} would give one."
    return (
        f"{then} are expected to bring it to {_plus_minus(step.expected)}, which would tell the two apart if the "
        "difference is what it seems, or show that it is small."
    )


def nothing_open(findings: Findings) -> str:
    """Say why there is no next step."""
    if len(findings.variants) > len(findings.headline) == 1:
        arm = findings.variants["arm"].iloc[0]
        return f"Of all arms only {arm} has finished cells: there is none to compare it with yet."
    if len(findings.headline) < 2:
        return f"Only {findings.reference} has finished cells: there is nothing to compare yet."
    return "Every question that is asked here is settled, at the confidence of this report."


def next_steps_table(steps: Iterable[NextStep]) -> pd.DataFrame:
    """List every open question with what would settle it; half-widths are adjusted for ``num_compared``."""
    columns = ["question", "num_compared", "half_width", "seeds", "seeds_needed", "expected_half_width"]
    columns += ["test_patients", "test_patients_needed", "new_cells", "settings"]
    rows = [
        (
            step.question.words,
            step.question.num_compared,
            step.half_width,
            step.seeds_now,
            step.seeds,
            step.expected,
            step.patients_now,
            step.patients,
            step.num_cells,
            step.settings,
        )
        for step in steps
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"seeds_needed": "Int64", "test_patients_needed": "Int64"})


def _narrow_enough(step: NextStep) -> str:
    """Say what an interval that is narrow enough means where the answer stays open all the same."""
    if step.question.num_compared > 1:
        return "narrow enough; what leaves the answer open is the adjustment for all that is compared."
    if step.question.is_small:
        most = _percent(step.question.size + step.half_width)
        return f"narrow enough; the difference seen is small, and up to {most} is not ruled out."
    return "narrow enough; more seeds are not expected to say more."


def _beyond_seeds(step: NextStep) -> str:
    if step.patients is not None:
        return (
            f"No number of seeds would settle it: with more cells the {step.patients_now} test patients remain; about "
            f"{step.patients} of them would be needed with these seeds."
        )
    return "Neither 50 seeds nor 2000 test patients alone would settle it: it may be too small a difference to matter."


def _plus_minus(half_width: float) -> str:
    """Say how far an interval of log errors reaches: in percent while both ends are near, else as a factor."""
    factor = math.exp(min(half_width, LOG_MOST))
    if factor < 2:
        return f"±{_percent(half_width)}"
    most = "more than " if half_width >= LOG_MOST else ""
    return f"a factor of {most}{factor:.{1 if factor < 10 else 0}f} either way"


def _percent(size: float) -> str:
    """Say a difference of log errors as a share of the error."""
    share = 100 * math.expm1(size)
    return f"{share:.{0 if share >= 1 else 1}f}% of the error"
