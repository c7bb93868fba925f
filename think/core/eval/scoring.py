"""From right answers to figures.

scaled = (accuracy - chance) / (1 - chance): 0 is guessing, 1 is solved, whatever the number of answers.

The questions of one row share all that the row holds, so they are not independent and rows are what is counted: an
interval is Wilson's for as many trials as there are rows. Where questions of a row do agree less than that, it is wider
than it had to be, never narrower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from think.core.statistics import Interval, wilson


@dataclass(frozen=True)
class Score:
    """Right answers at one size.

    rows       sequences
    questions  scored symbols in all of them
    accuracy   share of right answers, each row counting alike
    chance     share that guessing gets
    """

    size: int
    rows: int
    questions: int
    accuracy: Interval
    chance: float

    @property
    def scaled(self) -> Interval:
        """The same with guessing at 0 and every answer right at 1; below 0 where guessing was better."""

        def scale(share: float) -> float:
            return (share - self.chance) / (1 - self.chance)

        at = self.accuracy
        return Interval(scale(at.value), scale(at.low), scale(at.high), at.count, at.level)

    def as_json(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "rows": self.rows,
            "questions": self.questions,
            "accuracy": self.accuracy.as_json(),
            "chance": self.chance,
            "scaled": self.scaled.as_json(),
        }


def score(size: int, right: Sequence[int], asked: Sequence[int], chance: float) -> Score:
    """From the right answers and the questions of each row. Raises ValueError for a row without questions."""
    if len(right) != len(asked) or not asked or min(asked) < 1:
        raise ValueError(f"{len(right)} rows of answers for {len(asked)} of questions, each of which needs one or more")
    shares = sum(each / count for each, count in zip(right, asked, strict=True))
    return Score(size, len(asked), sum(asked), wilson(shares, len(asked)), chance)
