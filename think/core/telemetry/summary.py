"""What a run is doing, in a few numbers, read from the end of its telemetry. Standard library only."""

import time as _time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from think.core.telemetry.liveness import State, stalled_after, state_of
from think.core.telemetry.process import Identity, alive
from think.core.telemetry.records import Record
from think.core.telemetry.tail import latest_start, read_backwards

SPEED_STEPS = 50
"Steps behind the figure for speed."

SCANNED_RECORDS = 50_000
"Records looked at before giving up on a figure that is not there: about a second of reading."


@dataclass(frozen=True, slots=True)
class Summary:
    """The latest figures of a run; None where nothing was recorded yet.

    loss, held_out   nats per token          speed     tokens per second over the last steps
    started, updated seconds since 1970      time_left seconds, at the present speed; None when not running
    held_out_tokens  the count behind held_out
    """

    run: str
    state: State
    stage: str | None = None
    preset: str | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    held_out: float | None = None
    held_out_step: int | None = None
    held_out_tokens: int | None = None
    speed: float | None = None
    time_left: float | None = None
    started: float | None = None
    updated: float | None = None
    parameters: int | None = None
    pid: int | None = None
    host: str | None = None
    message: str | None = None

    @classmethod
    def of(
        cls,
        folder: Path,
        *,
        now: Callable[[], float] = _time.time,
        is_alive: Callable[[Identity], bool | None] = alive,
    ) -> "Summary":
        """Summarise the run in `folder`; a folder without telemetry gives the state "created"."""
        found = _Found(latest_start(folder))
        for count, record in enumerate(read_backwards(folder)):
            found.take(record)
            if found.complete() or count >= SCANNED_RECORDS:
                break
        if found.newest is None:
            return cls(run=folder.name, state="created")
        start = found.start.fields if found.start else {}
        state = _state(found, now(), is_alive)
        step = max((record.step for record in found.steps if record.step is not None), default=None)
        if step is None:
            step = found.newest.step
        steps = _whole(start.get("steps"))
        seconds = found.seconds_per_step()
        return cls(
            run=folder.name,
            state=state,
            stage=_text(start.get("stage")),
            preset=_text(start.get("preset")),
            step=step,
            steps=steps,
            loss=found.steps[0].number("loss") if found.steps else None,
            held_out=found.evaluation.number("loss") if found.evaluation else None,
            held_out_step=found.evaluation.step if found.evaluation else None,
            held_out_tokens=_whole(found.evaluation.fields.get("tokens")) if found.evaluation else None,
            speed=found.tokens_per_second(),
            time_left=(steps - step) * seconds
            if state == "running" and steps is not None and step is not None and seconds is not None
            else None,
            started=found.start.time if found.start else None,
            updated=found.newest.time,
            parameters=_whole(start.get("parameters")),
            pid=_whole(start.get("pid")),
            host=_text(start.get("host")),
            message=found.end.text("message") if found.end else None,
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class _Found:
    """Collects, newest record first, what a summary needs."""

    def __init__(self, start: Record | None) -> None:
        self.start = start
        self.newest: Record | None = None
        self.end: Record | None = None
        self.trained: Record | None = None
        self.evaluation: Record | None = None
        self.pauses: list[float] = []
        self.steps: list[Record] = []
        self._since_start: int | None = None

    def take(self, record: Record) -> None:
        if self.newest is None:
            self.newest = record
        if self.trained is None and record.kind != "heartbeat":
            self.trained = record
        if record.kind in ("eval", "checkpoint"):
            self.pauses.append(record.number("seconds") or 0.0)
        if record.kind == "run_end" and self._since_start is None and self.end is None:
            self.end = record
        elif record.kind == "run_start" and self._since_start is None:
            self.start = record
            self._since_start = len(self.steps)
        elif record.kind == "eval" and self.evaluation is None:
            self.evaluation = record
        elif record.kind == "step" and len(self.steps) <= SPEED_STEPS:
            self.steps.append(record)

    def complete(self) -> bool:
        """Whether an older record could add nothing."""
        enough = len(self.steps) > SPEED_STEPS or (self._since_start is not None and len(self.steps) > 0)
        return enough and self.evaluation is not None

    def _session(self) -> list[Record]:
        """The latest steps of the latest process, newest first; monotonic times compare only within one."""
        return self.steps[: self._since_start]

    def intervals(self) -> list[float]:
        """Seconds between the latest step records of the latest process."""
        times = [record.mono for record in self._session()]
        return [later - earlier for later, earlier in pairwise(times)]

    def seconds_per_step(self) -> float | None:
        session = self._session()
        if len(session) < 2 or session[0].step is None or session[-1].step is None:
            return None
        steps, seconds = session[0].step - session[-1].step, session[0].mono - session[-1].mono
        return seconds / steps if steps > 0 and seconds >= 0 else None

    def tokens_per_second(self) -> float | None:
        session = self._session()
        if len(session) >= 2:
            first, last = session[-1].number("tokens"), session[0].number("tokens")
            seconds = session[0].mono - session[-1].mono
            if first is not None and last is not None and seconds > 0 and last > first:
                return (last - first) / seconds
        return self.steps[0].number("tokens_per_second") if self.steps else None


def _state(found: _Found, now: float, is_alive: Callable[[Identity], bool | None]) -> State:
    assert found.newest is not None
    who = Identity.from_json(found.start.fields) if found.start else None
    return state_of(
        status=found.end.text("status") if found.end else None,
        ended=found.end is not None,
        lives=is_alive(who) if who is not None else None,
        silence=now - (found.trained or found.newest).time,
        limit=stalled_after(found.intervals(), found.pauses),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
