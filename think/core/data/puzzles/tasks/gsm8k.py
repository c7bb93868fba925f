"""Word problems in the format of GSM8K: JSON lines with `question` and `answer`, the last line `#### number`.

A folder with train.jsonl and test.jsonl keeps its own division: the test split is test.jsonl, and one question in ten
of train.jsonl is the validation split. A single file is divided by its questions. A question that stands in the test
file as well is left out of the others. Only the number is asked for, without the work that leads to it.
"""

import re
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Literal

from think.core.data.puzzles import Integers, Puzzle, Split, Task
from think.core.data.puzzles.hashing import below, words
from think.core.data.puzzles.tasks._number import ACTIONS, LONGEST, NAMES, Written
from think.core.data.reasoning.numbers import numbers, written
from think.core.data.sources import Reading
from think.core.data.sources._records import SUFFIXES, read_records
from think.core.data.sources.text import files
from think.core.durable import sha256_of
from think.core.errors import BadData
from think.presets.base import Settings as Base
from think.presets.base import knob

CHANCE = 0.01
"Random digits hit a small number now and then."

MARK = "####"

_EXPECTED = '{"question": "…", "answer": "… #### 72"}'


class Settings(Base):
    """Questions of a local file."""

    kind: Literal["gsm8k"] = "gsm8k"
    path: str = knob(acts_on="data")
    "file of JSON lines, or a folder with train.jsonl and test.jsonl"


class Question(Puzzle):
    """A question, the work that leads to its answer, and the answer."""

    question: str
    work: str
    answer: str

    def prompt(self) -> str:
        return self.question

    def start(self) -> Written:
        return Written(Fraction(self.answer))

    def gold(self, random: Random) -> str:
        return f"{self.answer}\n"

    def canonical(self) -> str:
        return " ".join(re.findall(r"[a-z]+|[0-9]+", self.question.lower()))

    def flaw(self) -> str | None:
        try:
            Fraction(self.answer)
        except (ValueError, ZeroDivisionError):
            return f"the answer {self.answer!r} is no number"
        if not self.question.strip():
            return "the question is empty"
        return f"the answer is longer than {LONGEST} characters" if len(self.answer) > LONGEST else None

    def shown(self) -> str:
        return self.question


def final_number(answer: str) -> Fraction | None:
    """The number after the last `####`; None where there is no such line, or not exactly one number in it."""
    _, mark, last = answer.rpartition(MARK)
    found = numbers(last)
    return found[0] if mark and len(found) == 1 and "\n" not in last.strip() else None


def question_of(record: dict[str, object], where: str) -> Question:
    """A record as a puzzle. Raises BadData that names the place."""
    question, answer = record.get("question"), record.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str):
        raise BadData("a record without the texts `question` and `answer`", where=where, expected=_EXPECTED)
    value = final_number(answer)
    if value is None:
        raise BadData(f"the answer does not end with `{MARK}` and one number", where=where, expected=_EXPECTED)
    made = Question(question=question, work=answer.rpartition(MARK)[0].rstrip(), answer=written(value))
    if flaw := made.flaw():
        raise BadData(flaw, where=where, expected=_EXPECTED, remedy="repair or remove this record")
    return made


@lru_cache(maxsize=4)
def _read(path: str, digests: tuple[str, ...]) -> dict[Split, tuple[Question, ...]]:
    found: dict[Split, dict[str, Question]] = {"test": {}, "validation": {}, "train": {}}
    paths = files(Path(path), SUFFIXES)
    divided = any(file.stem == "test" for file in paths) and any(file.stem != "test" for file in paths)
    for file in sorted(paths, key=lambda file: file.stem != "test"):
        for where, record in read_records(file, Reading()):
            made = question_of(record, where)
            split: Split = made.split()
            if divided:
                split = "test" if file.stem == "test" else "validation" if split == "validation" else "train"
            if not any(made.canonical() in known for known in found.values()):
                found[split][made.canonical()] = made
    return {split: tuple(known.values()) for split, known in found.items()}


def questions(settings: Settings, split: Split) -> tuple[Question, ...]:
    """The questions of a split. Raises Missing, or BadData that names the line."""
    return _read(settings.path, tuple(digest for _, digest in _digests(settings)))[split]


def _digests(settings: Settings) -> list[tuple[Path, str]]:
    return [(file, sha256_of(file)) for file in files(Path(settings.path), SUFFIXES)]


def draw(settings: Settings, split: Split, seeds: Integers) -> list[Question]:
    """The question of each seed. Raises BadData when the split is empty."""
    every = questions(settings, split)
    if not every:
        raise BadData(f"no question belongs to the {split} split", where=settings.path, expected="more questions")
    return [every[place] for place in below(words(seeds, 1, stream=0)[:, 0], len(every)).tolist()]


def origins(settings: Settings) -> tuple[str, ...]:
    return tuple(str(file) for file in files(Path(settings.path), SUFFIXES))


SPEC = Task(Settings, Question, ACTIONS, NAMES, draw, lambda settings: CHANCE, origins=origins)
