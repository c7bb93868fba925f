"""Reads a handoff log: whole, or from where the last look ended. It writes nothing. Standard library only.

    state = read(Path("handoff"))           what the log says now; what is wrong with it stands in state.problems
    reader = Reader(Path("handoff"))        the same again and again: a look costs what is new
    state = reader.poll()

    handoff/events.jsonl    the truth, one event a line
    handoff/head.json       how many events there were after the last append, and the digest of that one: what is cut
                            off at the end is noticed by it

Nothing that stands in the files makes reading raise: events up to the first bad line count, and a Problem names the
line and what to do. Only a log that is not there raises Missing.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from think.core.errors import InputOutput, Missing
from think.core.handoff import fold
from think.core.handoff.events import START, Event, decode
from think.core.handoff.lock import being_written
from think.core.handoff.state import Problem, State

EVENTS, HEAD = "events.jsonl", "head.json"

_RESTORE = "restore it from version control or a backup"
_MEND = f"{_RESTORE}; or set the rest aside: think handoff check --mend --reason TEXT"


def events_file(folder: Path) -> Path:
    return folder / EVENTS


def head_file(folder: Path) -> Path:
    return folder / HEAD


def read(folder: Path) -> State:
    """What the log in `folder` says now. Raises Missing when there is none, InputOutput when it cannot be read."""
    return Reader(folder).poll()


def events(folder: Path) -> list[Event]:
    """Every event up to the first bad line. Raises Missing and InputOutput."""
    return list(Reader(folder).catch_up())


def state_after(folder: Path, count: int) -> State:
    """What the log said after its first `count` events."""
    state = State()
    for event in events(folder)[:count]:
        fold.apply(state, event)
    return state


@dataclass(frozen=True, slots=True)
class Head:
    """What the last append left: events so far, and the digest of the last one."""

    events: int
    sha256: str


class Reader:
    """Follows one log.

    state    what was read so far; it grows with every poll
    offset   bytes read;   torn  bytes after the last whole event
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = events_file(folder)
        self.restart()

    def restart(self) -> None:
        """Forget what was read."""
        self.state = State()
        self.offset = 0
        self.torn = b""
        self.unterminated = False
        self.fresh: list[Event] = []
        self._digests: list[str] = []
        self._node: tuple[int, int] | None = None
        self._last = b""
        self._broken: Problem | None = None
        self._seen: tuple[int, int] | None = None

    def poll(self) -> State:
        """The state now, which later polls do not change. Raises Missing and InputOutput."""
        self.catch_up()
        return self.state.copy()

    def catch_up(self, *, locked: bool = False) -> list[Event]:
        """Read what is new and fold it in; the events that were new.

        locked: the caller holds the lock, so that an unfinished line is nobody's work in progress.
        """
        self.fresh = []
        head = read_head(self.folder)  # before the events: whatever it counts is in the file by now
        try:
            with open(self.path, "rb", buffering=0) as file:
                self._read(file.fileno(), locked)
        except FileNotFoundError:
            raise missing(self.folder, head) from None
        except OSError as error:
            raise InputOutput(f"the handoff log cannot be read: {error.strerror}", where=str(self.path)) from error
        self.state.problems = tuple(self._problems(head))
        return self.fresh

    def took(self, event: Event, line: bytes, size: int) -> None:
        """Note an event that the caller folded into `state` and wrote as `line`; `size`: the offset after it."""
        self._digests.append(event.sha256)
        self._last, self.offset = line, size
        self.torn, self.unterminated = b"", False

    # ---- reading ------------------------------------------------------------------------------------------------

    def _read(self, descriptor: int, locked: bool) -> None:
        stat = os.fstat(descriptor)
        node, seen = (stat.st_dev, stat.st_ino), (stat.st_size, stat.st_mtime_ns)
        if self._broken is not None and node == self._node and seen == self._seen:
            return
        if self._broken is not None or self._changed(descriptor, node, stat.st_size):
            self.restart()
        self._node, self._seen = node, seen
        data = _pread(descriptor, self.offset)
        if self.unterminated and data.startswith(b"\n"):
            self._last += b"\n"
            self.offset, self.unterminated, data = self.offset + 1, False, data[1:]
        *lines, rest = data.split(b"\n")
        for line in lines:
            if not self._take(line, b"\n"):
                self._refold()
                return
        self.torn = rest
        if rest and self._unfinished_is_whole(rest):
            return
        if rest and not locked and (being_written(self.folder) or _pread(descriptor, self.offset) != rest):
            self.torn = b""  # somebody is writing just now: the next poll sees it whole

    def _changed(self, descriptor: int, node: tuple[int, int], size: int) -> bool:
        """Whether the file is another one than we read, or its end no longer stands where it stood."""
        if self._node is None:
            return False
        if node != self._node or size < self.offset:
            return True
        return os.pread(descriptor, len(self._last), self.offset - len(self._last)) != self._last

    def _take(self, line: bytes, end: bytes) -> bool:
        number = self.state.events + 1
        try:
            event = decode(line, seq=number, previous=self.state.head if number > 1 else START)
        except ValueError as error:
            self._broken = Problem("broken", number, f"line {number}: {error}", self._remedy())
            return False
        try:
            fold.apply(self.state, event)
        except fold.UnknownKind as error:
            self._broken = Problem("unknown", number, f"line {number}: {error}", "update think: a newer one wrote this")
            return False
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            text = f"line {number}: it cannot follow what stands before it ({error})"
            self._broken = Problem("broken", number, text, self._remedy())
            return False
        self.fresh.append(event)
        self._digests.append(event.sha256)
        self._last = line + end
        self.offset += len(line) + len(end)
        return True

    def _unfinished_is_whole(self, rest: bytes) -> bool:
        """Take a last line that only lacks its newline: an editor may have taken it away."""
        try:
            decode(rest, seq=self.state.events + 1, previous=self.state.head)
        except ValueError:
            return False
        self.torn = b""
        if self._take(rest, b""):
            self.unterminated = True
        else:
            self._refold()
        return True

    def _refold(self) -> None:
        """Fold the good events again: the bad one may have been folded in half."""
        good, state = self._digests, State()
        with open(self.path, "rb", buffering=0) as file:
            lines = file.read(self.offset).split(b"\n")[: len(good)]
        for number, line in enumerate(lines, start=1):
            fold.apply(state, decode(line, seq=number, previous=state.head))
        self.state = state

    def _remedy(self) -> str:
        return _MEND if self.state.events else _RESTORE

    def _problems(self, head: Head | None) -> list[Problem]:
        count, number = self.state.events, self.state.events + 1
        if self._broken is not None:
            return [self._broken]
        if head is not None and head.events > count:
            gone = head.events - count
            text = f"the log had {head.events:,} events and holds {count:,}: the last {gone:,} were cut off"
            return [Problem("short", number, text, self._remedy())]
        if head is not None and head.events and self._digests[head.events - 1] != head.sha256:
            text = f"line {head.events} is another event than the one that was appended: the log was replaced"
            return [Problem("broken", head.events, text, self._remedy())]
        if count == 0 and not self.torn:
            return [Problem("short", 1, "the log holds no event", "make one with `think handoff init FILE.md`")]
        if self.torn:
            text = f"line {number} is unfinished ({len(self.torn)} bytes): a writer was stopped, or the disk was full"
            return [Problem("torn", number, text, "nothing to do: the next event sets it aside and says so")]
        return []


def read_head(folder: Path) -> Head | None:
    """What the last append noted; None when nothing readable is there."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads(head_file(folder).read_bytes())
        return Head(int(data["events"]), str(data["sha256"]))
    return None


def missing(folder: Path, head: Head | None = None) -> Missing:
    """The error of a folder without a log."""
    if head is not None and head.events:
        return Missing(
            f"{EVENTS} is gone; it had {head.events:,} events",
            where=str(events_file(folder)),
            remedy="restore it from version control or a backup",
        )
    return Missing(
        "there is no handoff log here",
        where=str(events_file(folder)),
        expected="a folder in which `think handoff init` was run",
        remedy="make one with `think handoff init FILE.md`, or name its folder with --folder",
    )


def _pread(descriptor: int, offset: int) -> bytes:
    """Everything from `offset` to the end."""
    parts = []
    while block := os.pread(descriptor, 1 << 20, offset):
        parts.append(block)
        offset += len(block)
    return b"".join(parts)
