"""The commands of `think handoff` that enter what is known and what was shown: progress, done."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.handoff_desk import (
    FOLDER,
    Desk,
    Folder,
    OneTask,
    Owner,
    Token,
    answer,
    desk,
    enter_stale,
    published,
)
from think.cli.options import Json
from think.core.errors import Exit

if TYPE_CHECKING:
    from think.core.handoff.state import Check, Task

JUDGED = (Exit.DONE, Exit.GATE_FAILED, Exit.NO_VERDICT)
"Exit codes after which `think gate` has stored a verdict."


def progress(
    note: Annotated[str, typer.Argument(metavar="[NOTE]", help="What was learnt or done.")] = "",
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="A task that is not the active one.")
    ] = None,
    wrong: Annotated[
        str | None,
        typer.Option("--wrong", metavar="TEXT", help="An assumption that turned out wrong; NOTE says what is so."),
    ] = None,
    claim: Annotated[
        str | None, typer.Option("--claim", metavar="TEXT|ID", help="A claim; NOT TESTED without --run or --gate.")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Enter the figures of a run as evidence; repeatable."),
    ] = None,
    gate: Annotated[
        str | None, typer.Option("--gate", metavar="GATE", help="Enter a stored verdict, of --run or of fresh models.")
    ] = None,
    evidence: Annotated[
        list[str] | None,
        typer.Option(
            "--evidence", metavar="ID", help="Evidence that is in the log, such as E3, for --claim; repeatable."
        ),
    ] = None,
    deprecated: Annotated[
        str | None, typer.Option("--deprecated", metavar="NAME", help="What must not be used any more; with --why.")
    ] = None,
    retract: Annotated[
        str | None, typer.Option("--retract", metavar="ID", help="Take back a claim, evidence or event; with --why.")
    ] = None,
    why: Annotated[
        str | None, typer.Option("--why", metavar="TEXT", help="Goes with --deprecated and --retract.")
    ] = None,
    token: Token = None,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> None:
    """Note what was learnt on a task; enter claims, runs, verdicts, and what does not hold any more."""
    from think.core.errors import UsageError
    from think.core.handoff import claims, rules, tell

    if (deprecated or retract) and (why is None or not why.strip()):
        raise UsageError("--deprecated and --retract need a reason", expected="--why TEXT beside it")
    if why is not None and not (deprecated or retract):
        raise UsageError("--why goes with --deprecated or --retract")
    if wrong is not None and not note.strip():
        raise UsageError("--wrong without what is so instead", expected="think handoff progress NOTE --wrong TEXT")
    if evidence and claim is None:
        raise UsageError("--evidence stands behind a claim", expected="--claim TEXT --evidence ID")
    if not (note.strip() or claim or run or gate or deprecated or retract):
        raise UsageError(
            "there is nothing to enter", expected="a note, --claim, --run, --gate, --deprecated or --retract"
        )
    at = desk(folder, owner)
    at.writer.refresh()
    found = _measured(run or [], gate, at.root)
    events = at.writer.append(
        lambda state: rules.progress(
            state,
            owner=at.writer.owner,
            token=token,
            note=note.strip(),
            id=task,
            wrong=wrong,
            claim=claim.strip() if claim else None,
            evidence=found,
            cites=evidence or (),
            deprecated=(deprecated, why or "") if deprecated else None,
            retract=(retract, why or "") if retract else None,
        )
    )
    published(at)
    for said, sentence in claims.all_uncited(at.writer.state):
        if said.event == events[-1].seq:
            console.warn(
                f"{sentence!r} cites no evidence, so `think handoff check` will fail; enter it with --claim and --run"
            )
    ids = [each["id"] for each in events[-1].data["evidence"]]
    answer(at, events, f"event {events[-1].seq}: {tell.tell(events[-1])}", {"evidence": ids})


def _measured(run_names: list[str], gate: str | None, root: Path) -> list[dict[str, Any]]:
    """Evidence of the runs named, or of a gate's verdict on each of them."""
    if not run_names and gate is None:
        return []
    from think.cli import environment
    from think.core.handoff import evidence
    from think.core.runs import RunFolder

    runs_folder = environment.runs_folder()
    runs = [RunFolder.open(runs_folder, name) for name in run_names]
    if gate is None:
        return [evidence.of_run(run, root) for run in runs]
    if not runs:
        return [evidence.of_gate(gate, None, runs_folder, root)]
    return [evidence.of_gate(gate, run, runs_folder, root) for run in runs]


