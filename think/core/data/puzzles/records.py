"""Puzzles in the records of `think data reasoning`: drawn, and a file of records checked line by line.

The validator block of a record holds the task and the puzzle, and that is enough to judge an answer.
"""

import json
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import count as counting
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError

from think.core import plugins
from think.core.data.puzzles import FAMILY, Puzzle, Split, Task
from think.core.data.puzzles.items import distinct
from think.core.data.puzzles.play import judge
from think.core.data.reasoning import records
from think.core.data.reasoning.checking import solves
from think.core.data.reasoning.records import Record, Reward, Validator
from think.core.errors import BadData, ThinkError


def generate(name: str, settings: Any, split: Split, count: int, seed: int) -> Iterator[Record]:
    """`count` records of different puzzles of one task."""
    task: Task = plugins.load(FAMILY, name)
    for index, puzzle in enumerate(distinct(task, settings, split, count, seed)):
        answer = puzzle.gold(Random(f"think puzzles gold {seed} {index}"))
        yield Record(
            id=f"{name}-{split}-{seed}-{index:06d}",
            kind=name,
            prompt=puzzle.prompt(),
            answer=answer,
            markers=[],
            keywords=[],
            gold_report=None,
            validator=Validator(kind=name, operands=puzzle.model_dump(mode="json")),
            reward=Reward(weights={"correct": 1.0}, difficulty=1, steps=len(answer)),
        )


def check(path: Path) -> Counter[str]:
    """Read a file of records and hold every one against its own rules; gives how many there are of each kind.

    Raises Missing, or BadData that names the first bad line: not JSON, another format, a puzzle without a fair
    solution, a prompt or answer that is not the puzzle's.
    """
    tasks = set(plugins.names(FAMILY))
    seen: Counter[str] = Counter()
    lines = records.read(path)
    for number in counting(1):
        where = f"{path}:{number}"
        record = next(lines, None)
        if record is None:
            break
        if record["kind"] in tasks:
            _check_puzzle(record, where)
        else:
            _check_problem(record, where)
        seen[record["kind"]] += 1
    if not seen:
        raise BadData("there is no record in this file", where=str(path), expected="one JSON object a line")
    return seen


def puzzle_of(record: Record, where: str) -> Puzzle:
    """The puzzle of a record. Raises BadData when it is malformed or unfair."""
    task: Task = plugins.load(FAMILY, record["kind"])
    try:
        held: Any = record["validator"]["operands"]
        puzzle: Puzzle = task.Puzzle.model_validate_json(json.dumps(held))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _unfit(f"this is no puzzle of {record['kind']}: {place}: {first['msg']}", where) from error
    except (KeyError, TypeError) as error:
        raise _unfit("the validator block has no `operands`", where) from error
    if flaw := puzzle.flaw():
        raise _unfit(f"this {record['kind']} puzzle cannot be asked: {flaw}", where)
    return puzzle


def _check_puzzle(record: Record, where: str) -> None:
    puzzle = puzzle_of(record, where)
    if record["prompt"] != puzzle.prompt():
        raise _unfit("the prompt is not that of the puzzle", where)
    judgement = judge(puzzle, str(record["answer"]), plugins.load(FAMILY, record["kind"]).actions)
    if not judgement.solved:
        raise _unfit(f"the answer does not solve the puzzle: {judgement.reason}", where)


def _check_problem(record: Record, where: str) -> None:
    try:
        solved = solves(record["validator"], Fraction(record["answer"]))
    except (ValueError, TypeError, ZeroDivisionError, AttributeError) as error:
        raise _unfit(f"the answer or the validator cannot be read: {error}", where) from error
    except ThinkError as error:
        raise _unfit(error.what, where) from error
    if not solved:
        raise _unfit("the answer does not solve the problem", where)


def _unfit(what: str, where: str) -> BadData:
    return BadData(
        what,
        where=where,
        expected="a record as `think data reasoning` writes it",
        remedy="repair or remove this line",
    )
