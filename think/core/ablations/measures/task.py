"""How well the task of a cell was learnt, at trained sizes and beyond them: guessing is 0, every answer right is 1."""

from think.core.ablations.measures import Figure, Measure
from think.core.errors import BadData
from think.core.eval.tasks import evaluate
from think.core.runs import RunFolder

ROWS = 256
"Test rows of each size: two seeds of one recipe differ by more than these rows leave open."

FIGURES = {
    "scaled_within": Figure("scaled accuracy, mean of the tested sizes up to the largest trained", "higher"),
    "scaled_beyond": Figure("scaled accuracy, mean of the tested sizes above the largest trained", "higher"),
    "scaled_farthest": Figure("scaled accuracy at the largest tested size", "higher"),
}


def measure(run: RunFolder) -> dict[str, float]:
    """Raises Missing or BadData when the run has no task, or no size is tested on one side of the largest trained."""
    result = evaluate(run, rows=ROWS, keep=False)
    within = [score.scaled.value for score in result.within()]
    beyond = [score.scaled.value for score in result.beyond()]
    if not within or not beyond:
        raise BadData(
            f"{result.task} is tested at {', '.join(str(score.size) for score in result.scores)}, "
            f"and was trained on {result.trained[0]} to {result.trained[1]}",
            where=str(run.path),
            expected="tested sizes on both sides of the largest trained one",
        )
    return {
        "scaled_within": sum(within) / len(within),
        "scaled_beyond": sum(beyond) / len(beyond),
        "scaled_farthest": beyond[-1],
    }


SPEC = Measure(FIGURES, measure)
