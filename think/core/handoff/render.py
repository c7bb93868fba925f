"""HANDOFF.md: the log for people, made of the state and nothing else, so that equal events give equal bytes.

Every section stands between two marks; the first line names the events it was made of. It is never edited: what should
change is entered with a command, and `think handoff check` finds edits. Standard library only.
"""

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from think.core.handoff.events import day_and_minute
from think.core.handoff.markup import code, cut, line, table
from think.core.handoff.state import Check, Claim, Evidence, Note, Session, State, Status, Task

FILE = "HANDOFF.md"

RULES = (
    "One task is active at a time, held by one owner under a lease; nobody else works on it until the lease runs out.",
    "Tasks come in the order of the backlog. Another order needs a reason, and the reason is kept.",
    "Nobody splits a task silently: a split needs a reason, and the whole is done after its parts.",
    "Done means that the task's own checks passed just then; results, commit and file digests are kept.",
    "A file that changes after done makes the task stale until its checks pass again.",
    "A blocked task says why, and what would unblock it.",
    "A claim names its evidence, or reads NOT TESTED.",
    "A session ends with a summary: worked on, status, checks, next, gotchas.",
    "This file is rendered. Enter what should change with `think handoff`; edits here are found and set aside.",
)

SESSION_NOTES = 20
"Newest notes of the active task that are shown; the log has them all."

NOTE_CHARACTERS = 600
LAST_LINE = 160
"Characters of what a check said last that stand beside a claim."

_HEADER = re.compile(r"<!-- think handoff: (\d+) events, head ([0-9a-f]{64}), text ([0-9a-f]{64}) -->\n")


@dataclass(frozen=True)
class Made:
    """What the first line of a rendered file says: the events behind it, and whether its text is as it was made."""

    events: int
    head: str
    untouched: bool


def made_of(text: str) -> Made | None:
    """The first line of a rendered file; None when this is no rendered file."""
    match = _HEADER.match(text)
    return Made(int(match[1]), match[2], _digest(text[match.end() :]) == match[3]) if match else None


def section_at(text: str, number: int) -> str:
    """The section that holds line `number` (from 1) of a rendered file; "" outside all of them."""
    found = ""
    for each in text.split("\n")[:number]:
        if match := re.fullmatch(r"<!-- think:([a-z-]+) -->", each):
            found = match[1]
    return found


def render(state: State) -> str:
    """The whole file."""
    parts = [
        f"# {line(state.title) or 'Handoff'}",
        "",
        f"{state.events:,} events, the last on {day_and_minute(state.updated or 0.0)}. "
        "Rendered by `think handoff render`; do not edit.",
    ]
    for name, title, lines in (
        ("rules", "Rules", _rules(state)),
        ("active", "Active task", _active(state)),
        ("evidence", "Evidence", _evidence(state)),
        ("gates", "Gates", _gates(state)),
        ("backlog", "Backlog", _backlog(state)),
        ("sessions", "Session log", _sessions(state)),
        ("deprecated", "Deprecated references", _deprecated(state)),
    ):
        parts += ["", f"<!-- think:{name} -->", f"## {title}", "", *lines, f"<!-- /think:{name} -->"]
    text = "\n".join(parts) + "\n"
    return f"<!-- think handoff: {state.events} events, head {state.head}, text {_digest(text)} -->\n{text}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _rules(state: State) -> list[str]:
    return [*(f"{number}. {rule}" for number, rule in enumerate((*RULES, *map(line, state.rules)), start=1))]


def _active(state: State) -> list[str]:
    task = state.active_task()
    if task is None:
        following = state.next_task()
        if following is None:
            left = state.with_status(Status.BACKLOG, Status.BLOCKED, Status.STALE)
            if not left:
                return ["None: the backlog is empty."]
            return [f"None, and nothing can be started: see {', '.join(task.id for task in left)} in the backlog."]
        return [f"None. Next: **{following.id} {line(following.title)}** (`think handoff start`)."]
    lease = state.lease
    lines = [f"**{task.id} {line(task.title)}**", ""]
    lines += [f"{line(task.why)}", ""] if task.why else []
    if lease is None:
        lines.append(f"- Held by nobody: `think handoff start {task.id}` takes it up.")
    else:
        lines.append(
            f"- Held by **{line(lease.owner)}** since {day_and_minute(lease.since)}; "
            f"the lease ends {day_and_minute(lease.expires)} unless renewed."
        )
    lines += [f"- Check: {check_text(check)}" for check in task.checks]
    lines += [f"- Depends on: {', '.join(task.depends)}"] if task.depends else []
    lines += [f"- Files: {', '.join(map(code, task.files))}"] if task.files else []
    lines += [f"- Checks did not pass {task.attempts} time{'s' * (task.attempts != 1)}."] if task.attempts else []
    older = len(task.notes) - SESSION_NOTES
    lines += [f"- {older} older notes: `think handoff log --task {task.id}`"] if older > 0 else []
    return lines + [_note(note) for note in task.notes[-SESSION_NOTES:]]


def _note(note: Note) -> str:
    wrong = f"WRONG ASSUMPTION: {line(cut(note.wrong, NOTE_CHARACTERS))}. Now known: " if note.wrong else ""
    return f"- {day_and_minute(note.time)} {line(note.owner)}: {wrong}{line(cut(note.text, NOTE_CHARACTERS))}"


def check_text(check: Check) -> str:
    """A check in one line."""
    wanted = [] if check.exit == 0 else [f"exit {check.exit}"]
    return code(shlex.join(check.arguments)) + (f" ({', '.join([*wanted, f'within {check.seconds:g} s'])})")


