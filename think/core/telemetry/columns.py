"""Many telemetry lines at once: step records as columns of numbers, everything else as records.

A run is mostly step records with the same numeric fields. They are decoded straight into a struct of those fields,
about 1.5 µs a line; lines that the struct cannot read go through the ordinary decoder one by one. numpy and msgspec.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from think.core.telemetry.records import FLOATS, KINDS, VERSION, Record, decode, of

Array = NDArray[np.float64]

ABSENT = -1.7976931348623157e308
"Stands in a column for a field that the record does not have; no measurement is the most negative float."

LARGEST_STEP = 2**53
"Steps are kept as floats; a larger one is no step."

_ENVELOPE: list[Any] = [
    ("kind", str, ""),
    ("step", int | None, None),
    ("time", float, 0.0),
]


@dataclass(slots=True)
class Rows:
    """Records of one kind as columns. values [columns, n] with ABSENT where a record lacks the field."""

    names: tuple[str, ...]
    steps: Array
    times: Array
    values: Array

    def __len__(self) -> int:
        return len(self.steps)

    def up_to(self, step: float) -> "Rows":
        """Without the records of later steps."""
        keep = self.steps <= step
        if keep.all():
            return self
        return Rows(self.names, self.steps[keep], self.times[keep], self.values[:, keep])


@dataclass(slots=True)
class Block:
    """What a stretch of lines holds. newer: of a newer format version;   garbage: lines that are no records."""

    steps: Rows | None = None
    others: list[Record] = field(default_factory=list)
    lines: int = 0
    garbage: int = 0
    newer: bool = False


NEWLINE = 10
_ESCAPED = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]')


_AFTER_KIND = itemgetter(slice(1, None))


class Decoder:
    """Decodes stretches of complete lines; `names` are the figures of step records that it knows."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names: tuple[str, ...] = ()
        self._any = msgspec.json.Decoder()
        self.know((*_declared("step"), *names))

    def know(self, names: Sequence[str]) -> None:
        """Read these fields of step records too; names that need an escape in JSON are no names of figures."""
        self.names = tuple(dict.fromkeys((*self.names, *filter(usable, names))))
        figures = [(f"f{number}", float | str | None, ABSENT) for number in range(len(self.names))]
        # Python names may not be all that JSON allows, so the fields are numbered and renamed.
        line = msgspec.defstruct(
            "Line",
            _ENVELOPE + figures,
            rename={f"f{number}": name for number, name in enumerate(self.names)},
            gc=False,
        )
        self._line: msgspec.json.Decoder[Any] = msgspec.json.Decoder(line)

    def record(self, line: bytes) -> Record:
        """One line as a record, as `records.decode` does and faster. Raises ValueError when it is none."""
        try:
            return of(self._any.decode(line))
        except (msgspec.DecodeError, RecursionError):
            return decode(line)

    def block(self, text: bytes) -> Block:
        """Decode complete lines. Never raises for what they hold."""
        found = Block()
        self._look_at_ends(text, found)
        try:
            lines = self._line.decode_lines(text)
        except (msgspec.DecodeError, RecursionError):  # ValidationError is a DecodeError
            return self._one_by_one(text, found)
        kinds = [line.kind for line in lines]
        found.lines = len(lines)
        steps = lines
        if kinds.count("step") != len(lines):
            ends = np.flatnonzero(np.frombuffer(text, np.uint8) == NEWLINE).tolist()
            if len(ends) != len(lines):  # empty lines: no telemetry of ours
                return self._one_by_one(text, found)
            others = [number for number, kind in enumerate(kinds) if kind != "step"]
            for number in others:
                self._other(text[ends[number - 1] + 1 if number else 0 : ends[number]], found)
            for number in reversed(others):
                del steps[number]
        try:
            found.steps = self._rows(steps)
        except (ValueError, OverflowError):  # a word among the figures that is no number
            return self._one_by_one(text, found)
        return found

    def _look_at_ends(self, text: bytes, found: Block) -> None:
        """Learn from the first and the last line: figures not known yet, and the version, one for all of a process."""
        for line in {text[: text.find(b"\n")], text[text.rfind(b"\n", 0, -1) + 1 : -1]}:
            try:
                record = self.record(line)
            except ValueError:
                continue
            found.newer |= record.version > VERSION
            if record.kind == "step":
                unknown = (name for name in record.fields if name not in self.names and usable(name))
                new = [name for name in unknown if record.number(name) is not None]
                if new:
                    self.know(new)

    def _rows(self, lines: Sequence[Any]) -> Rows | None:
        if not lines:
            return None
        # One tuple at a time, never a list of them: faster, and nothing for the garbage collector to look through.
        numbers = chain.from_iterable(map(_AFTER_KIND, map(msgspec.structs.astuple, lines)))
        width = len(self.names) + len(_ENVELOPE) - 1
        table = np.fromiter(numbers, np.float64, width * len(lines)).reshape(-1, width)
        steps = table[:, 0]
        good = (steps >= 0) & (steps <= LARGEST_STEP)
        values = table[:, 2:]
        for row, column in np.argwhere(np.isnan(values)).tolist():
            if getattr(lines[row], f"f{column}") is None:
                values[row, column] = ABSENT
        if not good.all():
            table, values = table[good], values[good]
        return Rows(self.names, table[:, 0].copy(), table[:, 1].copy(), np.ascontiguousarray(values.T))

    def _other(self, line: bytes, found: Block) -> None:
        try:
            record = self.record(line)
        except ValueError:
            found.garbage += 1
            return
        found.newer |= record.version > VERSION
        found.others.append(record)

    def _one_by_one(self, text: bytes, found: Block) -> Block:
        """The slow and patient way, for stretches with lines that are not as they should be."""
        found.others, found.garbage, found.lines = [], 0, 0
        steps: list[Any] = []
        for line in text.split(b"\n"):
            if not line:
                continue
            found.lines += 1
            read = self._step(line)
            if read is None:
                self._other(line, found)
            else:
                steps.append(read)
        found.steps = self._rows(steps)
        return found

    def _step(self, line: bytes) -> Any:
        """The line if it is a step record that makes a row."""
        try:
            read = self._line.decode(line)
            return read if read.kind == "step" and self._rows([read]) is not None else None
        except (msgspec.DecodeError, RecursionError, ValueError, OverflowError):
            return None


