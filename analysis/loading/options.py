"""The ``report:`` section of experiment.yaml: what a report compares with.

In: the section as YAML gave it. Out: ReportOptions whose every value can be used, or a ReportError that names file,
finding, expectation and remedy. The sweep checks the same section before a run (``sweep.experiment``); this is for
files that were edited since, or written by hand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from analysis.loading.selection import ReportError


@dataclass(frozen=True)
class ReportOptions:
    """The ``report:`` section of experiment.yaml, with the defaults of the sweep."""

    reference_arm: str = "supervised-natural"
    convergence_fraction: float = 0.95
    convergence_dice: float | None = None  # takes the place of the fraction: one target for all label counts
    hold_evaluations: int = 2
    near_minimum: float = 0.10
    target_error: float | None = None
    bootstrap_resamples: int = 2000
    confidence: float = 0.95

    def target_words(self, reference: str) -> str:
        """Say what counts as converged, without the evaluations for which it must hold."""
        if self.convergence_dice is not None:
            return f"a validation Dice of {self.convergence_dice:g} at every label count"
        return (
            f"{self.convergence_fraction:g} times the median final validation Dice of {reference}, "
            "set for each label count"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: _is_number(value) and low < value < high


def _whole_from(lowest: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= lowest


RULES: dict[str, tuple[Callable[[Any], bool], str]] = {  # as in the sweep's ReportConfig
    "reference_arm": (lambda value: isinstance(value, str), "the name of an arm"),
    "convergence_fraction": (_between(0, 1), "a number between 0 and 1"),
    "convergence_dice": (_between(0, 1), "a number between 0 and 1, or null"),
    "hold_evaluations": (_whole_from(1), "a whole number of at least 1"),
    "near_minimum": (_between(0, float("inf")), "a number above 0"),
    "target_error": (_between(0, 1), "a number between 0 and 1, or null"),
    "bootstrap_resamples": (_whole_from(100), "a whole number of at least 100"),
    "confidence": (_between(0.5, 1), "a number between 0.5 and 1, such as 0.95"),
}
OPTIONAL = ("convergence_dice", "target_error")


def read_options(section: Any, where: object, warnings: list[str]) -> ReportOptions:
    """Check the section; ``where`` is its file. Unknown keys are warned about, impossible values a ReportError."""
    if section is None:
        return ReportOptions()
    if not isinstance(section, Mapping):
        raise ReportError(_wrong(where, "report", section, "a mapping of settings, or none", "remove the key"))
    known = {item.name for item in fields(ReportOptions)}
    if unknown := sorted(str(key) for key in section if key not in known):
        warnings.append(f"experiment.yaml: ignored unknown keys under report: {', '.join(unknown)}.")
    found = {key: value for key, value in section.items() if key in known}
    for key, value in found.items():
        fits, expected = RULES[key]
        if not (fits(value) or (value is None and key in OPTIONAL)):
            default = getattr(ReportOptions, key)
            remedy = f"remove the key for the default, {'null' if default is None else default}"
            raise ReportError(_wrong(where, f"report.{key}", value, expected, remedy))
    return ReportOptions(**found)


def _wrong(where: object, key: str, value: Any, expected: str, remedy: str) -> str:
    return f"{where}: {key} is {value!r}, expected {expected}; correct it, or {remedy}"
