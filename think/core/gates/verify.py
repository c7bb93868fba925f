"""Looks at stored verdicts again, offline: thresholds, evidence and verdict must still belong together.

For each verdict the thresholds are hashed again, the evidence is hashed again and, through a function handed in, held
against what it was taken from; then the gate judges it anew. A verdict that a later one of the same gate has replaced
may have lost its evidence; the newest may not.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from think.core.errors import Exit, UsageError
from think.core.gates import run
from think.core.gates.evidence import fingerprint, kinds
from think.core.gates.store import Line, Stored
from think.core.gates.verdict import Verdict


class Outcome(StrEnum):
    """What became of one stored verdict."""

    VERIFIED = "verified"
    WRONG = "WRONG"
    GONE = "GONE"
    REPLACED = "replaced"


@dataclass(frozen=True)
class Checked:
    """One line of a file of verdicts, looked at again."""

    file: Path
    line: int
    gate: str
    verdict: str
    outcome: Outcome
    why: str


Recheck = Callable[[Stored], tuple[Sequence[str], Sequence[str]]]
"(what is wrong, what is gone) about the evidence of a stored verdict."


def verify(file: Path, lines: Sequence[Line], recheck: Recheck) -> list[Checked]:
    """Check every line of one file of verdicts."""
    newest = {line.stored.gate: line.number for line in lines if line.stored is not None}
    found = []
    for line in lines:
        if line.stored is None:
            found.append(Checked(file, line.number, "?", "?", Outcome.WRONG, line.problem))
            continue
        wrong, gone = _look(line.stored, recheck)
        if wrong:
            outcome, why = Outcome.WRONG, "; ".join(wrong)
        elif gone and newest[line.stored.gate] == line.number:
            outcome, why = Outcome.GONE, f"not there any more: {', '.join(gone)}"
        elif gone:
            outcome, why = Outcome.REPLACED, "a later verdict took its place"
        else:
            outcome, why = Outcome.VERIFIED, ""
        found.append(Checked(file, line.number, line.stored.gate, line.stored.verdict.status.value, outcome, why))
    return found


def exit_code(checked: Sequence[Checked]) -> Exit:
    """1 when anything is wrong, else 3 when evidence is gone or there is no verdict at all, else 0."""
    outcomes = {each.outcome for each in checked}
    if Outcome.WRONG in outcomes:
        return Exit.GATE_FAILED
    return Exit.NO_VERDICT if not outcomes or Outcome.GONE in outcomes else Exit.DONE


def _look(stored: Stored, recheck: Recheck) -> tuple[list[str], list[str]]:
    wrong: list[str] = []
    if fingerprint(stored.thresholds) != stored.thresholds_sha256:
        wrong.append("the thresholds are not those that were hashed before the evidence was read")
    if stored.evidence is None:
        if stored.verdict.status.opens and stored.verdict.waiver is None:
            wrong.append(f"{stored.verdict.status} without evidence")
        return wrong, []
    if fingerprint(stored.evidence["values"]) != stored.evidence["sha256"]:
        wrong.append("the evidence is not what was hashed")
    try:
        verdict = _judge_again(stored)
    except UsageError as error:
        return wrong, [error.what]
    except (ValidationError, KeyError) as error:
        return [*wrong, f"evidence or thresholds cannot be read: {str(error).splitlines()[0]}"], []
    if verdict.as_json() != stored.verdict.as_json():
        wrong.append(f"judged again it is {verdict.status}: {verdict.line()}")
    more_wrong, gone = recheck(stored)
    return [*wrong, *more_wrong], list(gone)


def _judge_again(stored: Stored) -> Verdict:
    """The verdict that the stored evidence and thresholds give now."""
    assert stored.evidence is not None
    gate = run.load(stored.gate)
    kind = kinds()[stored.evidence["name"]]
    evidence = kind.model_validate(stored.evidence["values"])
    if kind is not gate.needs:
        verdict = Verdict.cannot_tell(f"needs {gate.needs.name}, was offered {kind.name}")
    else:
        verdict = gate.judge(gate.Settings.model_validate_json(json.dumps(stored.thresholds)), evidence)
    return verdict if stored.verdict.waiver is None else verdict.waived(stored.verdict.waiver)