def _evidence(state: State) -> list[str]:
    rows = [row for claim in state.claims.values() for row in _claim_rows(state, claim)]
    lines = table(["claim", "stands on", "run", "seed", "figure"], rows) if rows else ["Nothing is claimed."]
    done = [task for task in state.tasks.values() if task.evidence]
    if done:
        lines += ["", *table(["task", "done on", "checks", "commit"], [_done_row(state, task) for task in done])]
    taken_back = [each for each in state.evidence.values() if each.retracted]
    lines += [""] if taken_back else []
    return lines + [f"- {each.id} was taken back: {line(each.retracted)}" for each in taken_back]


def _claim_rows(state: State, claim: Claim) -> list[list[str]]:
    name = f"{claim.id} {line(claim.text)}"
    if claim.retracted:
        return [[f"~~{name}~~", f"RETRACTED: {line(claim.retracted)}", "", "", ""]]
    standing = state.standing(claim)
    if not standing:
        return [[name, "**NOT TESTED**", "", "", ""]]
    return [
        [
            name if place == 0 else "",
            each.id + (" (against)" if each.passed is False else ""),
            line(each.run or "-"),
            "-" if each.seed is None else str(each.seed),
            figure(each),
        ]
        for place, each in enumerate(standing)
    ]


def figure(evidence: Evidence) -> str:
    """What a piece of evidence says, with its count and interval."""
    facts = []
    if evidence.count is not None and evidence.kind != "checks":
        facts.append(f"n = {evidence.count:,}")
    if evidence.interval is not None:
        facts.append(f"95 % {_number(evidence.interval[0])} to {_number(evidence.interval[1])}")
    text = f"{evidence.verdict}: {evidence.text}" if evidence.verdict else evidence.text
    text += "".join(f"; {said}" for said in map(_last_line, evidence.results) if said)
    missing = [fact for fact in facts if fact.replace(",", "") not in text.replace(",", "")]
    return line(text) + (f" ({', '.join(missing)})" if missing else "")


def _last_line(result: Mapping[str, Any]) -> str:
    """What a check said last."""
    return cut(str(result.get("tail", "")).strip().rpartition("\n")[2], LAST_LINE)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _done_row(state: State, task: Task) -> list[str]:
    evidence = state.evidence[task.evidence[-1]]
    commit = "-" if evidence.commit is None else evidence.commit[:12] + (" with changes" if evidence.dirty else "")
    when = day_and_minute(evidence.time) + ("" if task.status is Status.DONE else f", now {task.status}")
    return [f"{task.id} {line(task.title)}", when, f"{line(evidence.text)} ({evidence.id})", commit]


def _gates(state: State) -> list[str]:
    rows = [
        [each.subject, each.verdict or "-", line(each.run or "fresh model"), line(each.text), each.id]
        for each in state.gates()
        if not each.retracted
    ]
    return table(["gate", "verdict", "run", "evidence", "id"], rows) if rows else ["No verdict was entered."]


def _backlog(state: State) -> list[str]:
    if not state.tasks:
        return ["Empty."]
    return table(
        ["task", "title", "status", "depends on", "why or blocker"],
        [
            [task.id, line(task.title), str(task.status), ", ".join(task.depends) or "-", _remark(task)]
            for task in state.tasks.values()
        ],
    )


def _remark(task: Task) -> str:
    if task.blocker is not None:
        return f"blocked: {line(task.blocker.reason)}; unblocks: {line(task.blocker.unblocks)}"
    if task.dropped:
        return f"dropped: {line(task.dropped)}"
    if task.changed:
        return f"changed since done: {', '.join(map(code, task.changed[:8]))}"
    parts = f"whole of {', '.join(task.parts)}. " if task.parts else f"part of {task.parent}. " if task.parent else ""
    return parts + line(cut(task.why, NOTE_CHARACTERS)) or "-"


def _sessions(state: State) -> list[str]:
    lines = [
        f"- {day_and_minute(each.time)}: **{line(each.now)}** took {each.task} over from **{line(each.was)}**, "
        + ("whose lease had run out" if each.how == "expired" else "by force")
        + (f": {line(each.reason)}" if each.reason else "")
        for each in state.takeovers
    ]
    lines += [f"- The log was repaired: {line(text)}" for text in state.repairs]
    lines += [""] if lines else []
    for session in reversed(state.sessions):
        lines += [*_session(session), ""]
    return lines[:-1] if lines and not lines[-1] else lines


def _session(session: Session) -> list[str]:
    head = f"### {session.id} {line(session.owner)}, {day_and_minute(session.started)}"
    if session.ended is None:
        tasks = f", on {', '.join(session.tasks)}" if session.tasks else ""
        return [head, "", f"Not ended; {session.events:,} events{tasks}, the last on {day_and_minute(session.last)}."]
    tree = "" if session.dirty is None else ", tree clean" if not session.dirty else ", tree with changes"
    commit = "" if session.commit is None else f" (commit {session.commit[:12]}{tree})"
    return [
        head,
        "",
        f"- Worked on: {line(session.worked_on)}",
        f"- Status: {line(session.status)}",
        f"- Checks: {line(session.checks)}",
        f"- Next: {line(session.next)}",
        f"- Gotchas: {line(session.gotchas)}",
        f"- Ended {day_and_minute(session.ended)}{commit}",
    ]


def _deprecated(state: State) -> list[str]:
    rows = [[code(each.reference), line(each.why)] for each in state.deprecated]
    return table(["do not use", "why"], rows) if rows else ["None."]
