"""What the next person or agent needs, in at most two kilobytes whatever the texts are. Standard library only."""

import json
import shlex
from collections.abc import Callable
from typing import Any

from think.core.handoff.events import stamp
from think.core.handoff.markup import CUT, cut
from think.core.handoff.state import State, Status, Task

LARGEST = 2000
"Bytes of the whole answer as JSON, envelope included, in ASCII."

_TEXT, _ITEMS = 400, 8
"Characters of a text and items of a list to begin with; both shrink until the answer fits."


def brief(
    state: State, now: float, changed: dict[str, tuple[str, ...]], owner: str | None, size: Callable[[Any], int]
) -> dict[str, Any]:
    """What to do now and what to know for it.

    changed   done tasks whose files changed, not yet entered as stale
    owner     who asks, None when nobody said
    size      bytes that the answer takes when this is its data
    """
    whole = _whole(state, now, changed, owner)
    text, items = _TEXT, _ITEMS
    while True:
        answer = _shrunk(whole, text, items)
        if size(answer) <= LARGEST or text <= len(CUT):
            return answer
        text, items = text * 3 // 4, max(1, items - 1)


def action(state: State, now: float, owner: str | None) -> tuple[str, Task | None, str]:
    """(what, the task it is about, the command that does it)."""
    task, lease = state.active_task(), state.lease
    if task is not None:
        if lease is None:
            return "resume", task, f"think handoff start {task.id}"
        if lease.owner == owner:
            return "go on", task, f"think handoff done {task.id}"
        if lease.expired(now):
            return "take over", task, f"think handoff start {task.id}"
        return "wait", task, "think handoff log --follow"
    stale = state.with_status(Status.STALE)
    if stale:
        return "check again", stale[0], f"think handoff done {stale[0].id}"
    following = state.next_task()
    if following is not None:
        return "start", following, f"think handoff start {following.id}"
    blocked = state.blocked()
    if blocked:
        return "unblock", blocked[0], f"think handoff unblock {blocked[0].id} --how TEXT"
    return "nothing", None, "think handoff init FILE.md --add --reason TEXT"


def _whole(state: State, now: float, changed: dict[str, tuple[str, ...]], owner: str | None) -> dict[str, Any]:
    what, task, command = action(state, now, owner)
    lease, last = state.lease, state.last_ended()
    return {
        "do": what,
        "command": command,
        "task": None if task is None else _task(state, task),
        "lease": None
        if lease is None
        else {"owner": lease.owner, "until": stamp(lease.expires), "expired": lease.expired(now)},
        "blocked": [
            f"{each.id}: {each.blocker.reason} (unblocks: {each.blocker.unblocks})"
            for each in state.blocked()
            if each.blocker is not None
        ],
        "changed": [f"{id}: {', '.join(files)}" for id, files in changed.items()],
        "last_session": None
        if last is None
        else {"owner": last.owner, "status": last.status, "next": last.next, "gotchas": last.gotchas},
        "left": len(state.backlog()),
        "not_tested": sum(not state.standing(claim) and not claim.retracted for claim in state.claims.values()),
        "problems": [problem.text for problem in state.problems],
    }


def _task(state: State, task: Task) -> dict[str, Any]:
    notes = [f"wrong: {note.wrong}; now known: {note.text}" if note.wrong else note.text for note in task.notes]
    return {
        "id": task.id,
        "status": str(task.status),
        "title": task.title,
        "why": task.why,
        "checks": [
            shlex.join(check.arguments) + (f" (exit {check.exit})" if check.exit else "") for check in task.checks
        ],
        "files": list(task.files),
        "changed": list(task.changed),
        "waits_for": [each.id for each in state.waits_for(task)],
        "notes": notes[::-1],  # the newest first: the oldest are cut
    }


def _shrunk(value: Any, text: int, items: int) -> Any:
    if isinstance(value, str):
        return cut(value, text)
    if isinstance(value, list):
        kept = [_shrunk(each, text, items) for each in value[:items]]
        return kept + ([f"… [{len(value) - items} more]"] if len(value) > items else [])
    if isinstance(value, dict):
        return {key: each if key == "command" else _shrunk(each, text, items) for key, each in value.items()}
    return value


def ascii_size(schema: str) -> Callable[[Any], int]:
    """Bytes of an answer with this schema, when everything beyond ASCII is escaped."""
    return lambda data: len(json.dumps({"schema": schema, "ok": True, "data": data, "warnings": [], "error": None}))
