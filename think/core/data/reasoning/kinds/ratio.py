"""Things that grow together: mixtures, recipes, steady speed, prices and parts of a whole."""

from fractions import Fraction
from random import Random

from think.core.data.reasoning.kinds import Kind, Operands, Problem, Step
from think.core.data.reasoning.numbers import written
from think.core.data.reasoning.wording import THINGS, two_people


class Proportion(Operands):
    """`first` goes with `second`; what goes with `given`?"""

    first: int
    second: int
    given: int


def holds(operands: Proportion, value: Fraction) -> bool:
    """Whether first : second equals given : value, compared across."""
    return operands.first != 0 and operands.first * value == operands.given * operands.second


def propose(random: Random) -> Problem[Proportion]:
    """Mixtures, recipes, speed, prices, and a whole split in a ratio."""
    return random.choice((_mixture, _recipe, _speed, _price, _split))(random)


def _mixture(random: Random) -> Problem[Proportion]:
    thing = random.choice(THINGS)
    one, other = random.sample(("red", "blue", "green", "yellow", "white", "black"), 2)
    first, second, times = random.randint(2, 9), random.randint(2, 9), random.randint(2, 15)
    question = (
        f"In a bowl the ratio of {one} to {other} {thing.many} is {first}:{second}. "
        f"There are {first * times} {one} {thing.many}. How many {other} {thing.many} are there?"
    )
    return _problem(question, first, second, first * times, thing.many, 2)


def _recipe(random: Random) -> Problem[Proportion]:
    person, _ = two_people(random)
    dish = random.choice(("soup", "salad", "cake", "stew", "pie"))
    stuff = random.choice(("flour", "milk", "sugar", "water", "rice"))
    people, cups = random.choice((2, 4, 5, 8)), random.randint(2, 9)
    given = people * random.randint(2, 6) + random.choice((0, 0, 1))
    question = (
        f"A {dish} for {people} people needs {cups} cups of {stuff}. {person.name} cooks the {dish} for {given} "
        f"people. How many cups of {stuff} does {person.he} need?"
    )
    return _problem(question, people, cups, given, "cups", 2)


def _speed(random: Random) -> Problem[Proportion]:
    vehicle = random.choice(("train", "bus", "boat", "car", "truck"))
    hours, speed = random.randint(2, 6), random.randint(12, 90)
    given = random.choice([number for number in range(2, 13) if number != hours])
    question = (
        f"A {vehicle} goes {hours * speed} kilometres in {hours} hours. "
        f"How many kilometres does it go in {given} hours at the same speed?"
    )
    return _problem(question, hours, hours * speed, given, "kilometres", 2)


def _price(random: Random) -> Problem[Proportion]:
    person, _ = two_people(random)
    thing = random.choice(THINGS)
    number, price = random.randint(2, 12), random.randint(2, 15)
    given = random.choice([other for other in range(3, 25) if other != number])
    question = (
        f"{number} {thing.many} cost {number * price} dollars. {person.name} buys {given} {thing.many}. "
        f"How many dollars does {person.he} pay?"
    )
    return _problem(question, number, number * price, given, "dollars", 2)


def _split(random: Random) -> Problem[Proportion]:
    person, friend = two_people(random)
    thing = random.choice(THINGS)
    mine, yours, times = random.randint(2, 9), random.randint(2, 9), random.randint(2, 15)
    total = (mine + yours) * times
    question = (
        f"{person.name} and {friend.name} split {total} {thing.many} in the ratio {mine}:{yours}. "
        f"How many {thing.many} does {person.name} get?"
    )
    whole = mine + yours
    return Problem(
        question=question,
        operands=Proportion(first=whole, second=mine, given=total),
        answer=Fraction(mine * times),
        unit=thing.many,
        plan=f"Add the parts of the ratio, find the size of a part, and take {mine} of them",
        steps=(
            Step(f"{mine} + {yours}", Fraction(whole)),
            Step(f"{total} / {whole}", Fraction(times)),
            Step(f"{mine} × {times}", Fraction(mine * times)),
        ),
        check=f"{friend.name} gets {yours} × {times} = {yours * times}, and {mine * times} + {yours * times} = {total}",
        keywords=("ratio", thing.many),
        difficulty=3,
    )


def _problem(question: str, first: int, second: int, given: int, unit: str, difficulty: int) -> Problem[Proportion]:
    value = Fraction(given * second, first)
    factor = Fraction(given, first)
    if factor.denominator == 1:
        plan = f"Find how many times {first} fits into {given} and take {second} as often"
        steps = (Step(f"{given} / {first}", factor), Step(f"{second} × {written(factor)}", value))
    else:
        plan = f"Multiply {second} by {given} and divide by {first}"
        steps = (Step(f"{second} × {given}", Fraction(second * given)), Step(f"{second * given} / {first}", value))
    return Problem(
        question=question,
        operands=Proportion(first=first, second=second, given=given),
        answer=value,
        unit=unit,
        plan=f"The ratio stays the same. {plan}",
        steps=steps,
        check=(
            f"comparing across, {first} × {written(value)} = {written(first * value)} "
            f"and {given} × {second} = {given * second}"
        ),
        keywords=("ratio", "same"),
        difficulty=difficulty,
    )


SPEC = Kind(Proportion, propose, holds)
