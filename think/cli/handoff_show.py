"""How `think handoff` shows things: the state at a glance, the brief, events, findings."""

import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from think.cli.console import console

if TYPE_CHECKING:
    from think.core.handoff.audit import Finding
    from think.core.handoff.events import Event
    from think.core.handoff.log import Reader
    from think.core.handoff.state import State, Task

STYLES = {
    "active": "bold cyan", "done": "green", "blocked": "magenta", "stale": "yellow", "wrong": "bold red",
    "gone": "magenta", "changed": "yellow",
}  # fmt: skip

LOOK_SECONDS = 0.2
"Between two looks of --follow: at once for a person, and nothing for a processor."

Changed = Mapping[str, Sequence[str]]


def status_data(state: "State", changed: Changed, now: float) -> dict[str, Any]:
    """The whole state as plain data."""
    from think.core.handoff.events import stamp

    lease = state.lease
    return {
        "title": state.title,
        "events": state.events,
        "head": state.head,
        "updated": None if state.updated is None else stamp(state.updated),
        "active": state.active,
        "next": None if (following := state.next_task()) is None else following.id,
        "lease": None
        if lease is None
        else {"task": lease.task, "owner": lease.owner, "until": stamp(lease.expires), "expired": lease.expired(now)},
        "tasks": [_task_data(task, changed) for task in state.tasks.values()],
        "claims": [
            {
                "id": claim.id,
                "text": claim.text,
                "evidence": [each.id for each in state.standing(claim)],
                "retracted": claim.retracted,
            }
            for claim in state.claims.values()
        ],
        "gates": [
            {"gate": each.subject, "run": each.run, "verdict": each.verdict, "text": each.text, "evidence": each.id}
            for each in state.gates()
        ],
        "evidence": {
            each.id: {"kind": each.kind, "subject": each.subject, "text": each.text, "retracted": each.retracted}
            for each in state.evidence.values()
        },
        "sessions": [
            {
                "id": each.id,
                "owner": each.owner,
                "started": stamp(each.started),
                "ended": None if each.ended is None else stamp(each.ended),
                "tasks": list(each.tasks),
                "status": each.status,
                "next": each.next,
                "gotchas": each.gotchas,
            }
            for each in state.sessions
        ],
        "problems": [
            {"kind": each.kind, "line": each.line, "text": each.text, "remedy": each.remedy} for each in state.problems
        ],
    }


def _task_data(task: "Task", changed: Changed) -> dict[str, Any]:
    blocker = task.blocker
    return {
        "id": task.id,
        "title": task.title,
        "status": str(task.status),
        "why": task.why,
        "checks": [check.as_json() for check in task.checks],
        "depends": list(task.depends),
        "files": list(task.files),
        "evidence": list(task.evidence),
        "changed": [*task.changed, *changed.get(task.id, ())],
        "blocker": None if blocker is None else {"reason": blocker.reason, "unblocks": blocker.unblocks},
        "parent": task.parent,
        "parts": list(task.parts),
        "dropped": task.dropped,
        "notes": [{"text": note.text, "wrong": note.wrong, "owner": note.owner} for note in task.notes],
    }


def show_status(state: "State", changed: Changed, now: float) -> None:
    from think.cli.progress import duration
    from think.core.handoff import brief
    from think.core.handoff.events import day_and_minute

    ago = "" if state.updated is None else f", the last {duration(max(0.0, now - state.updated))} ago"
    console.out(f"{state.title}: {state.events:,} events{ago}")
    task, lease = state.active_task(), state.lease
    if task is not None:
        if lease is None:
            held = "held by nobody"
        else:
            ended = "its lease ran out" if lease.expired(now) else "until"
            held = f"held by {lease.owner}, {ended} {day_and_minute(lease.expires)}"
        console.out(f"active: {task.id} {task.title} ({held})")
        for check in task.checks:
            console.out(f"    check: {shlex.join(check.arguments)}")
        for note in task.notes[-3:]:
            wrong = f"wrong: {note.wrong}; now known: " if note.wrong else ""
            console.out(f"    {note.owner}: {wrong}{note.text}")
    rows = [
        [each.id, each.title, "changed" if each.id in changed else str(each.status), _remark(state, each, changed)]
        for each in state.tasks.values()
    ]
    console.out("")
    console.table(["task", "title", "status", ""], rows, styles=STYLES)
    untested = [claim for claim in state.claims.values() if not claim.retracted and not state.standing(claim)]
    if untested:
        console.out(f"\n{len(untested)} of {len(state.claims)} claims NOT TESTED")
    last = state.last_ended()
    if last is not None:
        console.out(f"\nlast summary, by {last.owner}: {last.status}")
        console.out(f"    next: {last.next}\n    gotchas: {last.gotchas}")
    what, _, command = brief.action(state, now, None)
    console.out(f"\n{what}: {command}")


