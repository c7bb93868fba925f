"""`think handoff`: hand tasks on between people and agents, with checks and evidence for what is done.

think handoff                          what is active, what comes next, what is blocked
think handoff init FILE.md             make a log from a backlog in Markdown
think handoff next                     what to do now, and the command for it
think handoff start / done / end       take a task up, run its checks, leave a summary
think handoff check                    for CI: log, rendered file, files of done tasks and claims agree

Loads no torch.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from think.cli import handoff_evidence, handoff_work
from think.cli.console import console
from think.cli.handoff_desk import FOLDER, Desk, Folder, Owner, Reason, answer, desk, enter_stale, project, published
from think.cli.options import Json
from think.core.errors import Exit

HELP = "Hand tasks on: one active task, checks and evidence for done, a summary"

app = typer.Typer(add_completion=False, invoke_without_command=True, help=HELP)


@app.callback()
def handoff(context: typer.Context, json: Json = False) -> None:
    """Hand tasks on: one active task, checks and evidence for done, a summary"""
    if context.invoked_subcommand is None:
        status()


@app.command()
def init(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.md", help="The backlog in Markdown; docs/handoff.md shows how.")
    ],
    add: Annotated[bool, typer.Option("--add", help="Enter its tasks at the end of a backlog that is there.")] = False,
    reason: Reason = None,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> None:
    """Make a handoff log from a backlog in Markdown."""
    from think.core.errors import UsageError
    from think.core.handoff import markdown
    from think.core.handoff.events import Draft

    at = desk(folder, owner)
    if add:
        if reason is None or not reason.strip():
            raise UsageError("tasks are added for a reason", expected="--add --reason TEXT")
        known = {task.id: task.depends for task in at.writer.refresh().tasks.values()}
        backlog = markdown.read(file, known)
        entered = {"tasks": backlog.tasks, "claims": backlog.claims, "deprecated": backlog.deprecated, "reason": reason}
        events = at.writer.append(lambda state: [Draft("add", entered)])
    else:
        if reason is not None:
            raise UsageError("--reason goes with --add")
        at.writer.must_be_free()
        backlog = markdown.read(file)
        events = at.writer.begin(
            Draft(
                "init",
                {
                    "title": backlog.title or at.root.name,
                    "root": at.root.name,
                    "rules": backlog.rules,
                    "tasks": backlog.tasks,
                    "claims": backlog.claims,
                    "deprecated": backlog.deprecated,
                },
            )
        )
    published(at)
    answer(
        at,
        events,
        f"{len(backlog.tasks)} tasks in {folder}, shown in HANDOFF.md; take up the first: think handoff start",
    )


@app.command()
def status(
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Also enter done tasks whose files changed as stale.")
    ] = False,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> None:
    """Show what is active, what comes next, what is blocked; `think handoff` alone does the same."""
    from think.cli import handoff_show
    from think.core.handoff import log, workspace
    from think.core.handoff.writer import refuse_unsound

    if refresh:
        at = desk(folder, owner)
        if enter_stale(at):
            published(at)
    state = log.read(folder)
    if state.events == 0:
        refuse_unsound(state, folder)
    for problem in state.problems:
        console.warn(f"{problem.text}; {problem.remedy}")
    changed = workspace.overtaken(project(folder), state)
    console.result(
        "think.handoff-status/1",
        handoff_show.status_data(state, changed, time.time()),
        lambda: handoff_show.show_status(state, changed, time.time()),
        ok=not any(problem.fatal for problem in state.problems),
    )


@app.command()
def next(owner: Owner = None, folder: Folder = FOLDER, json: Json = False) -> None:
    """Say what to do now and what to know for it, in at most 2 kB."""
    from think.cli import environment, handoff_show
    from think.core.handoff import brief, log, workspace
    from think.core.handoff.writer import refuse_unsound

    schema = "think.handoff-next/1"
    state = log.read(folder)
    refuse_unsound(state, folder)
    changed = workspace.overtaken(project(folder), state)
    data = brief.brief(state, time.time(), changed, owner or environment.owner(), brief.ascii_size(schema))
    console.result(schema, data, lambda: handoff_show.show_brief(data))


@app.command("log")
def show_log(
    last: Annotated[int, typer.Option("--last", min=0, help="Newest events to show; 0 shows all.")] = 20,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", help="Events of this task only.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on showing what is entered, until Ctrl-C.")] = False,
    folder: Folder = FOLDER,
    json: Json = False,
) -> None:
    """Show the events; with --json and --follow, one JSON object a line."""
    from think.cli import handoff_show
    from think.core.handoff.log import Reader
    from think.core.handoff.writer import refuse_unsound

    reader = Reader(folder)
    events = [event for event in reader.catch_up() if task in (None, event.task)]
    shown = events[-last:] if last else events
    if follow:
        handoff_show.follow(reader, shown, task)
        return
    for problem in reader.state.problems:
        console.warn(f"{problem.text}; {problem.remedy}")
    if reader.state.events == 0:
        refuse_unsound(reader.state, folder)
    data = {"events": [event.as_json() for event in shown], "left_out": len(events) - len(shown)}
    console.result("think.handoff-log/1", data, lambda: handoff_show.show_events(shown, len(events)))


@app.command()
def render(folder: Folder = FOLDER, json: Json = False) -> None:
    """Write HANDOFF.md anew; a file that was edited by hand is set aside first."""
    from think.core.handoff.publish import publish

    done = publish(folder, project(folder))
    if done.aside is not None:
        console.warn(f"{done.path.name} was edited by hand or is not ours; that text is in {done.aside} now")
    data = {"path": str(done.path), "changed": done.changed, "aside": None if done.aside is None else str(done.aside)}
    console.result(
        "think.handoff-render/1", data, f"{done.path.name} {'is written' if done.changed else 'is up to date'}"
    )


@app.command()
def check(
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Also read the runs and verdicts that evidence came from; 3 if gone.")
    ] = False,
    mend: Annotated[
        bool, typer.Option("--mend", help="Set aside what follows the last sound event, and go on; with --reason.")
    ] = False,
    reason: Reason = None,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> Exit:
    """Check log, rendered file, files of done tasks, claims: exit code 1 when one is wrong, 65 for a broken log."""
    from think.cli import handoff_show
    from think.core.errors import UsageError
    from think.core.handoff import audit, log
    from think.core.handoff.writer import refuse_unsound

    if mend:
        if reason is None or not reason.strip():
            raise UsageError("mending a log needs a reason", expected="--mend --reason TEXT")
        _mend(desk(folder, owner), reason.strip())
    elif reason is not None:
        raise UsageError("--reason goes with --mend")
    state = log.read(folder)
    refuse_unsound(state, folder)
    found = audit.audit(folder, project(folder), state, time.time(), look_at_evidence=evidence)
    code = audit.exit_code(found)
    data: dict[str, Any] = {
        "exit": int(code),
        "events": state.events,
        "head": state.head,
        "findings": [each.as_json() for each in found],
    }
    console.result(
        "think.handoff-check/1", data, lambda: handoff_show.show_findings(state, found), ok=code is Exit.DONE
    )
    return code


def _mend(at: Desk, reason: str) -> None:
    for event in at.writer.mend(reason):
        console.note(str(event.data["text"]))
    published(at)


for command in (
    handoff_work.start,
    handoff_evidence.progress,
    handoff_work.block,
    handoff_work.unblock,
    handoff_work.split,
    handoff_work.drop,
    handoff_evidence.done,
    handoff_work.end,
):
    app.command()(command)