def usable(name: str) -> bool:
    """Whether a field can be a column: msgspec's structs know no escapes in names."""
    return _ESCAPED.search(name) is None


def figures(record: Record) -> dict[str, float]:
    """The numbers in a record, those in an object inside it under `name.key`; words such as "nan" count as numbers."""
    found: dict[str, float] = {}
    for name, value in record.fields.items():
        if not usable(name):
            continue
        if isinstance(value, dict):
            inner = Record(record.kind, fields=value)
            numbers = {key: inner.number(key) for key in value if usable(key)}
            found |= {f"{name}.{key}": number for key, number in numbers.items() if number is not None}
        elif (number := record.number(name)) is not None:
            found[name] = number
    return found


def rows_of(records: Sequence[tuple[Record, dict[str, float]]]) -> Rows:
    """Records of one kind, each with a step, and their figures, as columns."""
    names = tuple(dict.fromkeys(name for _, numbers in records for name in numbers))
    values = np.full((len(names), len(records)), ABSENT)
    place = {name: number for number, name in enumerate(names)}
    for column, (_, numbers) in enumerate(records):
        for name, number in numbers.items():
            values[place[name], column] = number
    return Rows(
        names,
        np.array([record.step for record, _ in records], dtype=np.float64),
        np.array([record.time for record, _ in records]),
        values,
    )


def _declared(kind: str) -> tuple[str, ...]:
    declared = KINDS[kind].__annotations__
    return tuple(name for name, hint in declared.items() if name in FLOATS[kind] or hint is int)
