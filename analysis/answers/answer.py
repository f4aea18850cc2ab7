"""What an answer is made of: points with a question, a few words and a sentence, and what limits them."""

from dataclasses import dataclass

CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Point:
    """One question that a reader has, its answer in a few words, and the sentence that these rest on."""

    question: str
    short: str
    sentence: str


@dataclass(frozen=True)
class Answer:
    """The answer point by point, and what limits it."""

    points: tuple[Point, ...]
    caveats: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the sentences alone."""
        return " ".join(point.sentence for point in self.points)


def percent(confidence: float) -> str:
    """Say a confidence level, such as ``95%``."""
    return f"{100 * confidence:g}%"
