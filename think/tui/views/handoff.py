"""The handoff log as a view: the active task and who holds it, what comes next, what is blocked, who did what."""

from collections import deque
from pathlib import Path

from think.core.errors import InputOutput, Missing
from think.core.handoff.events import Event
from think.core.handoff.log import Reader
from think.core.handoff.state import State, Status, Task
from think.core.handoff.tell import tell
from think.core.text import one_line
from think.tui.view import HandoffView, Notice, SessionRow, TaskRow

MOST_EVENTS = 400
"Newest events of the session log that a view holds."

LOOK_SECONDS = 0.5


class HandoffLog:
    """Follows the log in a folder, which need not hold one (yet).   view: None while it does not."""

    def __init__(self, folder: Path) -> None:
        self._reader = Reader(folder)
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._looked = -1e9
        self.view: HandoffView | None = None

    def look(self, mono: float) -> bool:
        """Read what is new; whether the view changed.   mono: seconds of a clock that never jumps."""
        if mono - self._looked < LOOK_SECONDS:
            return False
        self._looked, before = mono, self.view
        try:
            fresh = self._reader.catch_up()
        except Missing:
            self.view = None
            self._events.clear()
            return before is not None
        except InputOutput as error:
            self.view = HandoffView(notices=(Notice("error", one_line(error.what)),))
            return self.view != before
        if fresh and self._events and fresh[0].seq <= self._events[-1].seq:
            self._events.clear()  # the log was read again from its start
        self._events.extend(fresh)
        if fresh or before is None or self._notices() != before.notices:
            self.view = self._made(self._reader.state)
        return self.view != before

    def _made(self, state: State) -> HandoffView:
        active = state.active_task()
        finished = state.with_status(Status.DONE, Status.STALE, Status.DROPPED)
        return HandoffView(
            active=None if active is None else _row(active, state),
            backlog=tuple(_row(task, state) for task in state.backlog()),
            blocked=tuple(_row(task, state) for task in state.blocked()),
            done=tuple(_row(task, state) for task in finished),
            sessions=tuple(
                SessionRow(event.time, one_line(event.actor.owner), one_line(tell(event))) for event in self._events
            ),
            notices=self._notices(),
        )

    def _notices(self) -> tuple[Notice, ...]:
        problems = self._reader.state.problems
        return tuple(Notice("error" if each.fatal else "warning", one_line(each.text)) for each in problems)


def _row(task: Task, state: State) -> TaskRow:
    lease = state.lease if state.lease is not None and state.lease.task == task.id else None
    return TaskRow(
        id=one_line(task.id),
        title=one_line(task.title),
        status=task.status.value,
        owner=None if lease is None else one_line(lease.owner),
        lease_until=None if lease is None else lease.expires,
        why=one_line(task.why),
        checks=tuple(one_line(" ".join(check.arguments)) for check in task.checks),
        depends=tuple(map(one_line, task.depends)),
        files=tuple(map(one_line, task.files)),
        blocker=one_line(task.blocker.reason) if task.blocker else one_line(", ".join(task.changed)),
        unblocks=one_line(task.blocker.unblocks) if task.blocker else "",
        evidence=tuple(one_line(_evidence(id, state)) for id in task.evidence),
        notes=tuple(one_line(f"not {note.wrong}: {note.text}" if note.wrong else note.text) for note in task.notes),
    )


def _evidence(id: str, state: State) -> str:
    held = state.evidence.get(id)
    return id if held is None else f"{id} {held.text}"
