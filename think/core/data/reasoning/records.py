"""Records of reasoning problems: drawn from a seed, written as JSON lines, read back.

Record i is drawn from random streams named (seed, i, attempt). An attempt is thrown away when the answer stands in the
prompt, or when the prompt equals an earlier one; so the first n of any longer list are the same n records.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, TypedDict

from think.core import durable, plugins
from think.core.data.reasoning import answers, prompts, reports
from think.core.data.reasoning.kinds import FAMILY, Kind, Problem
from think.core.data.reasoning.numbers import magnitudes, written
from think.core.errors import BadData, InputOutput, Missing, UsageError

ATTEMPTS = 1000
"Draws for one record before giving up; more than a few mean that a kind has run out of problems."

REWARD = {
    "correct": 1.0,
    "plan": 0.1,
    "step": 0.1,
    "monitor": 0.1,
    "diagnosis": 0.1,
    "confidence": 0.1,
    "keyword": 0.05,
}
"Suggested weights: of a correct answer, of each section, of a calibrated confidence, of each keyword."


class Validator(TypedDict):
    """Enough to judge a number: the kind and its operands."""

    kind: str
    operands: dict[str, Any]


class Reward(TypedDict):
    """Weights of the parts of a reward, and what they may be scaled with."""

    weights: dict[str, float]
    difficulty: int
    steps: int


class Record(TypedDict):
    """One line of the file."""

    id: str
    kind: str
    prompt: str
    answer: str
    markers: list[str]
    keywords: list[str]
    gold_report: str | None
    validator: Validator
    reward: Reward


def generate(count: int, seed: int, *, kinds: Iterable[str] = (), gold_reports: bool = True) -> Iterator[Record]:
    """Draw `count` records with different prompts, the kinds in turn (default: all, by name).

    Raises UsageError for an unknown kind or a negative count, BadData when a kind has no new problems left.
    """
    if count < 0:
        raise UsageError(f"cannot draw {count} reasoning problems", expected="a count of 0 or more")
    chosen = list(kinds) or plugins.names(FAMILY)
    families: dict[str, Kind[Any]] = {name: plugins.load(FAMILY, name) for name in chosen}
    seen: set[bytes] = set()
    for index in range(count):
        kind = chosen[index % len(chosen)]
        yield _draw(kind, families[kind], seed, index, seen, gold_reports)


def write(records: Iterable[Record], path: Path, *, force: bool = False) -> bool:
    """Write records as JSON lines, whole or not at all; returns False when the file already held these very bytes.

    A file with other content stays as it is unless `force`. Raises UsageError for that, InputOutput when the folder
    cannot be written.
    """
    if path.exists() and not path.is_file():
        raise UsageError("this is not a file", where=str(path), expected="the name of a file to write")
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("w", encoding="utf-8", newline="\n") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            if durable.sha256_of(path) == durable.sha256_of(scratch):
                return False
            if not force:
                raise UsageError(
                    "a different file is here already",
                    where=str(path),
                    expected="a new file name, or a file with the same content",
                    remedy="choose another --output, or give --force to replace it",
                )
        scratch.replace(path)
        durable.sync(path.parent)
        return True
    except OSError as error:
        raise InputOutput(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            remedy="choose a folder that you may write in and that has space",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)


def read(path: Path) -> Iterator[Record]:
    """Records of a file in order. Raises Missing, or BadData with the line number."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                yield _parse(line, f"{path}:{number}")
    except FileNotFoundError as error:
        raise Missing(
            "there is no such file", where=str(path), remedy=f"think data reasoning --output {path}"
        ) from error
    except UnicodeDecodeError as error:
        raise BadData("not UTF-8 text", where=str(path), expected="a file of `think data reasoning`") from error
    except OSError as error:
        raise InputOutput(f"cannot read: {error.strerror or error}", where=str(path)) from error


def propose(kind: Kind[Any], random: Random) -> Problem[Any]:
    """The first problem of a stream whose answer does not stand in its own question."""
    for _ in range(ATTEMPTS):
        problem = kind.propose(random)
        if abs(problem.answer) not in magnitudes(problem.question):
            return problem
    raise BadData(f"{ATTEMPTS} problems in a row had their answer in the question", expected="a kind that hides it")


def _draw(name: str, kind: Kind[Any], seed: int, index: int, seen: set[bytes], gold_reports: bool) -> Record:
    for attempt in range(ATTEMPTS):
        random = Random(f"think reasoning {seed} {index} {attempt}")
        problem = propose(kind, random)
        prompt = prompts.prompt(problem.question, random)
        key = hashlib.blake2b(prompt.encode(), digest_size=12).digest()
        if key in seen or abs(problem.answer) in magnitudes(prompt):
            continue
        seen.add(key)
        return _record(name, problem, prompt, f"{name}-{seed}-{index:06d}", gold_reports, random)
    raise BadData(
        f"no new {name} problem in {ATTEMPTS} draws",
        where=f"record {index}",
        expected="fewer records, or more kinds",
    )


def _record(kind: str, problem: Problem[Any], prompt: str, identity: str, gold_reports: bool, random: Random) -> Record:
    return Record(
        id=identity,
        kind=kind,
        prompt=prompt,
        answer=written(problem.answer),
        markers=list(answers.SECTIONS),
        keywords=[word for word in problem.keywords if word],
        gold_report=reports.correct(problem, random) if gold_reports else None,
        validator=Validator(kind=kind, operands=problem.operands.model_dump(mode="json")),
        reward=Reward(weights=dict(REWARD), difficulty=problem.difficulty, steps=len(problem.steps)),
    )


def _parse(line: str, where: str) -> Record:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise BadData(f"not JSON: {error}", where=where, expected="one JSON object a line") from error
    missing = [name for name in Record.__annotations__ if not isinstance(record, dict) or name not in record]
    if missing:
        raise BadData(
            f"a record without {', '.join(missing)}", where=where, expected="all fields of a reasoning record"
        )
    whole: Record = record
    return whole