def done(
    task: OneTask = None,
    approve: Annotated[
        bool, typer.Option("--approve", help="Let these checks run on this machine, now and later.")
    ] = False,
    token: Token = None,
    owner: Owner = None,
    folder: Folder = FOLDER,
    json: Json = False,
) -> Exit:
    """Run a task's checks now; when all pass, it is done, with their evidence. A stale task is looked at again."""
    from think.core.errors import Locked
    from think.core.handoff import evidence, rules, workspace

    at = desk(folder, owner)
    enter_stale(at)
    state = at.writer.state
    before = rules.may_finish(state, owner=at.writer.owner, id=task, token=token)
    lease = state.lease.token if before.id == state.active and state.lease is not None else None
    _need_approval(at, before, approve)
    files = workspace.digests(at.root, before.files)
    results = [_checked(check, at.root) for check in before.checks]
    differing = workspace.changes(files, workspace.digests(at.root, before.files))
    if differing:
        raise Locked(
            f"{', '.join(differing)} changed while the checks ran",
            expected="files that stand still",
            remedy=f"think handoff done {before.id}",
        )
    commit, dirty = workspace.commit(at.root, at.own)
    found = [evidence.of_checks(before.id, results, commit, dirty), *_verdicts(before, results, at.root)]
    events = at.writer.append(
        lambda now: rules.finish(now, before, lease, owner=at.writer.owner, evidence=found, files=files)
    )
    published(at)
    entered = events[-1].data["evidence"][0]
    passed = events[-1].kind == "done"
    data = {"task": before.id, "done": passed, "evidence": entered["id"], "results": results}
    lines = [f"{'passed' if result['passed'] else 'FAILED'}  {_said(result)}" for result in results]
    lines.append(
        f"{before.id} is done ({entered['id']}); what comes next: think handoff next"
        if passed
        else f"{before.id} is not done: {entered['text']} ({entered['id']})"
    )
    code = Exit.DONE if passed else Exit.GATE_FAILED
    console.result("think.handoff-done/1", data, "\n".join(lines), ok=passed)
    return code


def _need_approval(at: Desk, task: "Task", approve: bool) -> None:
    """Show what would run, and remember or ask for the user's word. Raises NoVerdict."""
    from think.cli import environment
    from think.core.errors import NoVerdict
    from think.core.handoff import approvals

    state_folder = environment.state_folder()
    unapproved = approvals.missing(state_folder, at.root, task.checks)
    if not unapproved:
        return
    console.note(f"checks of {task.id} that were not approved on this machine, run in {at.root}:")
    for check in unapproved:
        console.note(f"    {_check_line(check)}")
    if not approve:
        raise NoVerdict(
            f"{len(unapproved)} check{'s' * (len(unapproved) != 1)} of {task.id} may not run here yet",
            expected="somebody's word that these programs may run on this machine",
            remedy=f"read them, then: think handoff done {task.id} --approve",
        )
    approvals.approve(state_folder, at.root, unapproved, time.time())


def _check_line(check: "Check") -> str:
    import shlex

    return f"{shlex.join(check.arguments)}    (exit code {check.exit}, at most {check.seconds:g} s)"


def _checked(check: "Check", root: Path) -> dict[str, Any]:
    import sys

    from think.core.handoff import checks

    console.note(f"running {_check_line(check)}")
    return checks.run(check, root, [sys.executable, "-m", "think"])


def _verdicts(task: "Task", results: list[dict[str, Any]], root: Path) -> list[dict[str, Any]]:
    """The verdicts that gate checks just stored, the bad ones too."""
    from think.cli import environment
    from think.core.handoff import evidence
    from think.core.runs import RunFolder

    found = []
    for check, result in zip(task.checks, results, strict=True):
        if check.gate is None or result["exit"] not in JUDGED:
            continue
        runs_folder = root / environment.runs_folder()  # as the check saw it
        if check.run is not None:
            run: RunFolder | None = RunFolder.open(runs_folder, check.run)
        else:
            run = evidence.judged_last(check.gate, runs_folder)
        found.append(evidence.of_gate(check.gate, run, runs_folder, root))
    return found


def _said(result: dict[str, Any]) -> str:
    import shlex

    line = f"{shlex.join(result['arguments'])} ({result['seconds']:.1f} s)"
    if result["passed"]:
        return line
    return f"{line}: {result['why']}" + (f"\n{result['tail'].rstrip()}" if result["tail"].strip() else "")