def _remark(state: "State", task: "Task", changed: Changed) -> str:
    if task.blocker is not None:
        return f"{task.blocker.reason}; unblocks: {task.blocker.unblocks}"
    if task.id in changed or task.changed:
        return f"changed since done: {', '.join([*task.changed, *changed.get(task.id, ())])}"
    if task.dropped:
        return task.dropped
    waits = state.waits_for(task)
    if waits and str(task.status) in ("backlog", "active"):
        return f"after {', '.join(each.id for each in waits)}"
    return ", ".join(task.evidence[-1:]) if str(task.status) == "done" else ""


def show_brief(data: Mapping[str, Any]) -> None:
    task = data["task"]
    console.out(f"{data['do']}: {task['id']} {task['title']}" if task else f"{data['do']}: the backlog is empty")
    if task:
        rows = [("why", [task["why"]] if task["why"] else []), ("check", task["checks"]), ("files", task["files"])]
        rows += [("changed", task["changed"]), ("waits for", task["waits_for"]), ("known", task["notes"])]
        for name, texts in rows:
            for text in texts:
                console.out(f"    {name}: {text}")
    if data["lease"]:
        ended = "ran out" if data["lease"]["expired"] else "ends"
        console.out(f"held by {data['lease']['owner']}; the lease {ended} {data['lease']['until']}")
    for name in ("blocked", "changed", "problems"):
        for text in data[name]:
            console.out(f"{name}: {text}")
    last = data["last_session"]
    if last:
        console.out(f"{last['owner']} left: {last['status']}; next: {last['next']}; gotchas: {last['gotchas']}")
    console.out(f"command: {data['command']}")


def event_line(event: "Event") -> str:
    from think.core.handoff.events import stamp
    from think.core.handoff.tell import tell

    return f"{event.seq:>5}  {stamp(event.time)}  {event.actor.owner:<12}  {tell(event)}"


def show_events(events: "Sequence[Event]", total: int) -> None:
    if len(events) < total:
        console.out(f"({total - len(events):,} earlier events: --last 0 shows all)")
    for event in events:
        console.out(event_line(event))


def follow(reader: "Reader", shown: "Iterable[Event]", task: str | None) -> None:
    """Show events as they are entered; ends when the reader of our output leaves, or with Ctrl-C."""
    said: tuple[str, ...] = ()
    while True:
        for event in shown:
            _stream(event)
        problems = tuple(problem.text for problem in reader.state.problems)
        if problems != said:
            for problem in reader.state.problems:
                console.warn(f"{problem.text}; {problem.remedy}")
            said = problems
        time.sleep(LOOK_SECONDS)
        shown = [event for event in reader.catch_up() if task in (None, event.task)]


def _stream(event: "Event") -> None:
    import json

    line = json.dumps(event.as_json(), ensure_ascii=True) if console.json else event_line(event)
    console.stream(line + "\n")


def show_findings(state: "State", found: "Sequence[Finding]") -> None:
    for each in found:
        console.out(f"{each.weight}: {each.where}: {each.text}\n    remedy: {each.remedy}")
    wrong = sum(each.weight == "wrong" for each in found)
    gone = sum(each.weight == "gone" for each in found)
    verdict = f"{wrong} wrong, {gone} gone" if wrong or gone else "all agrees"
    console.out(f"{state.events:,} events, chain intact to {state.head[:12]}; {verdict}")
