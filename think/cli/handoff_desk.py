"""What the commands of `think handoff` share: their options, the log they work on, and how they answer."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.core.errors import ThinkError

if TYPE_CHECKING:
    from think.core.handoff.events import Event
    from think.core.handoff.state import State, Task
    from think.core.handoff.writer import Writer

FOLDER = Path("handoff")

Folder = Annotated[Path, typer.Option("--folder", metavar="FOLDER", help="Folder of the log, in the project's folder.")]
Owner = Annotated[str | None, typer.Option("--owner", metavar="NAME", help="Who does this; THINK_OWNER when absent.")]
Token = Annotated[
    str | None, typer.Option("--token", metavar="TOKEN", help="What `start` gave: refuse if the task changed hands.")
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why.")]


def task_ids(incomplete: str) -> list[str]:
    from think.core.handoff import log

    try:
        return [id for id in log.read(FOLDER).tasks if id.startswith(incomplete)]
    except ThinkError:
        return []


OneTask = Annotated[
    str | None, typer.Argument(metavar="[TASK]", autocompletion=task_ids, help="Task; the active one when absent.")
]
NamedTask = Annotated[str, typer.Argument(metavar="TASK", autocompletion=task_ids, help="Task.")]


@dataclass(frozen=True)
class Desk:
    """The log that a command works on, the project around it, and who works."""

    folder: Path
    root: Path
    writer: "Writer"

    @property
    def own(self) -> tuple[Path, ...]:
        """What the log itself keeps changing."""
        from think.core.handoff.render import FILE

        return (self.folder.resolve(), self.root / FILE)


def desk(folder: Path, owner: str | None) -> Desk:
    """Raises UsageError when nobody said who works."""
    from think.cli import environment
    from think.core.errors import UsageError
    from think.core.handoff.rules import owner_name
    from think.core.handoff.writer import Writer

    name = owner or environment.owner()
    if name is None:
        raise UsageError(
            "nobody said who does this",
            expected="one name for each person and each agent",
            remedy="--owner NAME, or export THINK_OWNER=NAME",
        )
    return Desk(folder, project(folder), Writer(folder, owner_name(name), now=time.time))


def project(folder: Path) -> Path:
    """The project's folder: checks run there, and files are named from there."""
    return folder.resolve().parent


def enter_stale(at: Desk) -> list[str]:
    """Enter done tasks whose files changed as stale; their names."""
    from think.core.handoff import rules, workspace

    seen = at.writer.refresh().copy()
    changed = workspace.overtaken(at.root, seen)
    if changed:
        events = at.writer.append(lambda state: rules.overtaken(state, seen, changed))
        for event in events:
            console.warn(f"{event.task} is stale: {', '.join(event.data.get('changed', ()))} changed since it was done")
    return list(changed)


def published(at: Desk) -> None:
    """Render the log anew after a change; what is entered stays entered when that fails."""
    from think.core.handoff.publish import publish

    try:
        done = publish(at.folder, at.root)
    except ThinkError as error:
        console.warn(f"HANDOFF.md is out of date: {error.what}")
        return
    if done.aside is not None:
        console.warn(f"{done.path.name} was edited by hand; that text is in {done.aside} now")


def answer(at: Desk, events: "list[Event]", text: str, extra: dict[str, Any] | None = None) -> None:
    """Say what was entered, and where things stand."""
    state = at.writer.state
    data = {
        "events": [event.as_json() for event in events],
        "active": state.active,
        "lease": None if state.lease is None else _lease(state),
        **(extra or {}),
    }
    console.result(f"think.handoff-{events[-1].kind}/1", data, text)


def _lease(state: "State") -> dict[str, Any]:
    from think.core.handoff.events import stamp

    assert state.lease is not None
    lease = state.lease
    return {"task": lease.task, "owner": lease.owner, "token": lease.token, "until": stamp(lease.expires)}


def check_lines(task: "Task") -> list[str]:
    import shlex

    return [shlex.join(check.arguments) for check in task.checks]
