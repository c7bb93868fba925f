"""Reads telemetry while it is being written. Standard library only.

A reader consumes only up to the last newline; an unfinished line is torn when a later segment exists, and not there
yet otherwise. Lines that are no records are counted and passed over, lines beyond LONGEST_LINE are skipped without
being held in memory, and a file that shrinks or is replaced is read again from its start.

`read` gives the history that counts: what a resumed run supersedes is left out. `Tail.poll` gives what is new since the
last call; its caller drops superseded records itself when a `run_start` comes by (`History.add` does that).
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from think.core.telemetry.records import LARGEST_RECORD, Record, decode, superseded_by
from think.core.telemetry.writer import segments

LONGEST_LINE = 1024 * 1024
"Bytes; sixteen times what a writer makes, so a longer one is no record."

POLL_BYTES = 4 * 1024 * 1024
"Work of one poll: about 50 ms of decoding."


@dataclass
class History:
    """The records that count, in order; a `run_start` voids what its process does again."""

    records: list[Record] = field(default_factory=list)
    superseded: int = 0

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            if record.kind == "run_start":
                before = len(self.records)
                self.records = [earlier for earlier in self.records if not superseded_by(record, earlier)]
                self.superseded += before - len(self.records)
            self.records.append(record)


@dataclass
class Poll:
    """What one poll found. more: there is more to read at once; notices: what a person should know about the files."""

    records: list[Record] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    more: bool = False


@dataclass
class _Position:
    """How far one segment has been read."""

    offset: int = 0
    device_and_node: tuple[int, int] | None = None
    skipping: bool = False  # inside a line that is too long
    last: tuple[int, float] = (-1, 0.0)  # seq and time of the last record given out
    rereading: bool = False


class Tail:
    """Follows the telemetry of one run folder, which need not exist yet.

    garbage   lines that were no records;   overlong  lines skipped for their length;   torn  unfinished last lines
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.garbage = self.overlong = self.torn = 0
        self._positions: dict[Path, _Position] = {}
        self._finished: set[Path] = set()

    def poll(self, work_bytes: int = POLL_BYTES) -> Poll:
        """New complete records, after reading at most about `work_bytes`. Never raises for what is in the files."""
        poll, left = Poll(), work_bytes
        # Listed before reading: a segment that has a successor in this list gets no more records.
        found = segments(self.folder)
        for number, path in enumerate(found):
            if path in self._finished:
                continue
            if left <= 0:
                poll.more = True
                break
            used, at_end = self._read(path, left, poll)
            left -= used
            if not at_end:
                poll.more = True
                break
            if number + 1 < len(found):
                self._finish(path)
        return poll

    def _read(self, path: Path, limit: int, poll: Poll) -> tuple[int, bool]:
        """Read one segment onwards from where it was left; bytes used, and whether its end was reached."""
        position = self._positions.setdefault(path, _Position())
        used = 0
        try:
            with open(path, "rb", buffering=0) as file:
                self._notice_changes(path, os.fstat(file.fileno()), position, poll)
                file.seek(position.offset)
                while used < limit:
                    chunk = file.read(LONGEST_LINE)
                    used += len(chunk)
                    if not chunk:
                        return used, True
                    self._consume(chunk, position, poll)
                    if len(chunk) < LONGEST_LINE:
                        return used, True
                    file.seek(position.offset)
        except FileNotFoundError:
            return used, True  # removed between listing and opening
        except OSError as error:
            poll.notices.append(f"{path.name} cannot be read: {error.strerror}")
            return used, True
        return used, False

    def _notice_changes(self, path: Path, stat: os.stat_result, position: _Position, poll: Poll) -> None:
        node = (stat.st_dev, stat.st_ino)
        if position.device_and_node not in (None, node):
            poll.notices.append(f"{path.name} was replaced; reading it from its start")
            position.offset, position.skipping, position.rereading, position.last = 0, False, False, (-1, 0.0)
        elif stat.st_size < position.offset:
            poll.notices.append(f"{path.name} was cut from {position.offset} to {stat.st_size} bytes")
            position.offset, position.skipping, position.rereading = 0, False, True
        position.device_and_node = node

    def _consume(self, chunk: bytes, position: _Position, poll: Poll) -> None:
        """Decode the complete lines of a chunk and move the offset behind them."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            if position.skipping:
                position.skipping = False
            elif end > start:
                self._decode(chunk[start:end], position, poll)
            start = end + 1
        rest = len(chunk) - start
        if position.skipping or rest >= LONGEST_LINE:
            self.overlong += not position.skipping
            position.skipping = True
            start = len(chunk)
        position.offset += start

    def _decode(self, line: bytes, position: _Position, poll: Poll) -> None:
        try:
            record = decode(line)
        except ValueError:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
            self.garbage += 1
            return
        # After a cut the start of the file is met again: what was given out before is not given twice.
        if position.rereading and record.seq <= position.last[0] and record.time <= position.last[1]:
            return
        position.rereading = False
        position.last = (record.seq, record.time)
        poll.records.append(record)

    def _finish(self, path: Path) -> None:
        position = self._positions.pop(path)
        with contextlib.suppress(OSError):
            self.torn += position.skipping or path.stat().st_size > position.offset
        self._finished.add(path)


def follow_to_end(tail: Tail) -> Iterator[Record]:
    """Poll until nothing is left to read."""
    while True:
        poll = tail.poll()
        yield from poll.records
        if not poll.more:
            return


def read(folder: Path) -> list[Record]:
    """All records of a run that count, oldest first; superseded ones are left out. Empty without telemetry."""
    history = History()
    history.add(follow_to_end(Tail(folder)))
    return history.records


def read_backwards(folder: Path, block: int = 256 * 1024) -> Iterator[Record]:
    """Records that count, newest first, reading only as far back as the caller asks."""
    starts: list[Record] = []
    for path in reversed(segments(folder)):
        for line in _lines_backwards(path, block):
            try:
                record = decode(line)
            except ValueError:
                continue
            if not any(superseded_by(start, record) for start in starts):
                yield record
            if record.kind == "run_start":
                starts.append(record)


def latest_start(folder: Path) -> Record | None:
    """The `run_start` of the process that wrote last, found at the head of its segment; None when there is none."""
    for path in reversed(segments(folder)):
        for line in _first_lines(path):
            with contextlib.suppress(ValueError):
                record = decode(line)
                if record.kind == "run_start":
                    return record
    return None


def _first_lines(path: Path) -> list[bytes]:
    """Complete lines at the head of a file: a process says who it is among its first few records."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(2 * LARGEST_RECORD).split(b"\n")[:-1]
    except OSError:
        return []


def _lines_backwards(path: Path, block: int) -> Iterator[bytes]:
    """Complete lines of a file, last first; lines beyond LONGEST_LINE are left out."""
    try:
        with open(path, "rb", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            pending: bytes | None = None  # the beginning of this line lies before `end`; None: no newline seen yet
            while end > 0:
                start = max(0, end - block)
                file.seek(start)
                chunk = file.read(end - start)
                end = start
                pieces = chunk.split(b"\n")
                if pending is not None:
                    pieces[-1] += pending
                elif len(pieces) == 1:
                    continue  # still inside the unfinished last line
                else:
                    pieces[-1] = b""  # what follows the last newline is torn or not complete yet
                first, *complete = pieces
                yield from (line for line in reversed(complete) if 0 < len(line) <= LONGEST_LINE)
                pending = first[-LONGEST_LINE - 1 :]
            if pending and len(pending) <= LONGEST_LINE:
                yield pending
    except OSError:
        return
