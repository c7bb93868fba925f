"""The newest facts of a run, kept up to date record by record: what it is, where it stands, how fast, how silent."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from think.core.telemetry.liveness import State, stalled_after, state_of
from think.core.telemetry.process import Identity
from think.core.telemetry.records import Record, superseded_by
from think.core.telemetry.summary import SPEED_STEPS

PAUSES = 16
"Evaluations and saves remembered for how long they may take."


@dataclass(frozen=True, slots=True)
class StepFacts:
    """What is kept of one step record."""

    step: float
    time: float
    mono: float
    loss: float | None
    tokens: float | None
    tokens_per_second: float | None


@dataclass
class Latest:
    """Fed in the order of the file; older records found later go through `earlier`."""

    start: Record | None = None
    end: Record | None = None
    evaluation: Record | None = None
    updated: float | None = None
    trained: float | None = None
    steps: deque[StepFacts] = field(default_factory=lambda: deque(maxlen=SPEED_STEPS + 1))
    before: deque[StepFacts] = field(default_factory=lambda: deque(maxlen=SPEED_STEPS + 1))
    pauses: deque[float] = field(default_factory=lambda: deque(maxlen=PAUSES))

    def take(self, record: Record) -> None:
        """A record newer than all before."""
        self.updated = record.time if self.updated is None else max(self.updated, record.time)
        if record.kind != "heartbeat":
            self.trained = record.time if self.trained is None else max(self.trained, record.time)
        if record.kind == "run_start":
            self._begin(record)
        elif record.kind == "run_end":
            self.end = record
        elif record.kind == "eval":
            self.evaluation = record
        elif record.kind == "step" and record.step is not None:
            self.steps.append(
                StepFacts(
                    record.step,
                    record.time,
                    record.mono,
                    record.number("loss"),
                    record.number("tokens"),
                    record.number("tokens_per_second"),
                )
            )
        if record.kind in ("eval", "checkpoint"):
            self.pauses.append(record.number("seconds") or 0.0)

    def earlier(self, record: Record) -> None:
        """A record older than all before, and not superseded, that fills what is not known yet."""
        if record.kind == "eval" and self.evaluation is None:
            self.evaluation = record
        elif record.kind == "run_start" and self.start is None:
            self.start = record

    def _begin(self, start: Record) -> None:
        self.start, self.end = start, None
        kept = [facts for facts in (*self.before, *self.steps) if not _void(start, facts.step)]
        self.before = deque(kept, maxlen=SPEED_STEPS + 1)
        self.steps.clear()
        if self.evaluation is not None and superseded_by(start, self.evaluation):
            self.evaluation = None

    # ---- figures ----------------------------------------------------------------------------------------------------

    def step(self) -> int | None:
        every = [facts.step for facts in (*self.before, *self.steps)]
        if every:
            return int(max(every))
        return self.start.step if self.start is not None else None

    def newest_step(self) -> StepFacts | None:
        return self.steps[-1] if self.steps else self.before[-1] if self.before else None

    def seconds_per_step(self) -> float | None:
        if len(self.steps) < 2:
            return None
        steps, seconds = self.steps[-1].step - self.steps[0].step, self.steps[-1].mono - self.steps[0].mono
        return seconds / steps if steps > 0 and seconds >= 0 else None

    def tokens_per_second(self) -> float | None:
        if len(self.steps) >= 2:
            first, last = self.steps[0], self.steps[-1]
            seconds = last.mono - first.mono
            if first.tokens is not None and last.tokens is not None and seconds > 0 and last.tokens > first.tokens:
                return (last.tokens - first.tokens) / seconds
        newest = self.newest_step()
        return newest.tokens_per_second if newest is not None else None

    def stalled_after(self) -> float:
        intervals = [later.mono - earlier.mono for earlier, later in pairwise(self.steps)]
        return stalled_after(intervals, self.pauses)

    def silence(self, now: float) -> float | None:
        since = self.trained if self.trained is not None else self.updated
        return None if since is None else now - since

    def who(self) -> Identity | None:
        return Identity.from_json(self.start.fields) if self.start is not None else None

    def state(self, now: float, is_alive: Callable[[Identity], bool | None]) -> State:
        """The state now; "created" before the first record."""
        silence = self.silence(now)
        if silence is None:
            return "created"
        who = self.who()
        return state_of(
            status=self.end.text("status") if self.end is not None else None,
            ended=self.end is not None,
            lives=is_alive(who) if who is not None and self.end is None else None,
            silence=silence,
            limit=self.stalled_after(),
        )


def _void(start: Record, step: float) -> bool:
    return superseded_by(start, Record("step", int(step)))
