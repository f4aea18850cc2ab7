"""The statistics of the methods paragraph: how errors, laws, convergence, epochs and medians were worked out, with
sources.

In: Findings. Out: sentences, and the works that they cite.
"""

from analysis.answers.answer import percent
from analysis.findings import Findings
from analysis.labels.law_fit import LawFit
from analysis.labels.laws import FAMILIES
from analysis.loading.replicates import are_subsets

CROSSED = (
    "Dorfman, Berbaum & Metz (1992) Receiver operating characteristic rating analysis. "
    "Investigative Radiology 27:723-731",
    "Cochran (1964) Approximate significance levels of the Behrens-Fisher test. Biometrics 20:191-195",
    "Holm (1979) A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6:65-70",
    "Hochberg (1988) A sharper Bonferroni procedure for multiple tests of significance. Biometrika 75:800-802",
    "Fieller (1954) Some problems in interval estimation. Journal of the Royal Statistical Society B 16:175-185",
    "Owen (2007) The pigeonhole bootstrap. Annals of Applied Statistics 1:386-411",
    "Agarwal et al. (2021) Deep reinforcement learning at the edge of the statistical precipice. arXiv:2108.13264",
)
LAWS = (
    "Hestness et al. (2017) Deep learning scaling is predictable, empirically. arXiv:1712.00409",
    "Alabdulmohsin, Neyshabur & Zhai (2022) Revisiting neural scaling laws in language and vision. arXiv:2209.06640",
    "Viering & Loog (2022) The shape of learning curves: a review. arXiv:2103.10948",
)
CONVERGENCE = (
    "Kaplan & Meier (1958) Nonparametric estimation from incomplete observations. "
    "Journal of the American Statistical Association 53:457-481",
    "Royston & Parmar (2013) Restricted mean survival time. BMC Medical Research Methodology 13:152",
)
EPOCHS = (
    "Berger (1982) Multiparameter hypothesis testing and acceptance sampling. Technometrics 24:295-300",
    "Shaffer (1986) Modified sequentially rejective multiple test procedures. "
    "Journal of the American Statistical Association 81:826-831",
    "Schuirmann (1987) A comparison of the two one-sided tests procedure and the power approach. "
    "Journal of Pharmacokinetics and Biopharmaceutics 15:657-680",
)


def statistics(findings: Findings) -> tuple[str, tuple[str, ...]]:
    """Describe every statistic that the report uses on these results, and return the works that it cites."""
    parts: list[tuple[str, tuple[str, ...]]] = [(_errors(findings), CROSSED)]
    if len(findings.label_counts) > 2:
        parts.append((_laws(findings), LAWS))
    if findings.convergence.targets:
        parts.append((_convergence(findings), CONVERGENCE))
    if findings.epochs:
        parts.append((_epochs(findings), EPOCHS))
    return " ".join(words for words, _ in parts), tuple(work for _, works in parts for work in works)


def _errors(findings: Findings) -> str:
    options = findings.results.options
    level, margin, patients = percent(options.confidence), percent(options.near_minimum), findings.num_patients
    run = "seed" if are_subsets(findings.results.cells) else "run"
    crossed = f"seeds and {patients} test patients, both random and crossed" if patients > 1 else "seeds"
    return (
        "Error is 1 - mean foreground Dice, averaged over structures and phases, then over test patients. Arms have "
        f"geometric means over seeds and were compared with {findings.reference} by paired differences of logarithms, "
        f"with {level} t intervals over {crossed} (Dorfman, Berbaum & Metz 1992; Cochran 1964), p-values adjusted by "
        f"Holm's method (1979), those of the arm with the lowest mean against all others by Hochberg's method (1988). "
        f"The labels needed to come within {margin} of the error at the most labels have "
        "intervals from the inverted test (Fieller 1954). Medians have percentile intervals of "
        f"{options.bootstrap_resamples} resamples of seeds and of patients, each drawn independently (Owen 2007). "
        f"How likely one {run} of an arm beats one of another is the share of all pairs of {run}s (Agarwal et al. "
        "2021)."
    )


def _laws(findings: Findings) -> str:
    fitted = sum(isinstance(fit, LawFit) for fit in findings.laws.values())
    families = ", ".join(f"{family.name} ({family.formula})" for family in FAMILIES.values())
    return (
        f"Laws of error e and labels n were fitted to the log errors of all seeds by bounded least squares: {families} "
        "(Hestness et al. 2017; Viering & Loog 2022). The family that predicted held-out larger label counts best was "
        "taken (Alabdulmohsin, Neyshabur & Zhai 2022); bands span the families that predicted about as well. No law "
        "was fitted where a fall with labels could not be distinguished from chance (one-sided t test of slopes); "
        f"{fitted} of {len(findings.laws)} variants have one."
    )


def _convergence(findings: Findings) -> str:
    options = findings.results.options
    return (
        f"A run had converged at the first validation from which {options.hold_evaluations} in a row reached "
        f"{options.target_words(findings.reference)}. Runs that did not {findings.convergence.within()} were censored "
        "(Kaplan & Meier 1958) and mean steps restricted to the steps that all runs have (Royston & Parmar 2013). "
        "Speed-ups are geometric means over seeds of paired ratios of steps, with "
        f"{percent(options.confidence)} t intervals; with censored runs they are bounds."
    )


def _epochs(findings: Findings) -> str:
    margin = percent(findings.results.options.near_minimum)
    return (
        "A number of pretraining epochs was enough where one-sided paired t tests of non-inferiority with a margin of "
        f"{margin} (Schuirmann 1987) showed it not to be worse than any other number (Berger 1982), adjusted step down "
        "over the numbers (Shaffer 1986)."
    )
