"""A worked report on a problem: Plan, Step, Monitor, Diagnosis, Confidence, Answer.

`correct` is what a record stores as its gold report. `mended` makes a slip in one step, notices it and works that step
again: the embedded corpus has some of these, so that Monitor and Diagnosis are not always the same words.
"""

from fractions import Fraction
from random import Random
from typing import Any

from think.core.data.reasoning.kinds import Problem, Step
from think.core.data.reasoning.numbers import written
from think.core.data.reasoning.wording import capital

_RIGHT = (
    "correct, because the check agrees with the problem.",
    "correct, since going another way leads to the same result.",
    "correct, as the result fits the problem.",
    "correct. The check and the steps agree.",
)
_MENDED = (
    "correct now. There was a slip in step {number}, and I have mended it.",
    "correct after a slip in step {number}, which the check has found.",
)


def correct(problem: Problem[Any], random: Random) -> str:
    """A report without a mistake."""
    return _report(problem, list(problem.steps), f"{capital(problem.check)}.", random.choice(_RIGHT), "high")


def mended(problem: Problem[Any], random: Random) -> str:
    """A report with one wrong step that is found, worked again and put right; the answer is the right one."""
    position = len(problem.steps)
    right = problem.steps[-1]
    wrong = right.value + random.choice((-2, -1, 1, 2)) * random.choice((1, 1, 1, 10))
    monitor = f"{written(wrong)} does not fit. Step {position} again: {_line(right)}. With this, {problem.check}."
    steps = [*problem.steps[:-1], Step(right.expression, wrong)]
    diagnosis = random.choice(_MENDED).format(number=position)
    return _report(problem, steps, monitor, diagnosis, random.choice(("medium", "high")))


def final(problem: Problem[Any]) -> str:
    """The answer with its unit."""
    return f"{written(problem.answer)} {problem.unit}".rstrip()


def _report(problem: Problem[Any], steps: list[Step], monitor: str, diagnosis: str, confidence: str) -> str:
    return "\n".join(
        [
            f"Plan: {problem.plan}.",
            *(f"Step {number}: {_line(step)}" for number, step in enumerate(steps, start=1)),
            f"Monitor: {monitor}",
            f"Diagnosis: {diagnosis}",
            f"Confidence: {confidence}",
            f"Answer: {final(problem)}",
        ]
    )


def _line(step: Step) -> str:
    return f"{step.expression} = {written(Fraction(step.value))}"
