"""The scale ladder: a larger model is trained when every gate of the size below stands, or somebody answers for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from think.core.gates import run as engine
from think.core.gates import store
from think.core.gates.evidence import Absent, fingerprint
from think.core.gates.run import Question
from think.core.gates.store import Stored
from think.core.gates.verdict import Status, Verdict, Waiver


@dataclass(frozen=True)
class Unmet:
    """A gate that does not stand: its word, and why it is no better."""

    gate: str
    status: Status
    why: str


def unmet(question: Question, records: Sequence[Stored], today: date) -> list[Unmet]:
    """The gates that do not stand for what is asked about, in their order. records: stored verdicts, oldest first."""
    found = []
    for name in engine.gates():
        status, why = store.standing(records, name, _hangs_on(name, question), _digest(name, question), today)
        if not status.opens:
            found.append(Unmet(name, status, why))
    return found


def waived(
    missing: Sequence[Unmet],
    waivers: Mapping[str, Waiver],
    question: Question,
    records: Sequence[Stored],
    now: datetime,
) -> list[Stored]:
    """Verdicts to be stored for the gates that are waived: the newest one under its waiver, or that there was none."""
    made = []
    for each in missing:
        if each.gate not in waivers:
            continue
        matching = [
            record
            for record in records
            if record.gate == each.gate
            and not store.mismatches(record, _hangs_on(each.gate, question), _digest(each.gate, question))
            and record.verdict.waiver is None
        ]
        gate, thresholds = engine.load(each.gate), question.thresholds[each.gate]
        if matching:
            verdict = matching[-1].verdict.waived(waivers[each.gate])
            made.append(replace(matching[-1], verdict=verdict, time=now.isoformat(timespec="microseconds")))
            continue
        verdict = Verdict.cannot_tell(each.why).waived(waivers[each.gate])
        digest = _digest(each.gate, question)
        made.append(engine.recorded(each.gate, gate, verdict, thresholds, digest, Absent(why=each.why), question, now))
    return made


def _hangs_on(name: str, question: Question) -> dict[str, str | None]:
    return engine.hangs_on(engine.load(name), question)


def _digest(name: str, question: Question) -> str:
    return fingerprint(question.thresholds[name].model_dump(mode="json"))
