"""The instructions around a question.

They hold no digit and no number word, so that they can never contain the answer.
"""

from random import Random

_ORDERS = (
    "Solve the problem and write a report. Use exactly these parts, in this order, each on a new line:",
    "Answer in the form of a report. Every part below must appear, in this order, each on a line of its own:",
    "Think first, then report. Your reply must have all of these parts, in this order, a new line for each:",
    "Work through the problem below. Reply with these parts only, in this order, each on a new line:",
)
_PARTS = (
    (
        "Plan: say how you will solve it.",
        "Plan: name what you will do before you do it.",
        "Plan: describe your way to the result.",
    ),
    (
        "Step: show the work, with a numbered line for each calculation.",
        "Step: a numbered line for every calculation, with its result.",
        "Step: write each calculation on a numbered line.",
    ),
    (
        "Monitor: check the result in another way.",
        "Monitor: test whether the result fits the problem.",
        "Monitor: go back and compare.",
    ),
    (
        "Diagnosis: say whether the result is correct or incorrect, and why.",
        "Diagnosis: judge your own work as correct or incorrect, with the reason.",
    ),
    (
        "Confidence: low, medium or high.",
        "Confidence: how sure you are, as low, medium or high.",
    ),
    (
        "Answer: the final number and no other number.",
        "Answer: only the final number, with nothing after it.",
        "Answer: the resulting number alone.",
    ),
)


def prompt(question: str, random: Random) -> str:
    """The question with strict instructions; which wording is drawn from `random`."""
    instructions = "\n".join([random.choice(_ORDERS), *(random.choice(part) for part in _PARTS)])
    if random.random() < 0.5:
        return f"Problem: {question}\n\n{instructions}\n"
    return f"{instructions}\n\nProblem: {question}\n"
