"""One unknown: a x + b = c x + d, written in several ways; the solution may be negative or have a decimal."""

from fractions import Fraction
from random import Random

from think.core.data.reasoning.kinds import Kind, Operands, Problem, Step
from think.core.data.reasoning.numbers import written
from think.core.data.reasoning.wording import two_people


class Equation(Operands):
    """The integers of a x + b = c x + d."""

    a: int
    b: int
    c: int
    d: int


def holds(operands: Equation, value: Fraction) -> bool:
    """Whether both sides are equal at the value, and only there."""
    return operands.a != operands.c and operands.a * value + operands.b == operands.c * value + operands.d


def propose(random: Random) -> Problem[Equation]:
    """Equations in plain form, with brackets, with the unknown on both sides, and numbers that somebody thinks of."""
    return random.choice((_plain, _brackets, _both_sides, _thought))(random)


def _solution(random: Random) -> Fraction:
    whole = random.choice((1, 1, 1, -1)) * random.randint(2, 30)
    return whole + Fraction(random.randint(1, 3) if random.random() < 0.2 else 0, 4)


def _plain(random: Random) -> Problem[Equation]:
    x, name = _solution(random), random.choice("xynkt")
    a = random.randint(2, 12) * x.denominator
    b = random.choice((1, -1)) * random.randint(1, 60)
    equation = f"{a}{name} {_signed(b)} = {written(a * x + b)}"
    question = random.choice((f"Solve {equation} for {name}.", f"Find {name} when {equation}."))
    return _problem(question, name, Equation(a=a, b=b, c=0, d=int(a * x) + b), x, 1)


def _brackets(random: Random) -> Problem[Equation]:
    x, name = _solution(random), random.choice("xynkt")
    a = random.randint(2, 9) * x.denominator
    inside = random.choice((1, -1)) * random.randint(1, 15)
    equation = f"{a}({name} {_signed(inside)}) = {written(a * (x + inside))}"
    question = random.choice((f"Solve {equation} for {name}.", f"Which value of {name} satisfies {equation}?"))
    return _problem(question, name, Equation(a=a, b=a * inside, c=0, d=int(a * (x + inside))), x, 2)


def _both_sides(random: Random) -> Problem[Equation]:
    x, name = _solution(random), random.choice("xynkt")
    difference, c = random.randint(2, 9) * x.denominator, random.randint(2, 9)
    a = c + difference
    b = random.choice((1, -1)) * random.randint(1, 40)
    d = int(difference * x) + b
    if d == 0:
        b, d = b + 1, d + 1
    equation = f"{a}{name} {_signed(b)} = {c}{name} {_signed(d)}" if b else f"{a}{name} = {c}{name} {_signed(d)}"
    question = random.choice((f"Solve {equation} for {name}.", f"Find {name} when {equation}."))
    return _problem(question, name, Equation(a=a, b=b, c=c, d=d), x, 3)


def _thought(random: Random) -> Problem[Equation]:
    person, _ = two_people(random)
    x, a, b = Fraction(random.randint(2, 60)), random.randint(2, 12), random.randint(1, 60)
    question = (
        f"{person.name} thinks of a number, multiplies it by {a} and adds {b}. "
        f"The result is {written(a * x + b)}. Which number was it?"
    )
    return _problem(question, "x", Equation(a=a, b=b, c=0, d=int(a * x) + b), x, 2)


def _signed(number: int) -> str:
    return f"+ {number}" if number >= 0 else f"- {-number}"


def _problem(question: str, name: str, operands: Equation, x: Fraction, difficulty: int) -> Problem[Equation]:
    factor, right = operands.a - operands.c, operands.d - operands.b
    steps = [Step(f"{operands.d} {_signed(-operands.b)}", Fraction(right))]
    if operands.c:
        steps.append(Step(f"{operands.a} - {operands.c}", Fraction(factor)))
    steps.append(Step(f"{name} = {right} / {factor}", x))
    side = written(operands.a * x + operands.b)
    put_in = f"{operands.a} × {written(x)} {_signed(operands.b)} = {side}"
    other = f"{operands.c} × {written(x)} {_signed(operands.d)} = {side}" if operands.c else f"the right side is {side}"
    return Problem(
        question=question,
        operands=operands,
        answer=x,
        unit="",
        plan=f"Bring the equation to the form {factor}{name} = {right} and divide by {factor}",
        steps=tuple(steps),
        check=f"putting {written(x)} back in, {put_in} and {other}",
        keywords=("equation", "divide"),
        difficulty=difficulty,
    )


SPEC = Kind(Equation, propose, holds)
