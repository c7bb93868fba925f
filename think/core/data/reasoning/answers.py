"""A completion, read: its sections, the answer it states, and how sure it says it is.

The rule of the final answer. Every `Answer:` opens a statement that runs to the next section or to the end of the
text. A statement without a number says nothing. The completion has an answer when all numbers in all its statements
have one and the same value; `x = 7` is one number. So a list of numbers, two different answers, or a second number
after the answer is no answer at all.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from think.core.data.reasoning.numbers import numbers

SECTIONS = ("Plan", "Step", "Monitor", "Diagnosis", "Confidence", "Answer")
"Names of the sections that a report has, in order; `Step` may carry a number."

LEVELS = {"low": Fraction(1, 4), "medium": Fraction(1, 2), "high": Fraction(9, 10)}
"Probability of being right that a level of confidence stands for."

_HEADER = re.compile(rf"(?<![\w])({'|'.join(SECTIONS)})(?:[ \t]*[0-9]{{1,3}})?[*_ \t]*:", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """One named part of a completion; the text as it stands, line ends included."""

    name: str
    text: str


@dataclass(frozen=True)
class Answer:
    """What a completion states: a value, or the reason why it states none."""

    value: Fraction | None
    reason: str


def sections(completion: str) -> list[Section]:
    """The parts of a completion in order; text before the first header belongs to none."""
    headers = list(_HEADER.finditer(completion))
    starts = [header.start() for header in headers] + [len(completion)]
    return [
        Section(header[1].capitalize(), completion[header.end() : end])
        for header, end in zip(headers, starts[1:], strict=True)
    ]


def answer(completion: str) -> Answer:
    """The final answer of a completion, by the rule above."""
    statements = [section.text for section in sections(completion) if section.name == "Answer"]
    if not statements:
        return Answer(None, "no `Answer:` section")
    values = {value for statement in statements for value in numbers(statement)}
    if not values:
        return Answer(None, "no number after `Answer:`")
    if len(values) > 1:
        return Answer(None, f"{len(values)} different numbers after `Answer:`")
    (value,) = values
    return Answer(value, "stated" if value is not None else "the number after `Answer:` cannot be read")


def confidence(completion: str) -> Fraction | None:
    """Stated probability of being right, in [0, 1]; the last `Confidence:` counts; None when it says neither a level
    nor exactly one number in [0, 1] (or a per cent)."""
    stated = [section.text for section in sections(completion) if section.name == "Confidence"]
    if not stated:
        return None
    levels = {word for word in re.findall(r"[a-z]+", stated[-1].lower()) if word in LEVELS}
    values = set(numbers(stated[-1]))
    if len(levels) == 1 and not values:
        return LEVELS[levels.pop()]
    value = values.pop() if len(values) == 1 and not levels else None
    return value if value is not None and 0 <= value <= 1 else None
