"""What may follow what: each function looks at the state and gives the events to append, or says why not.

They run under the lock of the log, so that what they saw is still true when it is appended. Every one is pure: the
state, who asks and when go in; drafts come out. Standard library only.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from think.core.errors import Locked, UsageError
from think.core.handoff.events import Draft, day_and_minute
from think.core.handoff.state import State, Status, Task

LONGEST_OWNER = 60
"Characters."


def owner_name(name: str) -> str:
    """A name that can stand in the log. Raises UsageError."""
    name = name.strip()
    if not name or len(name) > LONGEST_OWNER or not name.isprintable():
        raise UsageError(f"{name[:80]!r} cannot name an owner", expected=f"1 to {LONGEST_OWNER} printable characters")
    return name


def text(given: str, what: str) -> str:
    """A text that says something. Raises UsageError."""
    if not given.strip():
        raise UsageError(f"{what} is empty", expected="a few words")
    return given.strip()


def held(state: State, owner: str, token: str | None = None) -> Task:
    """The active task, which this owner must hold. Raises UsageError or Locked.

    A lease that ran out still counts until somebody else takes the task.
    """
    task = state.active_task()
    if task is None:
        raise UsageError("no task is active", remedy="think handoff start")
    lease = state.lease
    if lease is None:
        raise UsageError(
            f"nobody holds {task.id}", expected="its holder to do this", remedy=f"think handoff start {task.id}"
        )
    if lease.owner != owner:
        raise Locked(
            f"{task.id} is held by {lease.owner} until {day_and_minute(lease.expires)}",
            expected=f"{lease.owner} to do this, not {owner}",
            remedy="wait until then, or take it over: think handoff start --force --reason TEXT",
        )
    _right_token(state, token)
    return task


def _right_token(state: State, token: str | None) -> None:
    if token is not None and (state.lease is None or state.lease.token != token):
        raise Locked(
            "this token is no longer the holder's: the task changed hands since",
            expected="the token that the last `start` gave",
            remedy="see who holds it: think handoff status",
        )


def find(state: State, id: str) -> Task:
    """A task by its id. Raises UsageError with the nearest one."""
    if id in state.tasks:
        return state.tasks[id]
    import difflib

    nearest = difflib.get_close_matches(id, state.tasks, n=1)
    raise UsageError(
        f"there is no task {id!r}",
        expected=f"one of {', '.join(list(state.tasks)[:12])}" + (", …" if len(state.tasks) > 12 else ""),
        remedy=f"did you mean {nearest[0]!r}?" if nearest else "see them with `think handoff status`",
    )


def progress(
    state: State,
    *,
    owner: str,
    token: str | None = None,
    note: str = "",
    id: str | None = None,
    wrong: str | None = None,
    claim: str | None = None,
    evidence: Sequence[dict[str, Any]] = (),
    cites: Sequence[str] = (),
    deprecated: tuple[str, str] | None = None,
    retract: tuple[str, str] | None = None,
) -> list[Draft]:
    """A note on a task, evidence, a claim with or without it, a reference not to be used, something taken back.

    claim: a text, or the id of a claim to which the evidence is added.   cites: evidence for it that is there already.
    """
    from think.core.handoff.evidence import numbered

    _right_token(state, token)
    task = None if id is None else find(state, id)
    if note and task is None:
        task = held(state, owner, token)
    elif task is not None and task.id == state.active and state.lease is not None:
        held(state, owner, token)
    data = {
        "text": note,
        "wrong": wrong,
        "claim": None if claim is None else {**_claim(state, claim), "cites": _cited(state, cites)},
        "evidence": numbered(state, evidence),
        "deprecated": None if deprecated is None else {"reference": deprecated[0], "why": deprecated[1]},
        "retract": None if retract is None else _retraction(state, *retract),
    }
    return [Draft("progress", data, None if task is None else task.id)]


def _claim(state: State, claim: str) -> dict[str, str]:
    for each in state.claims.values():
        if claim in (each.id, each.text):
            if each.retracted:
                raise UsageError(
                    f"{each.id} was retracted: {each.retracted}", expected="a claim that stands, or a new one"
                )
            return {"id": each.id, "text": each.text}
    if re.fullmatch(r"C\d+", claim):
        raise UsageError(
            f"there is no claim {claim}", expected=f"a text, or one of {', '.join(state.claims) or 'none'}"
        )
    return {"id": f"C{len(state.claims) + 1}", "text": claim}


def _cited(state: State, ids: Sequence[str]) -> list[str]:
    for id in ids:
        if id not in state.evidence:
            have = ", ".join(list(state.evidence)[-8:]) or "none"
            raise UsageError(f"there is no evidence {id}", expected=f"one of {have}", remedy="think handoff log")
        if state.evidence[id].retracted:
            raise UsageError(f"{id} was taken back: {state.evidence[id].retracted}", expected="evidence that stands")
    return list(dict.fromkeys(ids))


def _retraction(state: State, id: str, why: str) -> dict[str, str]:
    number = re.fullmatch(r"#?(\d+)", id)
    if number and any(said.event == int(number[1]) for said in state.said):
        return {"id": number[1], "why": why}
    if id not in state.claims and id not in state.evidence:
        raise UsageError(
            f"there is nothing called {id!r} to take back",
            expected="a claim (C1), evidence (E1), or the number of an event with a text (see `think handoff log`)",
        )
    return {"id": id, "why": why}


def block(
    state: State, *, owner: str, reason: str, unblocks: str, id: str | None = None, token: str | None = None
) -> list[Draft]:
    task = _held_or_waiting(state, owner, id, token)
    if task.status not in (Status.ACTIVE, Status.BACKLOG):
        raise UsageError(f"{task.id} is {task.status}", expected="a task that is active or in the backlog")
    return [Draft("block", {"reason": text(reason, "--reason"), "unblocks": text(unblocks, "--unblocks")}, task.id)]


def unblock(state: State, *, id: str, how: str) -> list[Draft]:
    task = find(state, id)
    if task.status is not Status.BLOCKED:
        raise UsageError(f"{id} is {task.status}", expected="a blocked task")
    return [Draft("unblock", {"how": text(how, "--how")}, id)]


def split(
    state: State,
    *,
    owner: str,
    parts: Sequence[Mapping[str, Any]],
    reason: str,
    id: str | None = None,
    token: str | None = None,
) -> list[Draft]:
    task = _held_or_waiting(state, owner, id, token)
    if task.status not in (Status.ACTIVE, Status.BACKLOG, Status.BLOCKED):
        raise UsageError(f"{task.id} is {task.status}", expected="a task that is not finished")
    for part in parts:
        if task.id in part["depends"]:
            raise UsageError(
                f"{part['id']} depends on {task.id}, which is to be done after its parts", expected="no such dependency"
            )
    return [Draft("split", {"reason": text(reason, "--reason"), "parts": list(parts)}, task.id)]


def drop(state: State, *, owner: str, id: str, reason: str, token: str | None = None) -> list[Draft]:
    task = _held_or_waiting(state, owner, id, token)
    if task.status in (Status.DONE, Status.DROPPED):
        raise UsageError(f"{id} is {task.status}", expected="a task that is not finished")
    return [Draft("drop", {"reason": text(reason, "--reason")}, id)]


def _held_or_waiting(state: State, owner: str, id: str | None, token: str | None) -> Task:
    """The task named, or the active one; the active one only for its holder."""
    task = None if id is None else find(state, id)
    if task is None or (task.id == state.active and state.lease is not None):
        return held(state, owner, token)
    return task


def may_finish(state: State, *, owner: str, id: str | None, token: str | None = None) -> Task:
    """The task whose checks may be run now: the active one for its holder, or a stale one, to look at it again."""
    task = None if id is None else find(state, id)
    if task is not None and task.status is Status.STALE:
        return task
    if task is not None and task.id != state.active:
        raise UsageError(
            f"{task.id} is {task.status}", expected="the active task", remedy=f"think handoff start {task.id}"
        )
    task = held(state, owner, token)
    waits = [each for each in state.waits_for(task) if each.status is not Status.DROPPED]
    if waits:
        first = waits[0]
        raise UsageError(
            f"{task.id} waits for {', '.join(f'{each.id} ({each.status})' for each in waits)}",
            expected="what it depends on to be done",
            remedy=f"think handoff done {first.id}" if first.status is Status.STALE else f"finish {first.id} first",
        )
    return task


def finish(
    state: State,
    before: Task,
    token: str | None,
    *,
    owner: str,
    evidence: Sequence[dict[str, Any]],
    files: Mapping[str, str],
) -> list[Draft]:
    """Enter what the checks of `before` said, if the task is still what it was when they began.

    token: of the lease under which they ran, None for a stale task looked at again.
    """
    from think.core.handoff.evidence import numbered

    if token is not None and (state.lease is None or state.lease.token != token):
        holder = "nobody" if state.lease is None else state.lease.owner
        raise Locked(
            f"{before.id} changed hands while its checks ran: {holder} holds it now",
            remedy="see what happened: think handoff log",
        )
    task = may_finish(state, owner=owner, id=before.id)
    if (task.checks, task.files, task.status) != (before.checks, before.files, before.status):
        raise Locked(f"{before.id} was changed while its checks ran", remedy=f"think handoff done {before.id}")
    results = numbered(state, evidence)
    if all(each["passed"] for each in results if each["kind"] == "checks"):
        return [Draft("done", {"evidence": results, "files": dict(files)}, task.id)]
    return [Draft("checked", {"evidence": results}, task.id)]


def overtaken(state: State, seen: State, changed: Mapping[str, Sequence[str]]) -> list[Draft]:
    """Tasks whose files changed since they were done; `seen` is the state that the files were compared with."""
    return [
        Draft("stale", {"changed": list(files)}, id)
        for id, files in changed.items()
        if state.tasks[id].status is Status.DONE and state.tasks[id].digests == seen.tasks[id].digests
    ]
