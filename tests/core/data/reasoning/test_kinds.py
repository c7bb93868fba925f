"""Each kind against an oracle of its own: arithmetic written here from the question, not from the kind."""

import re
from fractions import Fraction

from think.core.data.reasoning import records
from think.core.data.reasoning.checking import solves


def _drawn(kind: str, count: int = 300) -> list[records.Record]:
    return list(records.generate(count, seed=3, kinds=[kind]))


def _question(record: records.Record) -> str:
    found = re.search(r"Problem: (.*)", record["prompt"])
    assert found
    return found[1]


def test_bare_sums_and_differences() -> None:
    seen = 0
    for record in [*_drawn("addition"), *_drawn("subtraction")]:
        expression = re.search(r"(?:What is|Calculate|Work out) ([0-9 +-]+)[?.]$", _question(record))
        if expression:
            terms = re.findall(r"([+-]?) ?([0-9]+)", expression[1])
            assert int(record["answer"]) == sum(int(sign + digits) for sign, digits in terms)
            seen += 1
    assert seen > 50


def test_equations_hold_when_the_solution_is_put_in() -> None:
    seen = 0
    for record in _drawn("linear_equation"):
        equation = re.search(r"([0-9]+[xynkt(][^=]*) = (\S+(?: [+-] [0-9]+)?)", _question(record))
        if equation:
            value = Fraction(record["answer"])
            sides = [re.sub(r"([0-9])([xynkt(])", r"\1*\2", side.rstrip(".")) for side in equation.groups()]
            sides = [re.split(r" (?:for|when)", side)[0].rstrip(".?") for side in sides]
            name = dict.fromkeys("xynkt", value)
            left, right = (eval(side, {}, name) for side in sides)
            assert left == right, _question(record)
            seen += 1
    assert seen > 150


def test_expressions() -> None:
    seen = 0
    for record in _drawn("multi_step"):
        expression = re.search(r"(?:Calculate|Work out|Find the value of) (.*)\.$", _question(record))
        if expression:
            assert int(record["answer"]) == eval(expression[1].replace("×", "*"))
            seen += 1
    assert seen > 30


def test_division_by_its_three_questions() -> None:
    block = {"kind": "division_story", "operands": {"total": 47, "groups": 5, "asked": "left_over"}}
    assert [n for n in range(60) if solves(block, Fraction(n))] == [2]
    block["operands"]["asked"] = "needed"  # type: ignore[index]
    assert [n for n in range(60) if solves(block, Fraction(n))] == [10]
    block["operands"]["asked"] = "share"  # type: ignore[index]
    assert not any(solves(block, Fraction(n)) for n in range(60))
    assert solves(block, Fraction(47, 5))


def test_validators_refuse_impossible_operands_quietly() -> None:
    blocks = [
        {"kind": "division_story", "operands": {"total": 4, "groups": 0, "asked": "share"}},
        {"kind": "linear_equation", "operands": {"a": 2, "b": 1, "c": 2, "d": 1}},
        {"kind": "ratio", "operands": {"first": 0, "second": 0, "given": 3}},
        {"kind": "multi_step", "operands": {"start": 1, "moves": [{"operation": "divide", "number": 0}]}},
    ]
    for block in blocks:
        assert not any(solves(block, Fraction(value)) for value in range(-3, 4))


def test_answers_are_not_all_alike() -> None:
    for kind in ("addition", "subtraction", "linear_equation", "division_story", "ratio", "multi_step"):
        drawn = [record["answer"] for record in _drawn(kind)]
        most_common = max(drawn.count(answer) for answer in set(drawn))
        assert most_common < 0.12 * len(drawn), kind
