"""Puzzles with a solution each: the prompt is a turn of the user, the actions are the scored turn of the assistant."""

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from think.core.data import puzzles
from think.core.data.puzzles import Split
from think.core.data.puzzles.choice import TaskChoice, name_of, settings_for, task_of
from think.core.data.puzzles.items import stream
from think.core.data.sources import Document, Origin, Reading, Source, SourceSettings, Turn
from think.core.durable import sha256_of
from think.presets.base import knob

TYPICAL_BYTES = 60
"Mean length of a document, for progress only."


def _countdown() -> Any:
    return settings_for("countdown", {})


class Settings(SourceSettings):
    """Solved puzzles of one task, drawn with replacement; each draw has a solution of its own."""

    kind: Literal["puzzles"] = "puzzles"
    task: TaskChoice = Field(
        default_factory=_countdown, json_schema_extra={"acts_on": "data", "may_change_on_resume": False}
    )
    "which task, and what can be chosen about its puzzles"
    split: Split = knob("train", acts_on="data")
    "which of the puzzles: train, validation or test"
    count: PositiveInt = knob(10_000, acts_on="data")
    "puzzles drawn"
    seed: NonNegativeInt = knob(0, acts_on="data")
    "names the random streams; another seed gives other puzzles"


def documents(settings: Settings, reading: Reading) -> Iterator[Document]:
    """Every puzzle in order, with one of its solutions."""
    drawn = stream(task_of(settings.task), settings.task, settings.split, settings.seed)
    for index, puzzle in enumerate(islice(drawn, settings.count)):
        gold = puzzle.gold(Random(f"think puzzles gold {settings.seed} {index}"))
        reading.advance(TYPICAL_BYTES)
        yield Document(
            turns=(Turn("user", puzzle.prompt()), Turn("assistant", gold)), where=f"{name_of(settings.task)}:{index}"
        )


def origins(settings: Settings) -> tuple[Origin, ...]:
    """One generator, whose digest covers the settings and the code; and the files of the task, where it has some."""
    task = task_of(settings.task)
    code = hashlib.sha256(settings.model_dump_json(exclude={"weight": True, "task": {"path"}}).encode())
    for path in sorted(Path(puzzles.__path__[0]).rglob("*.py")):
        code.update(path.read_bytes())
    code.update(Path(__file__).read_bytes())
    name = f"{name_of(settings.task)} {settings.split} count={settings.count} seed={settings.seed}"
    files = [Path(name) for name in task.origins(settings.task)]
    return (
        Origin(name, settings.count * TYPICAL_BYTES, code.hexdigest()),
        *(Origin(str(file), 0, sha256_of(file)) for file in files),
    )


SPEC = Source(Settings, documents, origins, has_turns=True)
