"""Parts of a view that tell of decisions: notices, gates, and the handoff log. See view.py; import them from there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Level = Literal["info", "warning", "error"]
_NONE: Mapping[str, Any] = MappingProxyType({})


def nothing() -> Mapping[str, Any]:
    return _NONE


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know about what is read: a cut file, garbage, a record of a newer version.

    count: how often it happened; the text does not repeat it.
    """

    level: Level
    text: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure behind a verdict: what was seen on how much, and what was wanted."""

    name: str
    status: str
    seen: str
    wanted: str
    value: float | None = None
    count: int | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate on the board.

    gate       such as "g3.6";   about: what it asks, one line
    verdict    PASS WARN FAIL NO_EVIDENCE BLOCKED WAIVED, or "" where no verdict is stored
    evidence   the verdict's evidence in one line
    time       ISO 8601 UTC of the verdict;   age: seconds at the time of the frame
    after      the gate that must stand before this one;   blocks: the gates that wait for this one
    blocked_by the gate that keeps this one from being judged, as things stand now
    stale      why the verdict does not count for this run any more: digests or thresholds that changed
    source     where the evidence comes from: run, spans, seed, commit
    record     the stored verdict as plain data, everything that `think gate verify` recomputes
    """

    gate: str
    about: str
    verdict: str = ""
    evidence: str = ""
    reason: str = ""
    remedy: str | None = None
    findings: tuple[Finding, ...] = ()
    time: str | None = None
    age: float | None = None
    after: str | None = None
    blocks: tuple[str, ...] = ()
    blocked_by: str | None = None
    stale: str = ""
    source: Mapping[str, str] = field(default_factory=nothing)
    record: Mapping[str, Any] = field(default_factory=nothing)


@dataclass(frozen=True, slots=True)
class GateBoard:
    """All gates in the order in which they are judged. problems: lines of verdict files that cannot be read."""

    rows: tuple[GateRow, ...] = ()
    problems: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Word -> how many gates have it; gates without a verdict do not count."""
        found: dict[str, int] = {}
        for row in self.rows:
            if row.verdict:
                found[row.verdict] = found.get(row.verdict, 0) + 1
        return found


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task of the handoff log."""

    id: str
    title: str
    status: str
    owner: str | None = None
    lease_until: float | None = None
    why: str = ""
    checks: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    blocker: str = ""
    unblocks: str = ""
    evidence: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One entry of the session log."""

    time: float
    owner: str
    text: str


@dataclass(frozen=True, slots=True)
class HandoffView:
    """The handoff log as it stands: the active task, what comes next, what is blocked, who did what."""

    active: TaskRow | None = None
    backlog: tuple[TaskRow, ...] = ()
    blocked: tuple[TaskRow, ...] = ()
    done: tuple[TaskRow, ...] = ()
    sessions: tuple[SessionRow, ...] = ()
    notices: tuple[Notice, ...] = ()
