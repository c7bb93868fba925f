"""Verdicts: what a gate may say, how several combine, and bands in which every number has exactly one verdict.

    PASS WARN FAIL      the evidence was enough to judge
    NO_EVIDENCE         missing, stale, of the wrong kind, or too few samples
    BLOCKED             an earlier gate has not passed
    WAIVED              somebody took responsibility: reason, owner, expiry; never shown as PASS

Standard library only: the terminal monitor reads verdicts without loading anything heavy.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from think.core.errors import Exit


class Status(StrEnum):
    """One word of a gate."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"
    NO_EVIDENCE = "NO_EVIDENCE"
    BLOCKED = "BLOCKED"
    WAIVED = "WAIVED"

    @property
    def opens(self) -> bool:
        """Whether later gates may be judged after this one."""
        return self in (Status.PASS, Status.WARN, Status.WAIVED)


# A failure that was seen beats one that could not be looked for; a missing look beats a warning.
_WORST_FIRST = (Status.FAIL, Status.NO_EVIDENCE, Status.BLOCKED, Status.WARN, Status.WAIVED, Status.PASS)
_JUDGED = (Status.PASS, Status.WARN, Status.FAIL)


def worst(statuses: Iterable[Status]) -> Status:
    """The status that decides; NO_EVIDENCE when there is none at all."""
    return min(statuses, key=_WORST_FIRST.index, default=Status.NO_EVIDENCE)


def exit_code(statuses: Iterable[Status], *, strict: bool = False) -> Exit:
    """Exit code over several gates: 1 beats 3 beats 0. WARN and WAIVED exit 0; `strict` makes WARN exit 1.

    No gate at all is no verdict, not a success.
    """
    seen = set(statuses)
    if Status.FAIL in seen or (strict and Status.WARN in seen):
        return Exit.GATE_FAILED
    if not seen or Status.NO_EVIDENCE in seen or Status.BLOCKED in seen:
        return Exit.NO_VERDICT
    return Exit.DONE


@dataclass(frozen=True)
class Band:
    """Cut points on the line of numbers and the verdict of each stretch between them.

    cuts      finite, ascending (two equal ones leave an empty stretch between them)
    statuses  one more than cuts: below the first, between each two, above the last

    A cut point belongs to the milder of its neighbours, so `>= 0.90 PASS` and `<= 1.5 PASS` are both written by
    naming the number. What is not finite is never a good measurement: NaN and the infinities FAIL.
    """

    cuts: tuple[float, ...]
    statuses: tuple[Status, ...]

    def __post_init__(self) -> None:
        if len(self.statuses) != len(self.cuts) + 1:
            raise ValueError(
                f"{len(self.cuts)} cut points need {len(self.cuts) + 1} verdicts, not {len(self.statuses)}"
            )
        if not all(math.isfinite(cut) for cut in self.cuts) or list(self.cuts) != sorted(self.cuts):
            raise ValueError(f"cut points must be finite and ascending, not {self.cuts}")
        if any(status not in _JUDGED for status in self.statuses):
            raise ValueError("a band holds only PASS, WARN and FAIL")

    @classmethod
    def at_least(cls, passes: float, *, warns: float | None = None) -> "Band":
        """PASS from `passes` up, WARN from `warns` up, FAIL below."""
        if warns is None:
            return cls((passes,), (Status.FAIL, Status.PASS))
        return cls((warns, passes), (Status.FAIL, Status.WARN, Status.PASS))

    @classmethod
    def at_most(cls, passes: float, *, warns: float | None = None) -> "Band":
        """PASS up to `passes`, WARN up to `warns`, FAIL above."""
        if warns is None:
            return cls((passes,), (Status.PASS, Status.FAIL))
        return cls((passes, warns), (Status.PASS, Status.WARN, Status.FAIL))

    @classmethod
    def between(
        cls, low: float, high: float, *, warn_low: float | None = None, warn_high: float | None = None
    ) -> "Band":
        """PASS inside [low, high], WARN out to the outer pair where given, FAIL beyond."""
        below = ((warn_low,), (Status.FAIL, Status.WARN)) if warn_low is not None else ((), (Status.FAIL,))
        above = ((warn_high,), (Status.WARN, Status.FAIL)) if warn_high is not None else ((), (Status.FAIL,))
        return cls((*below[0], low, high, *above[0]), (*below[1], Status.PASS, *above[1]))

    def status(self, value: float) -> Status:
        """The one verdict of a number."""
        if not math.isfinite(value):
            return Status.FAIL
        edges = (-math.inf, *self.cuts, math.inf)
        touching = [
            status for status, low, high in zip(self.statuses, edges, edges[1:], strict=False) if low <= value <= high
        ]
        return min(touching, key=_JUDGED.index)

    def __str__(self) -> str:
        edges = (-math.inf, *self.cuts, math.inf)
        stretches = zip(self.statuses, edges, edges[1:], strict=False)
        return ", ".join(f"{status} {low:g}..{high:g}" for status, low, high in stretches if low < high)


