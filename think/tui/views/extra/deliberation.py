"""What the searches and injections of a run's texts were, from their records alone.

The records stand among all others in the run's telemetry, and alone where `think generate --record` writes them. What
was read once is kept for each run; of a long history the newest part is read.
"""

import os
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from think.core.runs import RunFolder
from think.core.telemetry.index import Index
from think.core.telemetry.records import Record, decode
from think.core.telemetry.writer import segments
from think.core.text import one_line

KEPT = 200
"Newest searches and injections that a view holds."

MOST_BYTES = 8 * 1024 * 1024
"Of a segment's end that are read when it is first met."

MOST_FOLDERS = 8
"Runs whose records are kept; as many as a person goes back and forth between."


@dataclass(frozen=True, slots=True)
class SearchRow:
    """One search. line: the planned tokens;   actions, visits, values, priors: of the root, the most visited first."""

    time: float
    position: int | None
    simulations: int | None
    nodes: int | None
    depth: int | None
    value: float | None
    seconds: float | None
    line: tuple[int, ...]
    confidence: tuple[float, ...]
    actions: tuple[int, ...]
    visits: tuple[float, ...]
    values: tuple[float, ...]
    priors: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class InjectionRow:
    """What became of one plan. alpha, moved: of each layer; empty where the plan did not come so far."""

    time: float
    position: int | None
    fate: str
    lag: int | None
    milliseconds: float | None
    alpha: tuple[float, ...]
    moved: tuple[float, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Deliberations:
    """Oldest first. searched: all that were read;   fates: how many plans came to each end, of all that were read."""

    searches: tuple[SearchRow, ...]
    injections: tuple[InjectionRow, ...]
    searched: int
    fates: tuple[tuple[str, int], ...]
    whole: bool


@dataclass
class _Seen:
    """What was read of one folder. offsets: of each segment, up to where."""

    offsets: dict[Path, int] = field(default_factory=dict)
    records: deque[Record] = field(default_factory=lambda: deque(maxlen=2 * KEPT))
    searched: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    whole: bool = True


class Deliberation:
    """Follows the records of the folders that it is asked about."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}

    def __call__(self, index: Index, until: int | None) -> Deliberations | None:
        """What was read so far; None where there is no such record. Those of steps after `until` are left out."""
        seen = self._seen.pop(index.folder, None) or _Seen()
        self._seen[index.folder] = seen
        while len(self._seen) > MOST_FOLDERS:
            del self._seen[next(iter(self._seen))]
        for path in (*segments(index.folder), *segments(RunFolder(index.folder).deliberations)):
            _read_on(path, seen)
        shown = [record for record in seen.records if until is None or record.step is None or record.step <= until]
        if not shown:
            return None
        searches = [_search(record) for record in shown if record.kind == "search"]
        injections = [_injection(record) for record in shown if record.kind == "injection"]
        fates = tuple(sorted(seen.fates.items(), key=lambda pair: (-pair[1], pair[0])))
        return Deliberations(tuple(searches[-KEPT:]), tuple(injections[-KEPT:]), seen.searched, fates, seen.whole)


def _read_on(path: Path, seen: _Seen) -> None:
    """Take in whole lines that were not read before; a file that cannot be read, or went away, has none."""
    try:
        with path.open("rb") as file:
            size, offset = os.fstat(file.fileno()).st_size, seen.offsets.get(path, 0)
            if size < offset:
                offset = 0  # another file of this name
            if size - offset > MOST_BYTES:
                offset, seen.whole = size - MOST_BYTES, False
            if size == offset:
                return
            file.seek(offset)
            text = file.read(size - offset)
    except OSError:
        return
    end = text.rfind(b"\n") + 1
    seen.offsets[path] = offset + end
    for line in text[:end].split(b"\n"):
        if b'"kind":"search"' in line or b'"kind":"injection"' in line:
            _take(line, seen)


def _take(line: bytes, seen: _Seen) -> None:
    try:
        record = decode(line)
    except ValueError:
        return  # a torn line, or the rest of one; the index counts those
    if record.kind == "search":
        seen.searched += 1
    elif record.kind == "injection":
        seen.fates[_word(record)] += 1
    else:
        return
    seen.records.append(record)


def _search(record: Record) -> SearchRow:
    return SearchRow(
        time=record.time,
        position=_whole(record, "position"),
        simulations=_whole(record, "simulations"),
        nodes=_whole(record, "nodes"),
        depth=_whole(record, "depth"),
        value=record.number("value"),
        seconds=record.number("seconds"),
        line=_wholes(record, "tokens"),
        confidence=_numbers(record, "confidence"),
        actions=_wholes(record, "actions"),
        visits=_numbers(record, "visits"),
        values=_numbers(record, "values"),
        priors=_numbers(record, "priors"),
    )


def _injection(record: Record) -> InjectionRow:
    return InjectionRow(
        time=record.time,
        position=_whole(record, "position"),
        fate=_word(record),
        lag=_whole(record, "lag"),
        milliseconds=record.number("milliseconds"),
        alpha=_numbers(record, "alpha"),
        moved=_numbers(record, "moved"),
        tokens=_wholes(record, "tokens"),
    )


def _word(record: Record) -> str:
    return one_line((record.text("fate") or "?")[:20])


def _whole(record: Record, name: str) -> int | None:
    value = record.fields.get(name)
    return value if _is_whole(value) else None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wholes(record: Record, name: str) -> tuple[int, ...]:
    found = record.fields.get(name)
    return tuple(value for value in found if _is_whole(value)) if isinstance(found, list) else ()


def _numbers(record: Record, name: str) -> tuple[float, ...]:
    found = record.fields.get(name)
    if not isinstance(found, list):
        return ()
    return tuple(float(value) for value in found if isinstance(value, (int, float)) and not isinstance(value, bool))


SPEC = Deliberation()
