"""Several seeds of one recipe on one task: a figure for each size, with the interval that it deserves.

With one seed the interval is that of the rows; it says how well this model is known, and nothing of the next seed. With
two or more it is Student's over seeds, kept within what a share can be, and never narrower than what all rows together
leave open: seeds that happen to agree prove less than they seem to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from think.core.eval.scoring import Score
from think.core.eval.tasks import Result
from think.core.statistics import Interval, student, wilson

SOLVED = 0.95
"Scaled accuracy from which on a task counts as solved."

NEAR_GUESSING = 0.2
"A scaled accuracy surely below this, and not surely above 0, counts as guessing."


@dataclass(frozen=True)
class AtSize:
    """One size: the scaled accuracy over seeds, the accuracy, guessing, and each seed's own scaled accuracy."""

    size: int
    trained: bool
    scaled: Interval
    accuracy: float
    chance: float
    each: tuple[float, ...]

    @property
    def says(self) -> str:
        """In a word: "solved" and "guessing" only where the interval says so."""
        if self.scaled.low >= SOLVED:
            return "solved"
        if self.scaled.low > 0:
            return "above guessing"
        return "guessing" if self.scaled.high <= NEAR_GUESSING else "cannot tell"

    def as_json(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "trained": self.trained,
            "scaled": self.scaled.as_json(),
            "accuracy": self.accuracy,
            "chance": self.chance,
            "each": list(self.each),
            "says": self.says,
        }


def summarise(results: Sequence[Result]) -> list[AtSize]:
    """By size. Raises ValueError when the results are not of the same task, sizes and training."""
    first = results[0]
    if any((one.task, one.trained) != (first.task, first.trained) for one in results):
        raise ValueError("results of different tasks")
    found = []
    for scores in zip(*(one.scores for one in results), strict=True):
        if len({score.size for score in scores}) > 1:
            raise ValueError("results at different sizes")
        each = tuple(score.scaled.value for score in scores)
        interval = scores[0].scaled if len(scores) == 1 else _over_seeds(scores, each)
        found.append(
            AtSize(
                size=scores[0].size,
                trained=scores[0].size <= first.trained[1],
                scaled=interval,
                accuracy=sum(score.accuracy.value for score in scores) / len(scores),
                chance=scores[0].chance,
                each=each,
            )
        )
    return found


def _over_seeds(scores: Sequence[Score], each: Sequence[float]) -> Interval:
    over, chance = student(each), scores[0].chance
    right, rows = sum(score.accuracy.value * score.rows for score in scores), sum(score.rows for score in scores)
    pooled = Score(scores[0].size, rows, rows, wilson(right, rows), chance).scaled
    low, high = max(over.low, -chance / (1 - chance)), min(over.high, 1.0)
    return Interval(over.value, min(low, pooled.low), max(high, pooled.high), over.count, over.level)
