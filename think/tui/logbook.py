"""Pages of a run's records as they stand in its files, newest first found, with a filter; nothing is kept but counts.

The files are looked through a block at a time from the end. For each block the number of matching lines is remembered,
so any page can be read again from the few blocks that hold it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from think.core.telemetry.columns import Decoder
from think.core.telemetry.index import Index
from think.core.telemetry.records import Record
from think.core.telemetry.stretches import BLOCK, backwards, onwards
from think.core.text import one_line
from think.tui.view import Level, LogLine, LogPage, LogQuery

LONGEST_RAW = 4096
MOST_LINES = 2000
"Of a page: more than any terminal shows."


@dataclass(slots=True)
class Searched:
    """A stretch of one segment and how many of its lines match."""

    segment: int
    start: int
    stop: int
    count: int


@dataclass
class Filter:
    """What a line must and must not have: kinds, and words in lower case."""

    kinds: tuple[bytes, ...] = ()
    words: tuple[bytes, ...] = ()
    without: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, text: str) -> "Filter":
        kinds, words, without = [], [], []
        for word in text.split():
            plain = word.lower().encode("utf-8", errors="replace")
            if word.startswith("kind:") and len(word) > 5:
                kinds.append(b'"kind":"' + plain[5:] + b'"')
            elif word.startswith("!") and len(word) > 1:
                without.append(plain[1:])
            else:
                words.append(plain)
        return cls(tuple(kinds), tuple(words), tuple(without))

    @property
    def all(self) -> bool:
        return not (self.kinds or self.words or self.without)

    def matching(self, text: bytes) -> list[bytes]:
        """The lines of a stretch that match, in their order."""
        lines = [line for line in text.split(b"\n") if line]
        if self.all:
            return lines
        lower = text.lower()
        if any(word not in lower for word in self.words) or not self._any_kind(lower):
            return []
        return [line for line in lines if self._takes(line.lower())]

    def _any_kind(self, lower: bytes) -> bool:
        return not self.kinds or any(kind in lower for kind in self.kinds)

    def _takes(self, line: bytes) -> bool:
        return (
            all(word in line for word in self.words)
            and not any(word in line for word in self.without)
            and self._any_kind(line)
        )


@dataclass
class Logbook:
    """The records of one run that match a query. `blocks` holds what was looked through, newest first."""

    index: Index
    query: LogQuery = field(default_factory=LogQuery)
    blocks: deque[Searched] = field(default_factory=deque)
    changed: bool = True
    _filter: Filter = field(default_factory=Filter)
    _decoder: Decoder = field(default_factory=Decoder)
    _whole: bool = False
    _found: int = 0
    _made: dict[bytes, LogLine] = field(default_factory=dict)  # the lines of the last page, most of which stay
    _reached: dict[int, int] = field(default_factory=dict)  # segment -> where looking back has come to

    def ask(self, query: LogQuery) -> None:
        """Another page, or another filter."""
        self.changed |= query != self.query
        if query.text != self.query.text:
            self._forget()
            self._filter = Filter.of(query.text)
        self.query = query

    @property
    def total(self) -> int:
        """Matches found so far; without a filter all records, as far as they are counted."""
        return max(self._found, sum(self.index.curves.counts.values())) if self._filter.all else self._found

    @property
    def complete(self) -> bool:
        return self._next() is None or (self._filter.all and self.index.exact)

    @property
    def busy(self) -> bool:
        """Whether lines wait to be looked through: those of the page, and with a filter all."""
        if self._next() is None:
            return False
        return not self._filter.all or self._found < self.query.newest + self.query.lines

    def look(self, until: Callable[[], bool]) -> None:
        """Look through what was appended, then through older blocks, until `until` says stop or nothing waits."""
        self._look_at_new()
        while self.busy and not until():
            place = self._next()
            if place is None:
                return
            number, stop = place
            try:
                stretch = backwards(self.index.segments[number].path, stop)
            except OSError:
                self._append(Searched(number, 0, stop, 0))
                continue
            count = len(self._filter.matching(stretch.text))
            self.changed |= count > 0
            self._append(Searched(number, stretch.start, stop, count))
        whole = self.complete
        self.changed |= whole != self._whole
        self._whole = whole

    def page(self) -> LogPage:
        """The lines that the query asks for, as far as they are found."""
        self.changed = False
        newest, most = max(self.query.newest, 0), min(max(self.query.lines, 1), MOST_LINES)
        newest = min(newest, max(self._found - 1, 0))
        lines: list[bytes] = []  # newest first
        passed = 0
        for block in self.blocks:
            if passed + block.count <= newest:
                passed += block.count
                continue
            if len(lines) >= most:
                break
            matching = list(reversed(list(self._read(block))))
            lines += matching[max(newest - passed, 0) :]
            passed += block.count
        return LogPage(
            query=self.query,
            lines=self._lines(lines[:most]),
            total=self.total,
            newest=newest,
            complete=self.complete,
        )

    # ---- what was looked through ------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self.blocks.clear()
        self._reached.clear()
        self._found, self.changed = 0, True

    def _next(self) -> tuple[int, int] | None:
        """Segment and end of the newest stretch that was not looked through; None when there is none."""
        for number in reversed(self.index.segments):
            stop = self._reached.get(number, self.index.segments[number].read)
            if stop > 0:
                return number, stop
        return None

    def _append(self, block: Searched) -> None:
        """Add an older block; blocks without a match join the one before them."""
        self._reached[block.segment] = block.start
        self._found += block.count
        last = self.blocks[-1] if self.blocks else None
        if last is not None and last.segment == block.segment and last.start == block.stop and not block.count:
            last.start = block.start
        else:
            self.blocks.append(block)

    def _look_at_new(self) -> None:
        newest = self.blocks[0] if self.blocks else None
        if newest is None:
            return
        for number, segment in sorted(self.index.segments.items()):
            if number < newest.segment or (number == newest.segment and segment.read <= newest.stop):
                if number == newest.segment and segment.read < newest.stop:  # cut: look at everything again
                    self._forget()
                    return
                continue
            self._look_on(number, newest.stop if number == newest.segment else 0, segment.read)

    def _look_on(self, number: int, offset: int, stop: int) -> None:
        path = self.index.segments[number].path
        while offset < stop:
            try:
                stretch, skipping = onwards(path, offset, block=min(BLOCK, stop - offset))
            except OSError:
                return
            if stretch.stop == offset or skipping:
                self._reached.setdefault(number, 0)
                self.blocks.appendleft(Searched(number, offset, stop, 0))
                return
            count = len(self._filter.matching(stretch.text))
            self.changed |= count > 0
            self._found += count
            self._reached.setdefault(number, 0)
            first = self.blocks[0]
            if first.segment == number and first.stop == offset and stretch.stop - first.start <= BLOCK:
                first.stop, first.count = stretch.stop, first.count + count
            else:
                self.blocks.appendleft(Searched(number, offset, stretch.stop, count))
            offset = stretch.stop

    def _read(self, block: Searched) -> Iterator[bytes]:
        """The matching lines of a block once more."""
        offset = block.start
        while offset < block.stop and block.count:
            try:
                stretch, _ = onwards(self.index.segments[block.segment].path, offset, block=BLOCK)
            except (OSError, KeyError):
                return
            if stretch.stop == offset:
                return
            text = stretch.text[: max(block.stop - offset, 0)]
            yield from self._filter.matching(text)
            offset = stretch.stop

    def _lines(self, newest_first: list[bytes]) -> tuple[LogLine, ...]:
        self._made = {raw: self._made[raw] if raw in self._made else self._line(raw) for raw in newest_first}
        return tuple(self._made[raw] for raw in reversed(newest_first))

    def _line(self, raw: bytes) -> LogLine:
        shown = one_line(raw[: LONGEST_RAW * 2].decode("utf-8", errors="replace"), LONGEST_RAW)
        try:
            record = self._decoder.record(raw)
        except ValueError:
            return LogLine(0, "?", None, 0.0, "no record", shown, "warning")
        return LogLine(
            number=record.seq,
            kind=one_line(record.kind, 64),
            step=record.step,
            time=record.time,
            text=one_line(said(record), 1000),
            raw=shown,
            level=level(record),
        )


def said(record: Record) -> str:
    """A record in one line: its message where it has one, else its fields."""
    message = record.text("message")
    if message is not None and record.kind in ("log", "anomaly", "run_end"):
        return f"{record.text('status') or ''} {message}".strip()
    return "  ".join(f"{name} {_value(value)}" for name, value in record.fields.items())


def level(record: Record) -> Level:
    """How loud a record is."""
    if record.kind == "log":
        return {"info": "info", "error": "error"}.get(record.text("level") or "info", "warning")  # type: ignore[return-value]
    if record.kind == "run_end":
        return "error" if record.text("status") in ("diverged", "failed") else "info"
    return "warning" if record.kind == "anomaly" else "info"


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} {_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value[:8])) + (", …]" if len(value) > 8 else "]")
    return "-" if value is None else str(value)
