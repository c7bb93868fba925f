"""The final answer of a completion, its sections and its confidence."""

from fractions import Fraction

import pytest

from think.core.data.reasoning.answers import answer, confidence, sections


@pytest.mark.parametrize(
    "completion",
    [
        "Answer: 42",
        "answer: 42.0 apples.",
        "**Answer:** 42",
        "Step 1: 40 + 2 = 42\nAnswer: x = 42\n",
        "Answer:\n42\n",
        "Answer:\n- 42",
        "Answer: 42 (that is 84/2)",
        "Answer: $42.00",
        "Answer: the number you ask for\nStep 1: 6 × 7 = 42\nAnswer: 42",
        "Answer: 42\nConfidence: 90%",
        "Answer: 42. Answer: 42",
    ],
)
def test_states_forty_two(completion: str) -> None:
    assert answer(completion).value == 42


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "42",
        "Answer",
        "Answer:",
        "Answer: forty-two",
        "Answer: 42 or 43",
        "Answer: 42\n43",
        "Answer: 42\n\nand also 7",
        "Answer: 42\nAnswer: 43",
        "Answer: 43\nStep 9: no\nAnswer: 42",
        "Answer: item42",
        "Answer: 41 x42",
        "Answer: 1/0",
        "Answer: " + "4" * 10_000,
        "Answer: " + " ".join(str(number) for number in range(101)),
        "Answer: " + "\n".join(str(number) for number in range(101)),
        "Answer: " + "\n\n".join(str(number) for number in range(101)),
    ],
)
def test_states_nothing(completion: str) -> None:
    stated = answer(completion)
    assert stated.value is None
    assert stated.reason


def test_sections_in_order_with_numbered_steps() -> None:
    found = sections("noise\nPlan: a\nStep 1: b\nStep 2: c\nMonitor: d")
    assert [(part.name, part.text.strip()) for part in found] == [
        ("Plan", "a"),
        ("Step", "b"),
        ("Step", "c"),
        ("Monitor", "d"),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Confidence: high", Fraction(9, 10)),
        ("Confidence: Low.", Fraction(1, 4)),
        ("Confidence: 0.75", Fraction(3, 4)),
        ("Confidence: 80%\nAnswer: 3", Fraction(4, 5)),
        ("Confidence: low\nConfidence: medium", Fraction(1, 2)),
        ("Confidence: low, medium or high", None),
        ("Confidence: 1.5", None),
        ("Confidence:", None),
        ("Answer: 3", None),
    ],
)
def test_confidence(text: str, value: Fraction | None) -> None:
    assert confidence(text) == value
