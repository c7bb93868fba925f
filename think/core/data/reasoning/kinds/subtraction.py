"""Differences: what is left, how far apart, how cold; the result may be negative."""

from fractions import Fraction
from random import Random

from think.core.data.reasoning.kinds import Kind, Operands, Problem, Step
from think.core.data.reasoning.wording import THINGS, count, two_people


class Difference(Operands):
    """`start` minus every one of `taken`."""

    start: int
    taken: list[int]


def holds(operands: Difference, value: Fraction) -> bool:
    """Whether the value and all that was taken make up the start."""
    return value + sum(operands.taken) == operands.start


def propose(random: Random) -> Problem[Difference]:
    """Bare differences, things given away, a way still to go, and temperatures."""
    return random.choice((_bare, _given, _way, _cold))(random)


def _bare(random: Random) -> Problem[Difference]:
    top = random.choice((99, 999, 9999))
    first, second = random.randint(top // 10, top), random.randint(top // 10, top)
    question = random.choice(
        (
            f"What is {first} - {second}?",
            f"Subtract {second} from {first}.",
            f"Calculate {first} - {second}.",
            f"Take {second} away from {first}. What is the result?",
        )
    )
    return _problem(question, first, [second], "", 1 if top == 99 else 2)


def _given(random: Random) -> Problem[Difference]:
    person, friend = two_people(random)
    thing = random.choice(THINGS)
    taken = [random.randint(2, 40) for _ in range(random.choice((1, 2)))]
    start = sum(taken) + random.randint(2, 60)
    question = f"{person.name} has {count(start, thing)} and gives {taken[0]} of them to {friend.name}. "
    if len(taken) == 2:
        question += f"Later {person.he} loses {taken[1]} on the way home. "
    question += f"How many {thing.many} does {person.name} still have?"
    return _problem(question, start, taken, thing.many, len(taken))


def _way(random: Random) -> Problem[Difference]:
    person, _ = two_people(random)
    start = random.randint(120, 950)
    walked = random.randint(35, start - 30)
    goal = random.choice(("the lake", "the old tower", "the town", "the farm", "the harbour", "the market"))
    question = (
        f"The way to {goal} is {start} metres long. {person.name} has walked {walked} metres. How many metres are left?"
    )
    return _problem(question, start, [walked], "metres", 1)


def _cold(random: Random) -> Problem[Difference]:
    start = random.choice([degrees for degrees in range(-6, 26) if abs(degrees) != 1])
    fall = random.randint(3, 30)
    place = random.choice(("on the hill", "in the village", "by the lake", "in the valley", "at the harbour"))
    question = (
        f"In the evening it is {start} degrees {place}. During the night it gets {fall} degrees colder. "
        f"How many degrees is it in the morning?"
    )
    return _problem(question, start, [fall], "degrees", 2)


def _problem(question: str, start: int, taken: list[int], unit: str, difficulty: int) -> Problem[Difference]:
    steps, left = [], start
    for number in taken:
        steps.append(Step(f"{left} - {number}", Fraction(left - number)))
        left -= number
    back = " + ".join(str(number) for number in [left, *reversed(taken)])
    return Problem(
        question=question,
        operands=Difference(start=start, taken=taken),
        answer=Fraction(left),
        unit=unit,
        plan=f"Begin with {start} and subtract {' and then '.join(str(number) for number in taken)}",
        steps=tuple(steps),
        check=f"going back, {back} = {start}, the number I began with",
        keywords=("subtract", unit) if unit else ("subtract",),
        difficulty=difficulty,
    )


SPEC = Kind(Difference, propose, holds)
