"""Sums of two to four numbers, whole or with two decimals."""

from fractions import Fraction
from random import Random
from typing import Literal

from think.core.data.reasoning.kinds import Kind, Operands, Problem, Step
from think.core.data.reasoning.numbers import written
from think.core.data.reasoning.wording import THINGS, capital, count, listed, two_people


class Sum(Operands):
    """`terms` in units of 1/`scale`: 325 with scale 100 is 3.25."""

    terms: list[int]
    scale: Literal[1, 100]


def holds(operands: Sum, value: Fraction) -> bool:
    """Whether taking every term away again leaves nothing."""
    return value * operands.scale - sum(operands.terms) == 0


def propose(random: Random) -> Problem[Sum]:
    """Bare sums, money, and things that people have."""
    return random.choice((_bare, _money, _gift, _colours))(random)


def _bare(random: Random) -> Problem[Sum]:
    top = random.choice((99, 999, 9999))
    terms = [random.randint(top // 10, top) for _ in range(random.choice((2, 2, 3, 4)))]
    shown = [str(term) for term in terms]
    question = random.choice(
        ("What is {plus}?", "Find the sum of {listed}.", "Add up {listed}.", "Calculate {plus}.", "Work out {plus}.")
    ).format(plus=" + ".join(shown), listed=listed(shown))
    return _problem(question, terms, 1, "", 1 if top == 99 else 2)


def _money(random: Random) -> Problem[Sum]:
    person, _ = two_people(random)
    goods = random.sample(("a book", "a cake", "a lamp", "a hat", "a map", "a kite", "a toy", "a ticket"), 3)
    terms = [10 * random.randint(10, 199) + random.randint(1, 9) for _ in range(random.choice((2, 3)))]
    items = [f"{good} for {written(Fraction(term, 100))} dollars" for good, term in zip(goods, terms, strict=False)]
    question = f"{person.name} buys {listed(items)}. How many dollars does {person.he} pay in total?"
    return _problem(question, terms, 100, "dollars", 2)


def _gift(random: Random) -> Problem[Sum]:
    person, friend = two_people(random)
    thing = random.choice(THINGS)
    terms = [random.randint(3, 90) for _ in range(2)]
    question = random.choice(
        (
            f"{person.name} has {count(terms[0], thing)}. {friend.name} gives {person.him} {terms[1]} more. "
            f"How many {thing.many} does {person.name} have now?",
            f"{person.name} finds {count(terms[0], thing)} and {friend.name} finds {terms[1]}. "
            f"How many {thing.many} do they have together?",
            f"There are {count(terms[0], thing)} in a basket. {person.name} puts in {terms[1]} more. "
            f"How many {thing.many} are in the basket then?",
        )
    )
    return _problem(question, terms, 1, thing.many, 1)


def _colours(random: Random) -> Problem[Sum]:
    person, _ = two_people(random)
    thing = random.choice(THINGS)
    colours = random.sample(("red", "blue", "green", "yellow", "white", "black"), 3)
    terms = [random.randint(4, 120) for _ in colours]
    items = [f"{term} {colour}" for term, colour in zip(terms, colours, strict=True)]
    question = f"{person.name} counts {listed(items)} {thing.many}. How many {thing.many} are there in all?"
    return _problem(question, terms, 1, thing.many, 2)


def _problem(question: str, terms: list[int], scale: Literal[1, 100], unit: str, difficulty: int) -> Problem[Sum]:
    values = [Fraction(term, scale) for term in terms]
    steps, total = [], values[0]
    for value in values[1:]:
        steps.append(Step(f"{written(total)} + {written(value)}", total + value))
        total += value
    back = " - ".join(written(value) for value in [total, *reversed(values[1:])])
    return Problem(
        question=question,
        operands=Sum(terms=terms, scale=scale),
        answer=total,
        unit=unit,
        plan=capital(f"add the numbers {listed([written(value) for value in values])}"),
        steps=tuple(steps),
        check=f"going back, {back} = {written(values[0])}, the number I began with",
        keywords=("add", unit) if unit else ("add",),
        difficulty=difficulty,
    )


SPEC = Kind(Sum, propose, holds)
