"""From events to the state they tell of: one function for each kind of event. Standard library only.

The fold is strict. An event that cannot follow what is there (a second active task, an unknown task) raises ValueError,
KeyError or TypeError, and the line that holds it counts as broken, however well its digest fits.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from think.core.handoff.events import Event
from think.core.handoff.state import (
    Blocker,
    Check,
    Claim,
    Deprecated,
    Evidence,
    Lease,
    Note,
    Said,
    Session,
    State,
    Status,
    Takeover,
    Task,
)


class UnknownKind(ValueError):
    """An event of a kind that this program does not know."""


def apply(state: State, event: Event) -> None:
    """Move the state on by one event. Raises UnknownKind, ValueError, KeyError or TypeError; then it is half done."""
    if event.kind not in _KINDS:
        raise UnknownKind(f"events of kind {event.kind!r} are not known")
    if state.events == 0 and event.kind != "init":
        raise ValueError("a log begins with `init`")
    _session(state, event)
    _KINDS[event.kind](state, event, event.data)
    lease = state.lease
    if lease is not None and lease.owner == event.actor.owner:
        state.lease = replace(lease, expires=event.time + lease.seconds)
    state.events, state.head, state.updated = event.seq, event.sha256, event.time


def _session(state: State, event: Event) -> None:
    owner = event.actor.owner
    place = state.open_sessions.get(owner)
    if place is None:
        place = len(state.sessions)
        state.open_sessions[owner] = place
        state.sessions.append(Session(event.actor.session, owner, event.time, event.time, 0))
    session = state.sessions[place]
    if session.id != event.actor.session:
        raise ValueError(f"{owner}'s open session is {session.id}, not {event.actor.session}")
    tasks = session.tasks
    if event.task is not None and event.task not in tasks and event.kind != "stale":
        tasks = (*tasks, event.task)
    state.sessions[place] = replace(session, last=event.time, events=session.events + 1, tasks=tasks)


def task_from(data: Mapping[str, Any]) -> Task:
    """A task as `init`, `add` and `split` carry it."""
    return Task(
        id=data["id"],
        title=data["title"],
        why=data["why"],
        checks=tuple(Check.from_json(check) for check in data["checks"]),
        depends=tuple(data["depends"]),
        files=tuple(data["files"]),
    )


def _init(state: State, event: Event, data: Mapping[str, Any]) -> None:
    if state.events:
        raise ValueError("a log has one `init`")
    state.title, state.root = data["title"], data["root"]
    state.rules = tuple(data["rules"])
    _enter_tasks(state, data["tasks"])
    for text in data["claims"]:
        id = f"C{len(state.claims) + 1}"
        state.claims[id] = Claim(id, text, event.actor.owner, event.time)
    state.deprecated += [Deprecated(each["reference"], each["why"]) for each in data["deprecated"]]


def _add(state: State, event: Event, data: Mapping[str, Any]) -> None:
    _enter_tasks(state, data["tasks"])
    state.deprecated += [Deprecated(each["reference"], each["why"]) for each in data["deprecated"]]
    for text in data["claims"]:
        id = f"C{len(state.claims) + 1}"
        state.claims[id] = Claim(id, text, event.actor.owner, event.time)


def _enter_tasks(state: State, tasks: list[Mapping[str, Any]]) -> None:
    for data in tasks:
        task = task_from(data)
        if task.id in state.tasks:
            raise ValueError(f"task {task.id} is there already")
        state.tasks[task.id] = task
    _depends_exist(state)


def _depends_exist(state: State) -> None:
    for task in state.tasks.values():
        for id in task.depends:
            if id not in state.tasks:
                raise ValueError(f"{task.id} depends on {id}, which is not there")


def _start(state: State, event: Event, data: Mapping[str, Any]) -> None:
    task = _task(state, event)
    if state.active not in (None, task.id):
        raise ValueError(f"{task.id} started while {state.active} is active")
    if task.status not in (Status.BACKLOG, Status.ACTIVE, Status.STALE):
        raise ValueError(f"{task.id} started while it is {task.status}")
    owner, lease = event.actor.owner, data["lease"]
    takeover = data["takeover"]
    if state.lease is not None and state.lease.owner != owner:
        if takeover is None:
            raise ValueError(f"{task.id} is held by {state.lease.owner}")
        state.takeovers.append(
            Takeover(task.id, takeover["from"], owner, takeover["how"], data["reason"] or "", event.time)
        )
    state.active = task.id
    state.tasks[task.id] = replace(task, status=Status.ACTIVE, changed=())
    state.lease = Lease(task.id, owner, lease["token"], lease["seconds"], event.time, event.time + lease["seconds"])


def _progress(state: State, event: Event, data: Mapping[str, Any]) -> None:
    if event.task is not None and data["text"]:
        task = _task(state, event)
        note = Note(data["text"], event.actor.owner, event.time, event.seq, data["wrong"])
        state.tasks[task.id] = replace(task, notes=(*task.notes, note))
    if data["text"]:
        state.said.append(Said(event.seq, f"progress of {event.task or 'the project'}", data["text"]))
    for each in data["evidence"]:
        _enter_evidence(state, event, each)
    ids = tuple(each["id"] for each in data["evidence"])
    if data["claim"] is not None:
        id, text = data["claim"]["id"], data["claim"]["text"]
        ids = (*data["claim"]["cites"], *ids)
        if any(each not in state.evidence for each in ids):
            raise ValueError(f"claim {id} cites evidence that is not there")
        before = state.claims.get(id)
        if before is None:
            state.claims[id] = Claim(id, text, event.actor.owner, event.time, ids)
        else:
            state.claims[id] = replace(before, evidence=tuple(dict.fromkeys((*before.evidence, *ids))))
    if data["deprecated"] is not None:
        state.deprecated.append(Deprecated(data["deprecated"]["reference"], data["deprecated"]["why"]))
    if data["retract"] is not None:
        _retract(state, data["retract"]["id"], data["retract"]["why"])


def _retract(state: State, id: str, why: str) -> None:
    if id in state.claims:
        state.claims[id] = replace(state.claims[id], retracted=why)
    elif id in state.evidence:
        state.evidence[id] = replace(state.evidence[id], retracted=why)
    else:
        state.retracted[int(id)] = why


def _enter_evidence(state: State, event: Event, data: Mapping[str, Any]) -> None:
    if data["id"] in state.evidence:
        raise ValueError(f"evidence {data['id']} is there already")
    interval = data["interval"]
    state.evidence[data["id"]] = Evidence(
        id=data["id"],
        kind=data["kind"],
        subject=data["subject"],
        text=data["text"],
        owner=event.actor.owner,
        time=event.time,
        digest=data["digest"],
        passed=data["passed"],
        run=data["run"],
        value=data["value"],
        count=data["count"],
        interval=None if interval is None else (interval[0], interval[1]),
        seed=data["seed"],
        sources=data["sources"],
        commit=data["commit"],
        dirty=data["dirty"],
        verdict=data["verdict"],
        results=tuple(data["results"]),
    )


def _checked(state: State, event: Event, data: Mapping[str, Any]) -> None:
    task = _task(state, event)
    for each in data["evidence"]:
        _enter_evidence(state, event, each)
    state.tasks[task.id] = replace(task, attempts=task.attempts + 1)
    _note_checks(state, event, data)


def _done(state: State, event: Event, data: Mapping[str, Any]) -> None:
    task = _task(state, event)
    if task.status not in (Status.ACTIVE, Status.STALE):
        raise ValueError(f"{task.id} done while it is {task.status}")
    if not data["evidence"]:
        raise ValueError(f"{task.id} done without evidence")
    for each in data["evidence"]:
        _enter_evidence(state, event, each)
    ids = tuple(each["id"] for each in data["evidence"] if each["kind"] == "checks")
    state.tasks[task.id] = replace(
        task, status=Status.DONE, evidence=(*task.evidence, *ids), digests=data["files"], changed=(), blocker=None
    )
    _release(state, task.id)
    _note_checks(state, event, data)


def _note_checks(state: State, event: Event, data: Mapping[str, Any]) -> None:
    place = state.open_sessions[event.actor.owner]
    session = state.sessions[place]
    ids = tuple(each["id"] for each in data["evidence"] if each["kind"] == "checks")
    state.sessions[place] = replace(session, checked=(*session.checked, *ids))


def _stale(state: State, event: Event, data: Mapping[str, Any]) -> None:
    task = _task(state, event)
    if task.status is not Status.DONE:
        raise ValueError(f"{task.id} stale while it is {task.status}")
    state.tasks[task.id] = replace(task, status=Status.STALE, changed=tuple(data["changed"]))


def _block(state: State, event: Event, data: Mapping[str, Any]) -> None:
    task = _task(state, event)
    if task.status not in (Status.ACTIVE, Status.BACKLOG):
        raise ValueError(f"{task.id} blocked while it is {task.status}")
    blocker = Blocker(data["reason"], data["unblocks"], event.actor.owner, event.time)
    state.tasks[task.id] = replace(task, status=Status.BLOCKED, blocker=blocker)
    _release(state, task.id)


def _unblock(state: State, event: Event, data: Mapping[str, Any]) -> None:
    task = _task(state, event)
    if task.status is not Status.BLOCKED or task.blocker is None:
        raise ValueError(f"{task.id} unblocked while it is {task.status}")
    text = f"unblocked: {data['how']} (it was blocked: {task.blocker.reason})"
    note = Note(text, event.actor.owner, event.time, event.seq)
    state.tasks[task.id] = replace(task, status=Status.BACKLOG, blocker=None, notes=(*task.notes, note))


def _split(state: State, event: Event, data: Mapping[str, Any]) -> None:
    """The parts stand before the whole, which waits for them: its own checks still have to pass at the end."""
    task = _task(state, event)
    if task.status not in (Status.ACTIVE, Status.BACKLOG, Status.BLOCKED):
        raise ValueError(f"{task.id} split while it is {task.status}")
    parts = [replace(task_from(each), parent=task.id) for each in data["parts"]]
    ids = tuple(part.id for part in parts)
    if not parts or any(id in state.tasks for id in ids):
        raise ValueError(f"{task.id} split into tasks that are there already, or into none")
    note = Note(f"split into {', '.join(ids)}: {data['reason']}", event.actor.owner, event.time, event.seq)
    whole = replace(
        task,
        status=Status.BACKLOG,
        blocker=None,
        depends=tuple(dict.fromkeys((*task.depends, *ids))),
        parts=(*task.parts, *ids),
        notes=(*task.notes, note),
    )
    _release(state, task.id)
    before, state.tasks = state.tasks, {}
    for id, each in before.items():
        if id == task.id:
            state.tasks |= {part.id: part for part in parts}
            state.tasks[id] = whole
        else:
            state.tasks[id] = each
    _depends_exist(state)


def _drop(state: State, event: Event, data: Mapping[str, Any]) -> None:
    task = _task(state, event)
    if task.status in (Status.DONE, Status.DROPPED):
        raise ValueError(f"{task.id} dropped while it is {task.status}")
    state.tasks[task.id] = replace(task, status=Status.DROPPED, dropped=data["reason"], blocker=None)
    _release(state, task.id)


def _end(state: State, event: Event, data: Mapping[str, Any]) -> None:
    place = state.open_sessions.pop(event.actor.owner)
    state.sessions[place] = replace(
        state.sessions[place],
        ended=event.time,
        worked_on=data["worked_on"],
        status=data["status"],
        checks=data["checks"],
        next=data["next"],
        gotchas=data["gotchas"],
        commit=data["commit"],
        dirty=data["dirty"],
    )
    where = f"the summary of session {event.actor.session}"
    state.said += [Said(event.seq, where, data[name]) for name in ("worked_on", "status", "next", "gotchas")]
    if state.lease is not None and state.lease.owner == event.actor.owner:
        state.lease = None  # the task stays active: whoever comes next goes on with it


def _repair(state: State, event: Event, data: Mapping[str, Any]) -> None:
    state.repairs.append(data["text"])


def _release(state: State, task: str) -> None:
    if state.active == task:
        state.active = state.lease = None


def _task(state: State, event: Event) -> Task:
    if event.task is None or event.task not in state.tasks:
        raise ValueError(f"{event.kind} of {event.task!r}, which is no task")
    return state.tasks[event.task]


_KINDS: dict[str, Callable[[State, Event, Mapping[str, Any]], None]] = {
    "init": _init,
    "add": _add,
    "start": _start,
    "progress": _progress,
    "checked": _checked,
    "done": _done,
    "stale": _stale,
    "block": _block,
    "unblock": _unblock,
    "split": _split,
    "drop": _drop,
    "end": _end,
    "repair": _repair,
}
KINDS = tuple(_KINDS)
