"""The problems of `think data reasoning` as puzzles: the question is read, the answer is written digit by digit.

Two problems of one kind with equal operands are one, whatever people and things their stories are about.
"""

import json
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any, Literal

from think.core import plugins
from think.core.data.puzzles import Integers, Puzzle, Split, Task
from think.core.data.puzzles.tasks._number import ACTIONS, LONGEST, NAMES, Written
from think.core.data.reasoning import records
from think.core.data.reasoning.checking import solves
from think.core.data.reasoning.kinds import FAMILY as KINDS
from think.core.data.reasoning.kinds import Kind
from think.core.data.reasoning.numbers import written
from think.core.errors import BadData
from think.presets.base import Settings as Base

CHANCE = 0.01
"Random digits hit a small number now and then; see tests."


class Settings(Base):
    """Problems of all kinds."""

    kind: Literal["arithmetic"] = "arithmetic"


class Problem(Puzzle):
    """A question, what its validator needs, and the answer."""

    question: str
    kind: str
    operands: dict[str, Any]
    answer: str

    def prompt(self) -> str:
        return self.question

    def start(self) -> Written:
        return Written(Fraction(self.answer))

    def gold(self, random: Random) -> str:
        return f"{self.answer}\n"

    def canonical(self) -> str:
        return f"{self.kind} {json.dumps(self.operands, sort_keys=True)}"

    def flaw(self) -> str | None:
        try:
            value = Fraction(self.answer)
            solved = solves({"kind": self.kind, "operands": self.operands}, value)
        except (ValueError, ZeroDivisionError):
            return f"the answer {self.answer!r} is no number"
        except BadData as error:
            return error.what
        if not solved:
            return f"the answer {self.answer} does not solve it"
        return f"the answer is longer than {LONGEST} characters" if len(self.answer) > LONGEST else None

    def shown(self) -> str:
        return self.question


def draw(settings: Settings, split: Split, seeds: Integers) -> list[Problem]:
    """The problem of each seed."""
    return [_problem(split, seed) for seed in seeds.tolist()]


@cache
def _families() -> dict[str, Kind[Any]]:
    return {name: plugins.load(KINDS, name) for name in plugins.names(KINDS)}


def _problem(split: Split, seed: int) -> Problem:
    families = _families()
    for attempt in range(records.ATTEMPTS):
        random = Random(f"think puzzles arithmetic {seed} {attempt}")
        kind = random.choice(list(families))
        drawn = records.propose(families[kind], random)
        operands = json.loads(drawn.operands.model_dump_json())
        found = Problem(question=drawn.question, kind=kind, operands=operands, answer=written(drawn.answer))
        if found.split() == split:
            return found
    raise BadData(f"no {split} problem in {records.ATTEMPTS} draws", expected="kinds with problems in every split")


SPEC = Task(Settings, Problem, ACTIONS, NAMES, draw, lambda settings: CHANCE)
