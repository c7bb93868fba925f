"""Rows of a task with exact answers, generated: see think/core/data/tasks. Only training rows; tests have their own."""

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt, field_validator, model_validator

from think.core import plugins
from think.core.data import tasks
from think.core.data.sources import Document, Origin, Reading, Source, SourceSettings
from think.presets.base import knob


class Settings(SourceSettings):
    """Rows of symbols with a label for some of them; a model is scored on the labels. Needs the character tokenizer."""

    kind: Literal["task"] = "task"
    task: str = knob(acts_on="data")
    "which one: parity, mqar, …; `think eval list` says more"
    count: PositiveInt = knob(20_000, acts_on="data")
    "rows generated"
    smallest: PositiveInt | None = knob(None, acts_on="data")
    "smallest size of a row, in the task's own unit; what the task says when absent"
    largest: PositiveInt | None = knob(None, acts_on="data")
    "largest size of a row; what the task says when absent"
    seed: NonNegativeInt = knob(0, acts_on="data")
    "names the random stream; another seed gives other rows"

    @field_validator("task")
    @classmethod
    def _known(cls, name: str) -> str:
        names = plugins.names(tasks.FAMILY)
        if name not in names:
            raise ValueError(f"there is no task named {name!r}; one of {', '.join(names)}")
        return name

    @model_validator(mode="after")
    def _ordered(self) -> "Settings":
        smallest, largest = sizes(self)
        if smallest > largest:
            raise ValueError(f"smallest = {smallest} is above largest = {largest}")
        return self


def sizes(settings: Settings) -> tuple[int, int]:
    """Smallest and largest size of the rows."""
    smallest, largest = tasks.load(settings.task).trained
    return settings.smallest or smallest, settings.largest or largest


def documents(settings: Settings, reading: Reading) -> Iterator[Document]:
    """Every row in order, no two alike. Raises BadData when the task has fewer."""
    smallest, largest = sizes(settings)
    drawn = tasks.rows(settings.task, "train", smallest, largest, seed=settings.seed)
    for index, row in enumerate(islice(drawn, settings.count)):
        text, labels = tasks.written(row)
        reading.advance(1)
        yield Document(text, labels=labels, where=f"{settings.task}:{index}")


def origins(settings: Settings) -> tuple[Origin, ...]:
    """One generator; its digest covers the settings and the code that makes rows."""
    code = hashlib.sha256(settings.model_dump_json(exclude={"weight"}).encode())
    for path in [*sorted(plugins.folder(tasks.FAMILY).glob("*.py")), Path(__file__)]:
        code.update(path.read_bytes())
    smallest, largest = sizes(settings)
    name = f"task {settings.task} {smallest} to {largest} count={settings.count} seed={settings.seed}"
    return (Origin(name, settings.count, code.hexdigest()),)


def alphabet(settings: Settings) -> str:
    """Every symbol of the task, whether or not a row happens to hold it."""
    return tasks.alphabet(tasks.load(settings.task))


SPEC = Source(Settings, documents, origins, alphabet=alphabet)
