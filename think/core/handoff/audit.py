"""`think handoff check`: whether the log, the rendered file, the files of done tasks and the claims still agree.

It writes nothing. What it finds is wrong (exit code 1), gone (3: no verdict), or only worth saying.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from think.core.errors import Exit
from think.core.handoff import claims, evidence, workspace
from think.core.handoff.events import day_and_minute
from think.core.handoff.log import HEAD, read_head, state_after
from think.core.handoff.render import FILE, made_of, render, section_at
from think.core.handoff.state import State


@dataclass(frozen=True)
class Finding:
    """One thing found. weight: "wrong", "gone" or "note"."""

    weight: str
    where: str
    text: str
    remedy: str

    def as_json(self) -> dict[str, str]:
        return {"weight": self.weight, "where": self.where, "text": self.text, "remedy": self.remedy}


def audit(folder: Path, root: Path, state: State, now: float, *, look_at_evidence: bool) -> list[Finding]:
    """Everything that does not agree; the log itself must be sound. look_at_evidence: read runs and verdicts again."""
    found = [Finding("note", f"{problem.line}", problem.text, problem.remedy) for problem in state.problems]
    if read_head(folder) is None:
        text = f"{HEAD} is not there or not readable: events cut off at the end would go unnoticed"
        found.append(Finding("note", HEAD, text, "restore it, or let the next event write it"))
    found += _rendered(folder, root / FILE, state)
    for id, files in workspace.overtaken(root, state).items():
        text = f"{id} is entered as done, and {', '.join(files)} changed since"
        found.append(Finding("wrong", id, text, f"think handoff status --refresh, then think handoff done {id}"))
    for task in state.tasks.values():
        if task.changed:
            text = f"{task.id} is stale: {', '.join(task.changed)} changed since it was done"
            found.append(Finding("wrong", task.id, text, f"think handoff done {task.id}"))
    for said, sentence in claims.all_uncited(state):
        remedy = (
            f"take it back (think handoff progress --retract {said.event} --why TEXT) and say it with its evidence: "
            "think handoff progress --claim TEXT --run RUN"
        )
        found.append(
            Finding("wrong", f"event {said.event}", f"{said.where} claims without evidence: {sentence!r}", remedy)
        )
    if look_at_evidence:
        found += _evidence(root, state)
    lease = state.lease
    if lease is not None and lease.expired(now):
        text = f"the lease of {lease.owner} on {lease.task} ran out on {day_and_minute(lease.expires)}"
        found.append(Finding("note", lease.task, text, "anybody may take it over: think handoff start"))
    return found


def exit_code(found: Sequence[Finding]) -> Exit:
    """1 when anything is wrong, else 3 when evidence is gone, else 0."""
    weights = {each.weight for each in found}
    if "wrong" in weights:
        return Exit.GATE_FAILED
    return Exit.NO_VERDICT if "gone" in weights else Exit.DONE


def _rendered(folder: Path, path: Path, state: State) -> list[Finding]:
    name, remedy = path.name, "think handoff render"
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        return [Finding("wrong", name, f"it cannot be read: {error.strerror}", remedy)]
    expected = render(state)
    if text == expected:
        return []
    made = made_of(text)
    if made is None:
        return [Finding("wrong", f"{name}:1", "it was not rendered by think", f"{remedy} (sets it aside)")]
    if made.untouched:
        later = state.events - made.events
        age = f"out of date by {later:,} event{'s' * (later != 1)}" if later > 0 else "of another log or program"
        return [Finding("wrong", name, f"it is {age}", remedy)]
    if made.events < state.events:
        expected = render(state_after(folder, made.events))
    number = _first_difference(text, expected)
    section = section_at(expected, number) or section_at(text, number)
    place = f" (section {section})" if section else ""
    return [
        Finding(
            "wrong",
            f"{name}:{number}",
            f"line {number}{place} is not what was rendered: it was edited by hand",
            "enter the change with a command, then think handoff render (sets the edited file aside)",
        )
    ]


def _first_difference(text: str, expected: str) -> int:
    pairs = zip(text.split("\n"), expected.split("\n"), strict=False)
    for number, (one, other) in enumerate(pairs, start=1):
        if one != other and number > 1:
            return number
    return min(text.count("\n"), expected.count("\n")) + 1


def _evidence(root: Path, state: State) -> list[Finding]:
    found = []
    for each in state.evidence.values():
        wrong, gone = evidence.recheck(each, root)
        found += [
            Finding("wrong", each.id, text, f"think handoff progress --retract {each.id} --why TEXT") for text in wrong
        ]
        found += [Finding("gone", each.id, f"{name} is gone", "bring the run back, or measure again") for name in gone]
    return found
