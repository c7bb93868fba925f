"""Stories of sharing: equal parts, what is left over, and how many boxes are needed."""

from fractions import Fraction
from random import Random
from typing import Literal

from think.core.data.reasoning.kinds import Kind, Operands, Problem, Step
from think.core.data.reasoning.numbers import written
from think.core.data.reasoning.wording import THINGS, count, two_people

_HOLDERS = (("box", "boxes"), ("bag", "bags"), ("basket", "baskets"), ("jar", "jars"))


class Division(Operands):
    """`total` in groups of, or among, `groups`; asked is the share, the rest, or the groups that hold everything."""

    total: int
    groups: int
    asked: Literal["share", "left_over", "needed"]


def holds(operands: Division, value: Fraction) -> bool:
    """Whether the value fits the division: shares make up the total, the rest is below a group, no group is spare."""
    total, groups = operands.total, operands.groups
    if groups < 1:
        return False
    if operands.asked == "share":
        return value * groups == total
    if operands.asked == "left_over":
        return 0 <= value < groups and ((total - value) / groups).denominator == 1
    return value.denominator == 1 and (value - 1) * groups < total <= value * groups


def propose(random: Random) -> Problem[Division]:
    """Equal shares of things or of rope, leftovers, and boxes."""
    return random.choice((_share, _rope, _left_over, _needed))(random)


def _share(random: Random) -> Problem[Division]:
    person, _ = two_people(random)
    thing, (holder, holders) = random.choice(THINGS), random.choice(_HOLDERS)
    groups, share = random.randint(2, 15), random.randint(2, 30)
    total = groups * share
    question = random.choice(
        (
            f"{person.name} shares {count(total, thing)} equally among {groups} friends. "
            f"How many {thing.many} does each friend get?",
            f"{person.name} puts {count(total, thing)} into {groups} {holders}, the same number in each. "
            f"How many {thing.many} are in each {holder}?",
        )
    )
    return Problem(
        question=question,
        operands=Division(total=total, groups=groups, asked="share"),
        answer=Fraction(share),
        unit=thing.many,
        plan=f"Divide {total} {thing.many} by {groups}",
        steps=(Step(f"{total} / {groups}", Fraction(share)),),
        check=f"{groups} × {share} = {total}, all the {thing.many} there are",
        keywords=("divide", thing.many),
        difficulty=1,
    )


def _rope(random: Random) -> Problem[Division]:
    person, _ = two_people(random)
    what = random.choice(("rope", "ribbon", "wire", "string"))
    groups = random.choice((2, 4, 5, 8, 10))
    total = random.randint(3, 120)
    share = Fraction(total, groups)
    question = (
        f"{person.name} cuts {total} metres of {what} into {groups} equal pieces. How many metres long is each piece?"
    )
    return Problem(
        question=question,
        operands=Division(total=total, groups=groups, asked="share"),
        answer=share,
        unit="metres",
        plan=f"Divide {total} metres by {groups}",
        steps=(Step(f"{total} / {groups}", share),),
        check=f"{groups} × {written(share)} = {total}, the whole {what}",
        keywords=("divide", "metres"),
        difficulty=2,
    )


def _left_over(random: Random) -> Problem[Division]:
    person, _ = two_people(random)
    thing, (_, holders) = random.choice(THINGS), random.choice(_HOLDERS)
    groups, full = random.randint(3, 15), random.randint(2, 20)
    rest = random.randint(1, groups - 1)
    total = groups * full + rest
    question = (
        f"{person.name} has {count(total, thing)} and fills {holders} with {groups} {thing.many} each. "
        f"How many {thing.many} are left over when no more can be filled?"
    )
    return Problem(
        question=question,
        operands=Division(total=total, groups=groups, asked="left_over"),
        answer=Fraction(rest),
        unit=thing.many,
        plan=f"Divide {total} {thing.many} by {groups}, keep the whole part, and see what remains",
        steps=(
            Step(f"whole part of {total} / {groups}", Fraction(full)),
            Step(f"{full} × {groups}", Fraction(full * groups)),
            Step(f"{total} - {full * groups}", Fraction(rest)),
        ),
        check=f"{full * groups} + {rest} = {total}, and {rest} is less than {groups}",
        keywords=("divide", "remains"),
        difficulty=2,
    )


def _needed(random: Random) -> Problem[Division]:
    person, _ = two_people(random)
    thing, (holder, holders) = random.choice(THINGS), random.choice(_HOLDERS)
    groups, full = random.randint(3, 15), random.randint(2, 20)
    total = groups * full + random.randint(1, groups - 1)
    question = (
        f"One {holder} holds {count(groups, thing)}. {person.name} has {count(total, thing)}. "
        f"How many {holders} does {person.he} need so that nothing is left out?"
    )
    return Problem(
        question=question,
        operands=Division(total=total, groups=groups, asked="needed"),
        answer=Fraction(full + 1),
        unit=holders,
        plan=f"Divide {total} by {groups} and round up, since the last part of a {holder} needs a {holder} too",
        steps=(Step(f"whole part of {total} / {groups}", Fraction(full)), Step(f"{full} + 1", Fraction(full + 1))),
        check=(
            f"{full} × {groups} = {full * groups} is too few and "
            f"{full + 1} × {groups} = {(full + 1) * groups} is enough"
        ),
        keywords=("divide", holders),
        difficulty=3,
    )


SPEC = Kind(Division, propose, holds)