@dataclass(frozen=True)
class Finding:
    """One figure behind a verdict, with what was wanted of it.

    value      the measured number, None when the finding is a fact and not a number
    count      samples behind the value
    interval   (low, high) around the value, None for an exact one; `interval_of` says what it covers
    """

    name: str
    status: Status
    text: str
    wanted: str
    value: float | None = None
    count: int | None = None
    interval: tuple[float, float] | None = None
    interval_of: str = "95 %"

    def seen(self) -> str:
        """What was measured, on how much."""
        figures = []
        if self.count is not None:
            figures.append(f"n = {self.count:,}")
        if self.interval is not None:
            figures.append(f"{self.interval_of} {self.interval[0]:.4g} to {self.interval[1]:.4g}")
        return f"{self.text} ({', '.join(figures)})" if figures else self.text

    def line(self) -> str:
        """The finding as one line: what was measured on how much, and what was wanted."""
        return f"{self.seen()}; wanted {self.wanted}"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "status": self.status.value,
            "text": self.text,
            "wanted": self.wanted,
            "value": None if self.value is None else finite_or_text(self.value),
            "count": self.count,
            "interval": None if self.interval is None else [finite_or_text(edge) for edge in self.interval],
            "interval_of": self.interval_of,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Finding":
        interval = data["interval"]
        return cls(
            name=data["name"],
            status=Status(data["status"]),
            text=data["text"],
            wanted=data["wanted"],
            value=None if data["value"] is None else float(data["value"]),
            count=data["count"],
            interval=None if interval is None else (float(interval[0]), float(interval[1])),
            interval_of=data["interval_of"],
        )


@dataclass(frozen=True)
class Waiver:
    """Somebody's word for letting a gate through: why, who, and until when (that day included, UTC)."""

    gate: str
    reason: str
    owner: str
    until: date

    def holds(self, today: date) -> bool:
        """An expired waiver is not a waiver."""
        return today <= self.until

    def as_json(self) -> dict[str, str]:
        return {"gate": self.gate, "reason": self.reason, "owner": self.owner, "until": self.until.isoformat()}

    @classmethod
    def from_json(cls, data: dict[str, str]) -> "Waiver":
        return cls(data["gate"], data["reason"], data["owner"], date.fromisoformat(data["until"]))


@dataclass(frozen=True)
class Verdict:
    """What a gate says: its word, the findings behind it, and what to do next."""

    status: Status
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    remedy: str | None = None
    waiver: Waiver | None = field(default=None)

    @classmethod
    def of(cls, findings: Sequence[Finding], *, remedy: str | None = None) -> "Verdict":
        """The verdict that the worst finding decides; its remedy is shown unless all is well."""
        status = worst(finding.status for finding in findings)
        return cls(status, tuple(findings), remedy=None if status is Status.PASS else remedy)

    @classmethod
    def cannot_tell(cls, reason: str, *, remedy: str | None = None) -> "Verdict":
        """NO_EVIDENCE, saying what is missing."""
        return cls(Status.NO_EVIDENCE, reason=reason, remedy=remedy)

    @classmethod
    def blocked(cls, reason: str, *, remedy: str | None = None) -> "Verdict":
        return cls(Status.BLOCKED, reason=reason, remedy=remedy)

    def waived(self, waiver: Waiver) -> "Verdict":
        """This verdict under a waiver: findings and word stay readable in the reason."""
        reason = f"would be {self.status}: {self.line()}"
        return Verdict(Status.WAIVED, self.findings, reason=reason, remedy=self.remedy, waiver=waiver)

    def deciding(self) -> list[Finding]:
        """Findings with the worst word first."""
        return sorted(self.findings, key=lambda finding: _WORST_FIRST.index(finding.status))

    def line(self) -> str:
        """The verdict's evidence in one line: the reason, all that was seen when all is well, else what is not."""
        if self.waiver is not None:
            waiver = self.waiver
            return f"waived by {waiver.owner} until {waiver.until.isoformat()} ({waiver.reason}); {self.reason}"
        if self.reason:
            return self.reason
        if self.status is Status.PASS:
            return "; ".join(finding.seen() for finding in self.findings)
        decided = [finding.line() for finding in self.findings if finding.status is self.status]
        more = len(self.findings) - len(decided)
        return "; ".join(decided) + (f" [{more} other figure{'s' * (more > 1)} better]" if more else "")

    def as_json(self) -> dict[str, Any]:
        return {
            "status": self.status.value,
            "findings": [finding.as_json() for finding in self.findings],
            "reason": self.reason,
            "remedy": self.remedy,
            "waiver": None if self.waiver is None else self.waiver.as_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Verdict":
        return cls(
            status=Status(data["status"]),
            findings=tuple(Finding.from_json(item) for item in data["findings"]),
            reason=data["reason"],
            remedy=data["remedy"],
            waiver=None if data["waiver"] is None else Waiver.from_json(data["waiver"]),
        )


def finite_or_text(value: float) -> float | str:
    """A number as JSON can hold it: NaN and the infinities become text that float() reads back."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
