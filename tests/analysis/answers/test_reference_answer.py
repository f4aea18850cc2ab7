"""What differs significantly from the reference at any label count is part of the answer, and nothing else of it."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.answers.conclusions import conclude
from analysis.answers.reference_answer import differences_point
from analysis.comparisons.comparison import PairedDifference
from analysis.findings import Difference
from analysis.intervals.uncertainty import Estimate


def difference(variant: str, label_count: int, ratio: float, adjusted: float) -> Difference:
    log, half = np.log(ratio), 0.05
    return Difference(variant, label_count, PairedDifference(Estimate(log, log - half, log + half, 5), 0.01), adjusted)


def test_each_told_difference_is_named_with_its_sign_and_interval(findings):
    told = [
        difference("masked", 224, 1.07, 0.03),
        difference("moco", 4, 0.8, 0.01),
        difference("moco", 12, 0.7, 0.02),
        difference("moco", 224, 1.3, 0.04),
        difference("simclr", 4, 0.9, 0.20),
        difference("simclr", 12, 0.9, np.nan),
    ]
    point = differences_point(replace(findings, differences=told))
    assert point.short == "4 of 5 comparisons significant"
    assert point.sentence == (
        "Of 5 comparisons with supervised-natural, all label counts together, 4 are significant after adjusting "
        "for all (Holm): "
        "masked has a higher error with 224 labelled slices (ratio of errors 1.07, 95% interval 1.02 to 1.12); "
        "moco has a lower error with 4 and 12 labelled slices (ratios of errors 0.70 to 0.80); "
        "moco has a higher error with 224 labelled slices (ratio of errors 1.30, 95% interval 1.24 to 1.37)."
    )


@pytest.mark.parametrize(
    ("p_values", "sentence"),
    [
        (
            (0.06, 1.0),
            "Of 2 comparisons with supervised-natural, all label counts together, none is significant after "
            "adjusting for all (Holm).",
        ),
        (
            (0.06, np.nan),
            "Of 1 comparison with supervised-natural, all label counts together, none is significant after",
        ),
    ],
)
def test_where_none_is_told_the_number_of_comparisons_is_said(findings, p_values, sentence):
    items = [difference("moco", count, 0.9, value) for count, value in zip((4, 12), p_values, strict=True)]
    assert differences_point(replace(findings, differences=items)).sentence.startswith(sentence)


def test_without_an_interval_there_is_nothing_to_say(findings):
    assert differences_point(replace(findings, differences=[difference("moco", 4, 0.9, np.nan)])) is None


def test_the_answer_names_what_the_table_of_differences_tells(many_seeds):
    told = [item for item in many_seeds.differences if item.adjusted_p_value < 0.05]
    (point,) = (
        each for each in conclude(many_seeds).points if each.question == "What differs from supervised-natural?"
    )
    assert told
    assert point.short == f"{len(told)} of {len(many_seeds.differences)} comparisons significant"
    assert all(f"{item.variant} has a " in point.sentence for item in told)
