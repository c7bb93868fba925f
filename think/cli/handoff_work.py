"""The commands of `think handoff` that move tasks: start, block, unblock, split, drop, end."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.handoff_desk import (
    FOLDER,
    Folder,
    NamedTask,
    OneTask,
    Owner,
    Reason,
    Token,
    answer,
    check_lines,
    desk,
    enter_stale,
    published,
    task_ids,
)
from think.cli.options import Json

if TYPE_CHECKING:
    from think.core.handoff.state import State


def start(
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", autocompletion=task_ids, help="Task; the next in order when absent."),
    ] = None,
    lease: Annotated[
        str,
        typer.Option("--lease", metavar="TIME", help="How long it stays yours without a sign of you: 90s, 30min, 2h."),
    ] = "1h",
    reason: Reason = None,
    force: Annotated[bool, typer.Option("--force", help="Take it from a holder whose lease still runs.")] = False,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> None:
    """Take up the next task, or the active one when nobody holds it or its lease ran out."""
    import secrets

    from think.core.handoff import turns
    from think.core.handoff.events import day_and_minute

    seconds = _seconds(lease)
    at = desk(folder, owner)
    enter_stale(at)
    token = secrets.token_hex(8)
    events = at.writer.append(
        lambda state: turns.start(
            state,
            owner=at.writer.owner,
            now=time.time(),
            token=token,
            id=task,
            seconds=seconds,
            reason=reason,
            force=force,
        )
    )
    published(at)
    state = at.writer.state
    held = state.active_task()
    assert held is not None
    taken = events[-1].data["takeover"]
    lines = [f"{held.id} {held.title}: yours ({at.writer.owner})" + _until(state, day_and_minute)]
    lines += [f"taken over from {taken['from']} ({taken['how']})"] if taken else []
    lines += [f"why: {held.why}"] if held.why else []
    lines += [f"check: {line}" for line in check_lines(held)]
    lines.append(f"when it is done: think handoff done {held.id}; what else to know: think handoff next")
    answer(at, events, "\n".join(lines), {"token": token})


def _until(state: "State", say: Any) -> str:
    return "" if state.lease is None else f", until {say(state.lease.expires)}"


def block(
    task: OneTask = None,
    reason: Reason = None,
    unblocks: Annotated[
        str | None, typer.Option("--unblocks", metavar="TEXT", help="What would let it go on; needed.")
    ] = None,
    token: Token = None,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> None:
    """Put a task aside that cannot go on: say why, and what would unblock it."""
    from think.core.errors import UsageError
    from think.core.handoff import rules

    if reason is None or unblocks is None:
        raise UsageError("a blocker says why, and what would unblock it", expected="--reason TEXT --unblocks TEXT")
    at = desk(folder, owner)
    events = at.writer.append(
        lambda state: rules.block(state, owner=at.writer.owner, id=task, reason=reason, unblocks=unblocks, token=token)
    )
    published(at)
    answer(at, events, f"{events[-1].task} is blocked until: {unblocks}\nwhat comes next: think handoff next")


def unblock(
    task: NamedTask,
    how: Annotated[str | None, typer.Option("--how", metavar="TEXT", help="What changed; needed.")] = None,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> None:
    """Put a blocked task back into the backlog."""
    from think.core.errors import UsageError
    from think.core.handoff import rules

    if how is None:
        raise UsageError("unblocking says what changed", expected="--how TEXT")
    at = desk(folder, owner)
    events = at.writer.append(lambda state: rules.unblock(state, id=task, how=how))
    published(at)
    answer(at, events, f"{task} is in the backlog again: think handoff next")


def split(
    file: Annotated[Path, typer.Argument(metavar="FILE.md", help="The parts, written like a backlog.")],
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="Task to split; the active one when absent.")
    ] = None,
    reason: Reason = None,
    token: Token = None,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> None:
    """Split a task into parts that come before it; its own checks still have to pass after them."""
    from think.core.errors import UsageError
    from think.core.handoff import markdown, rules

    if reason is None:
        raise UsageError("nobody splits a task silently", expected="--reason TEXT")
    at = desk(folder, owner)
    before = at.writer.refresh()
    parts = markdown.read(file, {each.id: each.depends for each in before.tasks.values()}).tasks
    events = at.writer.append(
        lambda state: rules.split(state, owner=at.writer.owner, parts=parts, reason=reason, id=task, token=token)
    )
    published(at)
    names = ", ".join(part["id"] for part in parts)
    answer(at, events, f"{events[-1].task} is split into {names}, which come before it: think handoff start")


def drop(
    task: NamedTask,
    reason: Reason = None,
    token: Token = None,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> None:
    """Give a task up; it stays in the log with the reason."""
    from think.core.errors import UsageError
    from think.core.handoff import rules

    if reason is None:
        raise UsageError("dropping a task needs a reason", expected="--reason TEXT")
    at = desk(folder, owner)
    events = at.writer.append(
        lambda state: rules.drop(state, owner=at.writer.owner, id=task, reason=reason, token=token)
    )
    published(at)
    waiting = [each.id for each in at.writer.state.backlog() if task in each.depends]
    more = f"; {', '.join(waiting)} waited for it and can be started with --reason" if waiting else ""
    answer(at, events, f"{task} is dropped{more}")


def end(
    status: Annotated[str | None, typer.Option("--status", metavar="TEXT", help="Where things stand; needed.")] = None,
    next: Annotated[str | None, typer.Option("--next", metavar="TEXT", help="What to do next; needed.")] = None,
    gotchas: Annotated[
        str | None, typer.Option("--gotchas", metavar="TEXT", help='What surprised you; needed, "none" will do.')
    ] = None,
    worked_on: Annotated[
        str | None, typer.Option("--worked-on", metavar="TEXT", help="What you worked on; from the log when absent.")
    ] = None,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> None:
    """End your session: the lease ends, and the summary for whoever comes next is shown."""
    from think.core.errors import UsageError
    from think.core.handoff import turns, workspace

    if status is None or next is None or gotchas is None:
        raise UsageError("a session ends with a summary", expected="--status TEXT --next TEXT --gotchas TEXT")
    at = desk(folder, owner)
    enter_stale(at)
    commit, dirty = workspace.commit(at.root, at.own)
    events = at.writer.append(
        lambda state: turns.end(
            state,
            owner=at.writer.owner,
            status=status,
            next=next,
            gotchas=gotchas,
            worked_on=worked_on,
            commit=commit,
            dirty=dirty,
        )
    )
    published(at)
    data = events[-1].data
    lines = [f"session {events[-1].actor.session} of {at.writer.owner} ended"]
    lines += [
        f"{name.replace('_', ' ')}: {data[name]}" for name in ("worked_on", "status", "checks", "next", "gotchas")
    ]
    lines += ["the tree has changes that no commit holds"] if dirty else []
    answer(at, events, "\n".join(lines))


def _seconds(lease: str) -> float:
    import re

    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h)", lease)
    seconds = float(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2]] if match else 0.0
    if not 1 <= seconds <= 7 * 24 * 3600:
        raise typer.BadParameter(f"{lease!r} is no lease; expected 1s to 168h, such as 90s, 30min or 2h")
    return seconds
