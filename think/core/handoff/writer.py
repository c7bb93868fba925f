"""Appends to a handoff log, one writer at a time, and only to one that is sound. Standard library only.

Under the lock the log is read up to its end, a rule looks at the state and says what to append, and whole lines go out
in one write. Then `head.json` notes how far the log goes. The disk is waited for after the lock is given back.
"""

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from think.core.durable import replace_file, write_synced
from think.core.errors import BadData, Missing, UsageError
from think.core.handoff import fold
from think.core.handoff.events import LARGEST_EVENT, Actor, Draft, Event, decode, encode
from think.core.handoff.lock import LOCK_SECONDS, cannot, exclusive
from think.core.handoff.log import Reader, events_file, head_file, read_head
from think.core.handoff.state import Problem, State

Decide = Callable[[State], Sequence[Draft]]
"Looks at the state and says what to append; raises when the rules forbid it. It must not change the state."

_HEAD_BYTES = 128
"head.json is written in place, always as long as this, so that no reader meets half of an old one."


class Writer:
    """Appends events in the name of one owner.

    owner      who answers for the events           now   seconds since 1970
    patience   seconds to wait for other writers    sync  wait until the disk has each event
    """

    def __init__(
        self,
        folder: Path,
        owner: str,
        *,
        now: Callable[[], float] = time.time,
        patience: float = LOCK_SECONDS,
        sync: bool = True,
    ) -> None:
        self.folder, self.owner = folder, owner
        self._now, self._patience, self._sync = now, patience, sync
        self._reader = Reader(folder)
        self._host = socket.gethostname()

    @property
    def state(self) -> State:
        """The log as this writer last saw it; to be read only."""
        return self._reader.state

    def refresh(self) -> State:
        """The log as it is now. Raises Missing, InputOutput."""
        self._reader.catch_up()
        return self._reader.state

    def begin(self, draft: Draft) -> list[Event]:
        """Make a log whose first event this is. Raises UsageError when there is one."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot("make the folder of the handoff log", self.folder, error) from error
        path = events_file(self.folder)
        with exclusive(self.folder, self._patience):
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
                self._reader.catch_up(locked=True)
                state = self._reader.state
                head = read_head(self.folder)
                if state.events or self._reader.torn or (head is not None and head.events):
                    raise self._taken()
                (self.folder / ".gitignore").write_text(".lock\n", encoding="ascii")
                descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            except OSError as error:
                raise cannot("make the handoff log", path, error) from error
            try:
                events = self._write(descriptor, [draft])
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return events

    def must_be_free(self) -> None:
        """Raise UsageError when there is a log already."""
        with contextlib.suppress(Missing):
            if self.refresh().events:
                raise self._taken()

    def _taken(self) -> UsageError:
        return UsageError(
            "there is a handoff log here already",
            where=str(events_file(self.folder)),
            expected="a folder without one",
            remedy="see it with `think handoff status`; enter more tasks with "
            "`think handoff init FILE.md --add --reason TEXT`",
        )

    def append(self, decide: Decide) -> list[Event]:
        """Append what `decide` says, all of it or nothing.

        Raises BadData for a log that is not sound, Locked, InputOutput, Missing, and whatever `decide` raises.
        """
        path = events_file(self.folder)
        if not path.exists():
            self._reader.catch_up()  # raises Missing, in its own words
        with exclusive(self.folder, self._patience):
            self._reader.catch_up(locked=True)
            refuse_unsound(self._reader.state, self.folder)
            drafts = list(decide(self._reader.state))
            if not drafts:
                return []
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            except OSError as error:
                raise cannot("append to the handoff log", path, error) from error
            try:
                events = self._write(descriptor, [*self._set_torn_aside(descriptor), *drafts])
            except BaseException:
                os.close(descriptor)
                raise
        try:
            if self._sync:
                os.fsync(descriptor)
        except OSError as error:
            raise cannot("force the event to the disk", path, error) from error
        finally:
            os.close(descriptor)
        return events

    def mend(self, reason: str) -> list[Event]:
        """Set aside what follows the last good event, and go on from there with an event that says so.

        Raises UsageError when the log is sound, BadData when it cannot be mended here.
        """
        with exclusive(self.folder, self._patience):
            self._reader.catch_up(locked=True)
            problem = next((each for each in self._reader.state.problems if each.fatal), None)
            if problem is None:
                raise UsageError("there is nothing to mend: the log is sound", where=str(events_file(self.folder)))
            if problem.kind == "unknown" or self._reader.state.events == 0:
                raise unsound(problem, self.folder)
            try:
                return self._mend(problem, reason)
            except OSError as error:
                raise cannot("mend the handoff log", events_file(self.folder), error) from error

    # ---- under the lock -----------------------------------------------------------------------------------------

    def _write(self, descriptor: int, drafts: Sequence[Draft]) -> list[Event]:
        reader = self._reader
        before = b"\n" if reader.unterminated else b""
        lines, events = self._fold(drafts)
        size = os.fstat(descriptor).st_size
        data = before + b"".join(lines)
        try:
            written = os.write(descriptor, data)
            if written != len(data):
                raise OSError(28, "No space left on device")
        except OSError as error:
            reader.restart()  # its state is ahead of the file
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise cannot("append to the handoff log", events_file(self.folder), error) from error
        offset = size + len(before)
        for line, event in zip(lines, events, strict=True):
            offset += len(line)
            reader.took(event, line, offset)
        self._note_head()
        return events

    def _fold(self, drafts: Sequence[Draft]) -> tuple[list[bytes], list[Event]]:
        """Lines and events of the drafts, folded into the state: what readers would call broken is never written."""
        state = self._reader.state
        lines, events = [], []
        try:
            for draft in drafts:
                line, _ = encode(
                    draft, seq=state.events + 1, time=self._now(), actor=self._actor(state), previous=state.head
                )
                if len(line) > LARGEST_EVENT:
                    raise UsageError(
                        f"this is {len(line):,} bytes in one event",
                        expected=f"at most {LARGEST_EVENT:,} bytes",
                        remedy="say it shorter, and name a file that holds the rest",
                    )
                event = decode(line[:-1], seq=state.events + 1, previous=state.head)
                fold.apply(state, event)
                lines.append(line)
                events.append(event)
        except BaseException:
            self._reader.restart()
            raise
        return lines, events

    def _actor(self, state: State) -> Actor:
        place = state.open_sessions.get(self.owner)
        session = f"S{len(state.sessions) + 1}" if place is None else state.sessions[place].id
        return Actor(self.owner, session, os.getpid(), self._host)

    def _set_torn_aside(self, descriptor: int) -> list[Draft]:
        """Copy an unfinished last line to a file of its own, cut it off, and give the event that says so."""
        torn = self._reader.torn
        if not torn:
            return []
        digest = hashlib.sha256(torn).hexdigest()
        aside = self.folder / f"torn-{digest[:12]}.jsonl"
        try:
            write_synced(aside, torn)
            os.ftruncate(descriptor, self._reader.offset)
        except OSError as error:
            raise cannot("set the unfinished last line aside", aside, error) from error
        self._reader.torn = b""
        text = f"an unfinished last line ({len(torn)} bytes) was set aside in {aside.name}"
        return [Draft("repair", {"text": text, "file": aside.name, "sha256": digest, "bytes": len(torn)})]

    def _mend(self, problem: Problem, reason: str) -> list[Event]:
        reader, path = self._reader, events_file(self.folder)
        content = path.read_bytes()
        good, rest = content[: reader.offset], content[reader.offset :]
        text, name, digest = f"{problem.text}; went on from event {reader.state.events:,}: {reason}", None, None
        if rest.strip():
            digest = hashlib.sha256(rest).hexdigest()
            name = f"broken-{digest[:12]}.jsonl"
            write_synced(self.folder / name, rest)
            text += f" (what followed is in {name})"
        lines, events = self._fold(
            [Draft("repair", {"text": text, "file": name, "sha256": digest, "bytes": len(rest)})]
        )
        try:
            replace_file(path, good.rstrip(b"\n") + b"\n" + b"".join(lines))
            self._note_head()
        finally:
            reader.restart()
        return events

    def _note_head(self) -> None:
        """A log whose head could not be noted is still whole; the next append tries again."""
        state = self._reader.state
        text = json.dumps({"events": state.events, "sha256": state.head}).ljust(_HEAD_BYTES - 1) + "\n"
        with contextlib.suppress(OSError):
            descriptor = os.open(head_file(self.folder), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.pwrite(descriptor, text.encode("ascii"), 0)
                os.ftruncate(descriptor, _HEAD_BYTES)
            finally:
                os.close(descriptor)


def refuse_unsound(state: State, folder: Path) -> None:
    """Raise BadData when nothing may be built on this log."""
    for problem in state.problems:
        if problem.fatal:
            raise unsound(problem, folder)


def unsound(problem: Problem, folder: Path) -> BadData:
    return BadData(
        problem.text,
        where=f"{events_file(folder)}:{problem.line}",
        expected="a log that only `think handoff` writes to",
        remedy=problem.remedy,
    )
