"""Chains of two to four operations, bare or as a story."""

from fractions import Fraction
from random import Random
from typing import Literal

from think.core.data.reasoning.kinds import Kind, Operands, Problem, Step
from think.core.data.reasoning.numbers import written
from think.core.data.reasoning.wording import THINGS, listed, two_people

Operation = Literal["add", "subtract", "multiply", "divide"]

_SIGNS: dict[Operation, str] = {"add": "+", "subtract": "-", "multiply": "×", "divide": "/"}
_UNDO: dict[Operation, Operation] = {
    "add": "subtract",
    "subtract": "add",
    "multiply": "divide",
    "divide": "multiply",
}


class Move(Operands):
    """One operation with its number."""

    operation: Operation
    number: int


class Chain(Operands):
    """`start`, changed by every move in turn."""

    start: int
    moves: list[Move]


def holds(operands: Chain, value: Fraction) -> bool:
    """Whether undoing the moves, last one first, leads from the value back to the start."""
    if any(move.operation in ("multiply", "divide") and move.number == 0 for move in operands.moves):
        return False
    for move in reversed(operands.moves):
        value = _apply(value, _UNDO[move.operation], move.number)
    return value == operands.start


def propose(random: Random) -> Problem[Chain]:
    """Expressions, wages, a bus, boxes to share, and a mean."""
    return random.choice((_expression, _wages, _bus, _boxes, _mean))(random)


def _expression(random: Random) -> Problem[Chain]:
    a, b, c, d = (random.randint(2, 40), random.randint(2, 40), random.randint(2, 12), random.randint(2, 60))
    question, moves = random.choice(
        (
            (f"({a} + {b}) × {c} - {d}", _moves(("add", b), ("multiply", c), ("subtract", d))),
            (f"{a} × {c} + {b} - {d}", _moves(("multiply", c), ("add", b), ("subtract", d))),
            (f"({a} - {b}) × {c} + {d}", _moves(("subtract", b), ("multiply", c), ("add", d))),
            (f"({a} × {c} - {b}) × {d}", _moves(("multiply", c), ("subtract", b), ("multiply", d))),
        )
    )
    verb = random.choice(("Calculate", "Work out", "Find the value of"))
    return _problem(f"{verb} {question}.", a, moves, "", 2)


def _wages(random: Random) -> Problem[Chain]:
    person, _ = two_people(random)
    daily, days, saved = random.randint(6, 30), random.randint(2, 12), random.randint(5, 80)
    spent = random.randint(3, daily * days + saved - 2)
    good = random.choice(("a coat", "a lamp", "a bicycle", "some tools", "new shoes"))
    question = (
        f"{person.name} earns {daily} dollars a day and works for {days} days. {person.name} already had {saved} "
        f"dollars and spends {spent} dollars on {good}. How many dollars does {person.he} have in the end?"
    )
    moves = _moves(("multiply", days), ("add", saved), ("subtract", spent))
    return _problem(question, daily, moves, "dollars", 2)


def _bus(random: Random) -> Problem[Chain]:
    start = random.randint(12, 45)
    vehicle, stop = random.choice((("bus", "stop"), ("train", "station"), ("boat", "pier")))
    off, on = random.randint(2, 10), random.randint(2, 15)
    later = random.randint(2, start - off + on - 2)
    question = (
        f"There are {start} people on a {vehicle}. At the first {stop} {off} get off and {on} get on. "
        f"At the next {stop} {later} get off. How many people are on the {vehicle} now?"
    )
    return _problem(question, start, _moves(("subtract", off), ("add", on), ("subtract", later)), "people", 2)


def _boxes(random: Random) -> Problem[Chain]:
    person, friend = two_people(random)
    thing = random.choice(THINGS)
    each, boxes, friends = random.randint(6, 20), random.randint(3, 12), random.randint(2, 5)
    given = random.randint(2, each * boxes - 2 * friends)
    given += (each * boxes - given) % friends
    question = (
        f"{person.name} has {boxes} boxes with {each} {thing.many} in each. {person.name} gives {given} {thing.many} "
        f"to {friend.name} and shares the rest equally among {friends} children. "
        f"How many {thing.many} does each child get?"
    )
    moves = _moves(("multiply", boxes), ("subtract", given), ("divide", friends))
    return _problem(question, each, moves, thing.many, 3)


def _mean(random: Random) -> Problem[Chain]:
    person, _ = two_people(random)
    scores = [random.randint(2, 40) for _ in range(random.choice((3, 4, 5)))]
    scores[-1] += -sum(scores) % len(scores)
    question = (
        f"{person.name} plays a game and scores {listed([str(score) for score in scores])} points. "
        f"What is the mean score of these games?"
    )
    moves = _moves(*(("add", score) for score in scores[1:]), ("divide", len(scores)))
    return _problem(question, scores[0], moves, "points", 3)


def _moves(*pairs: tuple[Operation, int]) -> list[Move]:
    return [Move(operation=operation, number=number) for operation, number in pairs]


def _apply(value: Fraction, operation: Operation, number: int) -> Fraction:
    if operation == "add":
        return value + number
    if operation == "subtract":
        return value - number
    return value * number if operation == "multiply" else value / number


def _problem(question: str, start: int, moves: list[Move], unit: str, difficulty: int) -> Problem[Chain]:
    steps, value = [], Fraction(start)
    for move in moves:
        expression = f"{written(value)} {_SIGNS[move.operation]} {move.number}"
        value = _apply(value, move.operation, move.number)
        steps.append(Step(expression, value))
    back, undone = [], value
    for move in reversed(moves):
        expression = f"{written(undone)} {_SIGNS[_UNDO[move.operation]]} {move.number}"
        undone = _apply(undone, _UNDO[move.operation], move.number)
        back.append(f"{expression} = {written(undone)}")
    order = ", then ".join(f"{move.operation} {move.number}" for move in moves)
    return Problem(
        question=question,
        operands=Chain(start=start, moves=moves),
        answer=value,
        unit=unit,
        plan=f"Begin with {start}, then " + order.replace("divide ", "divide by ").replace("multiply ", "multiply by "),
        steps=tuple(steps),
        check=f"going back, {listed(back)}, the number I began with",
        keywords=("begin", moves[-1].operation),
        difficulty=difficulty,
    )


SPEC = Kind(Chain, propose, holds)
