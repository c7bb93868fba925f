"""Kinds of problem; each file of this folder is one, and exports `SPEC = Kind(Operands, propose, holds)`.

`propose` draws a problem from a random stream and nothing else. `holds` decides whether a number solves the problem
from the operands alone, by putting it back into the problem where that is possible: it never sees the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

FAMILY = __name__


class Operands(BaseModel):
    """What a validator needs to judge a number; plain JSON values, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True)
class Step:
    """One line of work: an expression and its exact value, written `expression = value`."""

    expression: str
    value: Fraction


O = TypeVar("O", bound=Operands)  # noqa: E741 - the type variable of one word that this module is about


@dataclass(frozen=True)
class Problem(Generic[O]):
    """A question with its worked solution."""

    question: str
    operands: O
    answer: Fraction
    unit: str
    "plural noun of the answer, or the empty string"
    plan: str
    "what to do, as an instruction without a full stop"
    steps: tuple[Step, ...]
    "the last one has the value of the answer"
    check: str
    "a second way that confirms the result, without a full stop"
    keywords: tuple[str, ...]
    "words that a relevant report contains; the plan or the steps do"
    difficulty: int
    "1 easy, 2 middling, 3 hard"


@dataclass(frozen=True)
class Kind(Generic[O]):
    """One kind of problem."""

    operands: type[O]
    propose: Callable[[Random], Problem[O]]
    holds: Callable[[O, Fraction], bool]
