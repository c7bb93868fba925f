"""Plans on their way into a text: for which position each is, when it may act, and what became of every one.

    buffer.put(plan)       a plan for a position that the text has not reached
    buffer.take(position)  the plan for the very position where the text stands now

Every plan that a planner has made ends in exactly one fate; none is lost silently.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from think.core.models.state import State
from think.core.planning.planner import Planned


class Fate(StrEnum):
    """What became of a plan. The first four were injected."""

    ON_TIME = "on_time"  # at the position that it was made for
    LATE = "late"  # after it, carried over the tokens between
    RECOMPUTED = "recomputed"  # late, on the far side of a StateNorm: read again from the state of now
    ADAPTED = "adapted"  # made for other tokens than those that were written; its change was added all the same
    CLOSED = "closed"  # every gate was 0: nobody was sure, or nothing may be injected
    TOO_LATE = "too_late"  # later than the longest lag
    CROSSED = "crossed"  # late, on the far side of a StateNorm, and dropped
    DIVERGED = "diverged"  # made for other tokens than those that were written, and dropped
    REPLACED = "replaced"  # a newer plan came for its position
    UNUSED = "unused"  # the text ended before its position
    FOREIGN = "foreign"  # made for another text


INJECTED = (Fate.ON_TIME, Fate.LATE, Fate.RECOMPUTED, Fate.ADAPTED)


@dataclass(frozen=True)
class Plan:
    """A plan, and what is needed to inject it later.

    generation  of the text that it was made for
    captured    position of the state that it was made from
    projected   tokens that were foretold from there up to the position that it is for
    planned     what the planner said
    root        the state at `captured`
    base        the state at `position`, after the projected tokens
    target      the state of the copy that read the plan from there; only its matrices count
    asked       seconds of a monotonic clock, when it was asked for
    """

    generation: int
    captured: int
    projected: tuple[int, ...]
    planned: Planned
    root: State
    base: State
    target: State
    asked: float

    @property
    def position(self) -> int:
        """Where it is to be injected."""
        return self.captured + len(self.projected)


@dataclass
class Counts:
    """What was asked for and what became of it.

    asked     requests; each was refused, abandoned, failed or silent, made a plan, or is still in work
    refused   no place in the queue
    abandoned waiting when the text ended
    failed    the planner raised an error
    silent    the planner proposed nothing
    plans     what the planner proposed; each has exactly one fate, or waits for its position
    """

    asked: int = 0
    refused: int = 0
    abandoned: int = 0
    failed: int = 0
    silent: int = 0
    plans: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)

    @property
    def searches(self) -> int:
        """Requests that the planner answered."""
        return self.silent + self.plans

    @property
    def injections(self) -> int:
        """Plans that moved the state."""
        return sum(self.fates[fate] for fate in INJECTED)

    def as_json(self) -> dict[str, Any]:
        """All counts by name, fates that no plan had included."""
        ends = {fate.value: self.fates[fate] for fate in Fate}
        return {
            "asked": self.asked,
            "refused": self.refused,
            "abandoned": self.abandoned,
            "failed": self.failed,
            "silent": self.silent,
            "plans": self.plans,
            "searches": self.searches,
            "injections": self.injections,
            "fates": ends,
        }


class Buffer:
    """Plans for positions that are still to come, one for each."""

    def __init__(self) -> None:
        self._plans: dict[int, Plan] = {}

    def __len__(self) -> int:
        return len(self._plans)

    def put(self, plan: Plan) -> Plan | None:
        """Keep a plan; the one that it takes the place of, if there was one."""
        before = self._plans.get(plan.position)
        self._plans[plan.position] = plan
        return before

    def take(self, position: int) -> Plan | None:
        """The plan for a position, which leaves the buffer."""
        return self._plans.pop(position, None)

    def clear(self) -> Iterator[Plan]:
        """Take all of them out."""
        while self._plans:
            yield self._plans.pop(next(iter(self._plans)))
