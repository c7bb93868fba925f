"""What a handoff log says now: tasks, who holds which, what was claimed and on what evidence. Standard library only.

A `State` is made by folding events (`fold.py`) and is read by everybody else. Its parts are frozen; times are seconds
since 1970, None where there is none.
"""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from think.core.handoff.events import START


class Status(StrEnum):
    """One word of a task."""

    BACKLOG = "backlog"
    ACTIVE = "active"
    BLOCKED = "blocked"
    DONE = "done"
    STALE = "stale"
    DROPPED = "dropped"


CHECK_SECONDS = 600.0
"Time limit of a check that names none: ten minutes, longer than a fast test suite and shorter than a lost afternoon."


@dataclass(frozen=True, slots=True)
class Check:
    """What must hold before a task is done: a program with its arguments that ends with this exit code.

    gate   the gate that the program judges, None for a plain command;   run: the run it judges, None for the newest
    """

    arguments: tuple[str, ...]
    exit: int = 0
    seconds: float = CHECK_SECONDS
    gate: str | None = None
    run: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "arguments": list(self.arguments)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Check":
        """Raises KeyError or TypeError."""
        arguments = tuple(data["arguments"])
        if not arguments or not all(isinstance(word, str) for word in arguments):
            raise TypeError("a check is a list of words")
        return cls(arguments, data["exit"], data["seconds"], data["gate"], data["run"])


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was learnt on a task. wrong: the assumption that it overturns; event: its number in the log."""

    text: str
    owner: str
    time: float
    event: int
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why a task cannot go on, and what would let it."""

    reason: str
    unblocks: str
    owner: str
    time: float


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    evidence   ids of the check results behind `done`, newest last
    files      paths and patterns that the task names, relative to the project
    digests    path -> sha256 of those files when it was done
    changed    files that changed since, where the task is stale
    parent     the task it was split from;   parts: the tasks it was split into
    """

    id: str
    title: str
    why: str = ""
    checks: tuple[Check, ...] = ()
    depends: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    status: Status = Status.BACKLOG
    notes: tuple[Note, ...] = ()
    blocker: Blocker | None = None
    evidence: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    parent: str | None = None
    parts: tuple[str, ...] = ()
    dropped: str = ""
    attempts: int = 0
    "times that its checks ran and did not all pass"


@dataclass(frozen=True, slots=True)
class Lease:
    """Who works on the active task. token: changes whenever the holder does; seconds: how long it lasts unrenewed."""

    task: str
    owner: str
    token: str
    seconds: float
    since: float
    expires: float

    def expired(self, now: float) -> bool:
        return now >= self.expires


@dataclass(frozen=True, slots=True)
class Takeover:
    """A task that changed hands while somebody held it. how: "expired" or "forced"."""

    task: str
    was: str
    now: str
    how: str
    reason: str
    time: float


@dataclass(frozen=True, slots=True)
class Session:
    """One owner's stretch of work; `ended` and the five texts come with `end`."""

    id: str
    owner: str
    started: float
    last: float
    events: int
    tasks: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    "ids of the check results made in it"
    ended: float | None = None
    worked_on: str = ""
    status: str = ""
    checks: str = ""
    next: str = ""
    gotchas: str = ""
    commit: str | None = None
    dirty: bool | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something measured, with where it comes from.

    kind       "checks" of a task, a "run", or the verdict of a "gate"
    subject    the task, the run or the gate
    text       what it says in one line
    passed     whether it speaks for what it is cited for; None where a number says neither
    value, count, interval, seed     the figure, samples behind it, (low, high), and the seed that made it
    sources    path -> {"sha256", "bytes"} of what it was read from: the first `bytes` bytes of that file
    digest     sha256 over all that it says
    """

    id: str
    kind: str
    subject: str
    text: str
    owner: str
    time: float
    digest: str
    passed: bool | None = None
    run: str | None = None
    value: float | str | None = None
    count: int | None = None
    interval: tuple[float | str, float | str] | None = None
    seed: int | None = None
    sources: Mapping[str, Any] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    verdict: str | None = None
    results: tuple[Mapping[str, Any], ...] = ()
    retracted: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """Something said to be true. evidence: ids; none, or only retracted ones, means NOT TESTED."""

    id: str
    text: str
    owner: str
    time: float
    evidence: tuple[str, ...] = ()
    retracted: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A text that somebody entered, which must not claim more than it cites."""

    event: int
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Deprecated:
    """A file, name or statement that must not be used any more, and why."""

    reference: str
    why: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the log.

    kind    "torn"     the last line is unfinished; the next event sets it aside, nothing is lost
            "broken"   a line was changed, removed or added by hand
            "short"    events are gone from the end
            "unknown"  a newer think wrote it
    line    of events.jsonl, from 1
    """

    kind: str
    line: int
    text: str
    remedy: str

    @property
    def fatal(self) -> bool:
        """Whether nothing may be appended."""
        return self.kind != "torn"


@dataclass
class State:
    """The log up to now. tasks are in backlog order; `active` is the one task in work, held under `lease` or by nobody.

    events, head   how many events were read and the digest of the last one
    """

    title: str = ""
    root: str = ""
    rules: tuple[str, ...] = ()
    tasks: dict[str, Task] = field(default_factory=dict)
    active: str | None = None
    lease: Lease | None = None
    sessions: list[Session] = field(default_factory=list)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    deprecated: list[Deprecated] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    retracted: dict[int, str] = field(default_factory=dict)
    "event number -> why what was said there does not hold"
    events: int = 0
    head: str = START
    updated: float | None = None
    problems: tuple[Problem, ...] = ()
    open_sessions: dict[str, int] = field(default_factory=dict)
    "owner -> place in `sessions` of the session that is not ended"

    def copy(self) -> "State":
        """A state that later events do not change."""
        twin = copy.copy(self)
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, (dict, list)):
                setattr(twin, name, value.copy())
        return twin

    # ---- views --------------------------------------------------------------------------------------------------

    def with_status(self, *statuses: Status) -> list[Task]:
        """Tasks of these statuses, in backlog order."""
        return [task for task in self.tasks.values() if task.status in statuses]

    def active_task(self) -> Task | None:
        return None if self.active is None else self.tasks[self.active]

    def backlog(self) -> list[Task]:
        return self.with_status(Status.BACKLOG)

    def blocked(self) -> list[Task]:
        return self.with_status(Status.BLOCKED)

    def waits_for(self, task: Task) -> list[Task]:
        """Tasks that must be done before this one and are not."""
        return [self.tasks[id] for id in task.depends if self.tasks[id].status is not Status.DONE]

    def next_task(self) -> Task | None:
        """The first task of the backlog that waits for nothing."""
        return next((task for task in self.backlog() if not self.waits_for(task)), None)

    def gates(self) -> list[Evidence]:
        """The newest verdict of each gate and run, sorted by gate."""
        newest = {(each.subject, each.run): each for each in self.evidence.values() if each.kind == "gate"}
        return sorted(newest.values(), key=lambda each: (each.subject, each.run or ""))

    def standing(self, claim: Claim) -> list[Evidence]:
        """The evidence of a claim that was not retracted."""
        return [self.evidence[id] for id in claim.evidence if not self.evidence[id].retracted]

    def last_ended(self) -> Session | None:
        """The session that left the newest summary."""
        ended = [session for session in self.sessions if session.ended is not None]
        return max(ended, key=lambda session: session.ended or 0.0, default=None)
