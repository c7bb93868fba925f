"""Whose turn it is: taking a task up in its order, taking it over, and putting it down with a summary.

As in `rules.py`, the state goes in and drafts come out. Standard library only.
"""

from think.core.errors import Locked, UsageError
from think.core.handoff.events import Draft, day_and_minute
from think.core.handoff.rules import find, text
from think.core.handoff.state import State, Status, Task

LEASE_SECONDS = 3600.0
"How long a task stays with a holder who does nothing: an hour, longer than most checks and shorter than a day lost."


def start(
    state: State,
    *,
    owner: str,
    now: float,
    token: str,
    id: str | None = None,
    seconds: float = LEASE_SECONDS,
    reason: str | None = None,
    force: bool = False,
) -> list[Draft]:
    """Make a task active and hold it: the active one that nobody holds, else the next of the backlog.

    reason: needed out of order, and with force.   force: take it from a holder whose lease has not run out.
    """
    active = state.active_task()
    if active is not None:
        if id is not None and find(state, id).id != active.id:
            raise UsageError(
                f"{active.id} is active, and there is one active task at a time",
                expected=f"{active.id} to be finished, blocked, split or dropped first",
                remedy=f"think handoff done {active.id}, or block, split or drop it",
            )
        task, takeover = active, _takeover(state, owner, now, reason, force)
    else:
        task, takeover = _in_order(state, id, reason), None
    data = {"lease": {"token": token, "seconds": seconds}, "takeover": takeover, "reason": reason}
    return [Draft("start", data, task.id)]


def _takeover(state: State, owner: str, now: float, reason: str | None, force: bool) -> dict[str, str] | None:
    """From whom the active task is taken, None when nobody held it or it is our own."""
    lease = state.lease
    if lease is None:
        return None
    if lease.owner == owner:
        if lease.expired(now) or force:
            return None
        raise UsageError(
            f"{owner} holds {lease.task} already, until {day_and_minute(lease.expires)}",
            remedy="go on with it: think handoff next; two agents need two names",
        )
    if lease.expired(now):
        return {"from": lease.owner, "token": lease.token, "how": "expired"}
    if not force:
        raise Locked(
            f"{lease.task} is held by {lease.owner} until {day_and_minute(lease.expires)}",
            expected="a task that nobody holds, or whose lease ran out",
            remedy="wait until then, or take it over now: think handoff start --force --reason TEXT",
        )
    if reason is None:
        raise UsageError("a takeover by force needs a reason", expected="--force --reason TEXT")
    return {"from": lease.owner, "token": lease.token, "how": "forced"}


def _in_order(state: State, id: str | None, reason: str | None) -> Task:
    expected = state.next_task()
    if id is None:
        stale = state.with_status(Status.STALE)
        if expected is None and stale:
            return stale[0]
        if expected is None:
            raise nothing_to_start(state)
        return expected
    task = find(state, id)
    if task.status is Status.BLOCKED and task.blocker is not None:
        raise UsageError(
            f"{id} is blocked: {task.blocker.reason}",
            expected=task.blocker.unblocks,
            remedy=f"when that is so: think handoff unblock {id} --how TEXT",
        )
    if task.status in (Status.DONE, Status.DROPPED):
        raise UsageError(f"{id} is {task.status}", expected="a task of the backlog", remedy="think handoff next")
    if task.status is Status.BACKLOG and (expected is None or task.id != expected.id) and reason is None:
        waits = state.waits_for(task)
        why = f"it waits for {', '.join(each.id for each in waits)}; " if waits else ""
        raise UsageError(
            f"{id} is not next",
            expected=why + (f"{expected.id} ({expected.title}) comes first" if expected else "nothing can be started"),
            remedy=f"think handoff start {expected.id if expected else id}"
            + ("; " if expected else " --reason TEXT; ")
            + f"out of order: think handoff start {id} --reason TEXT",
        )
    return task


def nothing_to_start(state: State) -> UsageError:
    """Why no task can be started, and what would change that."""
    blocked, backlog = state.blocked(), state.backlog()
    if blocked:
        first = blocked[0]
        unblocks = first.blocker.unblocks if first.blocker else ""
        return UsageError(
            f"nothing can be started: {len(blocked)} blocked, {len(backlog)} waiting",
            expected=f"{first.id} to be unblocked: {unblocks}",
            remedy=f"think handoff unblock {first.id} --how TEXT",
        )
    if backlog:
        waits = ", ".join(f"{each.id} ({each.status})" for each in state.waits_for(backlog[0]))
        return UsageError(
            f"nothing can be started: {backlog[0].id} waits for {waits}",
            remedy=f"start it anyway: think handoff start {backlog[0].id} --reason TEXT; or drop it",
        )
    return UsageError("the backlog is empty", remedy="enter more tasks: think handoff init FILE.md --add --reason TEXT")


def end(
    state: State,
    *,
    owner: str,
    status: str,
    next: str,
    gotchas: str,
    worked_on: str | None,
    commit: str | None,
    dirty: bool | None,
) -> list[Draft]:
    """Close the owner's session with what the next one must know; its lease ends, the task stays active."""
    place = state.open_sessions.get(owner)
    if place is None:
        raise UsageError(f"{owner} has no open session", expected="an event by that owner since the last `end`")
    session = state.sessions[place]
    tasks = [state.tasks[id] for id in session.tasks]
    data = {
        "worked_on": text(worked_on, "--worked-on")
        if worked_on is not None
        else "; ".join(f"{task.id} {task.title} ({task.status})" for task in tasks) or "no task",
        "status": text(status, "--status"),
        "checks": "; ".join(_checked_line(state, id) for id in session.checked) or "none ran",
        "next": text(next, "--next"),
        "gotchas": text(gotchas, "--gotchas"),
        "commit": commit,
        "dirty": dirty,
    }
    return [Draft("end", data)]


def _checked_line(state: State, id: str) -> str:
    evidence = state.evidence[id]
    return f"{evidence.subject}: {evidence.text} ({id})"
