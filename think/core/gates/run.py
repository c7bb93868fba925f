"""Judges gates in their order: thresholds are fixed and hashed, then evidence is asked for, then judged, then stored.

A gate is BLOCKED until the gate before it stands, either earlier in the same command or as a stored verdict on the same
digests and thresholds. How evidence is made is none of this file's business: a function is handed in.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from think.core import plugins
from think.core.errors import UsageError
from think.core.gates import store
from think.core.gates.checks import FAMILY, Gate, file_name, gate_name
from think.core.gates.evidence import Absent, Exhibit, Source, fingerprint
from think.core.gates.store import Stored
from think.core.gates.verdict import Status, Verdict, Waiver
from think.presets.base import Settings

Produce = Callable[[str, Gate], Exhibit | Absent]


@dataclass(frozen=True)
class Question:
    """What is asked about: digests of the model, tokenizer, data … as they are now, and every gate's thresholds.

    thresholds   gate name -> its settings, for all gates and not only those asked
    place        the end of a command line that asks the same again, such as "--run NAME"
    notes        gate name -> what a reader of its verdict should know
    """

    digests: Mapping[str, str]
    thresholds: Mapping[str, Settings]
    place: str = ""
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def gates() -> list[str]:
    """Names of all gates in the order in which they are judged."""
    return sorted((gate_name(name) for name in plugins.names(FAMILY)), key=_order)


def load(name: str) -> Gate:
    """One gate. Raises UsageError with all names for an unknown one."""
    if name not in gates():
        raise UsageError(
            f"there is no gate named {name!r}", expected=f"one of {', '.join(gates())}", remedy="think gate list"
        )
    gate: Gate = plugins.load(FAMILY, file_name(name))
    return gate


def chosen(names: Iterable[str]) -> list[str]:
    """The gates asked for, each once, in order; "all" is every gate. Raises UsageError for an unknown name."""
    wanted: set[str] = set()
    for name in names:
        if name == "all":
            wanted.update(gates())
            continue
        name = gate_name(file_name(name.lower()))
        load(name)
        wanted.add(name)
    return sorted(wanted, key=_order)


def judge(gate: Gate, thresholds: Settings, shown: Exhibit | Absent) -> Verdict:
    """The verdict on one exhibit. Evidence of another kind than the gate needs never counts, whatever its numbers."""
    if isinstance(shown, Absent):
        return Verdict.cannot_tell(shown.why, remedy=shown.remedy)
    if type(shown.evidence) is not gate.needs:
        offered = getattr(shown.evidence, "name", type(shown.evidence).__name__)
        return Verdict.cannot_tell(f"needs {gate.needs.name}, was offered {offered}")
    return gate.judge(thresholds, shown.evidence)


def run(
    names: Sequence[str],
    question: Question,
    produce: Produce,
    stored: Sequence[Stored],
    *,
    waivers: Mapping[str, Waiver] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    keep: Callable[[str, Gate, Stored], None] = lambda name, gate, record: None,
) -> list[Stored]:
    """Judge gates in order and hand each verdict to `keep` as soon as it is known.

    stored    verdicts of earlier commands, oldest first; they count for gates that are not asked now
    waivers   gate name -> waiver given now. Raises UsageError for one that is over, or for a gate that is not asked
    """
    waivers = dict(waivers or {})
    check_waivers(waivers, names, now().date())
    records = list(stored)
    results: list[Stored] = []
    for name in names:
        gate = load(name)
        thresholds = question.thresholds[name]
        digest = fingerprint(thresholds.model_dump(mode="json"))  # before any evidence is looked at
        today = now().date()
        blocked = _blocked_by(gate, question, records, results, today)
        if blocked is not None:
            verdict, shown = blocked, None
        else:
            shown = produce(name, gate)
            verdict = judge(gate, thresholds, shown)
            verdict = _under_waiver(verdict, name, waivers, records, question, gate, digest, today)
        record = recorded(name, gate, verdict, thresholds, digest, shown, question, now())
        keep(name, gate, record)
        records.append(record)
        results.append(record)
    return results


def hangs_on(gate: Gate, question: Question) -> dict[str, str | None]:
    """The digests on which a gate's verdict depends, as they are now; None where unknown, which matches nothing."""
    return {name: question.digests.get(name) for name in gate.hangs_on}


def _blocked_by(
    gate: Gate, question: Question, records: Sequence[Stored], results: Sequence[Stored], today: date
) -> Verdict | None:
    """The verdict BLOCKED when any gate before this one does not stand; `results` are those of this very command."""
    before: list[str] = []
    earlier = gate.after
    while earlier is not None:
        before.insert(0, earlier)
        earlier = load(earlier).after
    judged = {record.gate: record.verdict.status for record in results}
    for name in before:
        if name in judged and judged[name].opens:
            continue
        if name in judged:
            return Verdict.blocked(f"{name} is {judged[name]}", remedy=f"see {name}")
        digest = fingerprint(question.thresholds[name].model_dump(mode="json"))
        status, why = store.standing(records, name, hangs_on(load(name), question), digest, today)
        if not status.opens:
            command = " ".join(filter(None, ["think gate", *before, question.place]))
            return Verdict.blocked(why, remedy=f"`{command}`")
    return None


def _under_waiver(
    verdict: Verdict,
    name: str,
    waivers: Mapping[str, Waiver],
    records: Sequence[Stored],
    question: Question,
    gate: Gate,
    digest: str,
    today: date,
) -> Verdict:
    """The verdict, WAIVED where it needs it and somebody answers for it, now or in a stored waiver that still holds."""
    if verdict.status not in (Status.FAIL, Status.NO_EVIDENCE):
        return verdict
    if name in waivers:
        return verdict.waived(waivers[name])
    for record in reversed(records):
        waiver = record.verdict.waiver
        if record.gate != name or waiver is None or store.mismatches(record, hangs_on(gate, question), digest):
            continue
        # A waiver covers what was known when it was given: a gate without evidence that now fails is another matter.
        if waiver.holds(today) and record.verdict.reason.startswith(f"would be {verdict.status}:"):
            return verdict.waived(waiver)
    return verdict


def check_waivers(waivers: Mapping[str, Waiver], names: Sequence[str], today: date) -> None:
    """Raises UsageError for a waiver that is over, or of a gate that is not among `names`."""
    for name, waiver in waivers.items():
        if name not in names:
            raise UsageError(f"{name} is waived but not asked for", remedy=f"think gate {name} --waive {name} …")
        if not waiver.holds(today):
            raise UsageError(
                f"the waiver of {name} ended on {waiver.until.isoformat()}",
                where="--until",
                expected=f"a day not before {today.isoformat()} (UTC)",
            )


def recorded(
    name: str,
    gate: Gate,
    verdict: Verdict,
    thresholds: Settings,
    digest: str,
    shown: Exhibit | Absent | None,
    question: Question,
    time: datetime,
) -> Stored:
    """A verdict with everything needed to check it again."""
    if isinstance(shown, Exhibit):
        values = shown.evidence.as_json()
        evidence = {"name": shown.evidence.name, "sha256": fingerprint(values), "values": values}
        source = shown.source
    else:
        known = {key: value for key, value in hangs_on(gate, question).items() if value is not None}
        evidence, source = None, Source(digests=known)
    return Stored(
        gate=name,
        verdict=verdict,
        thresholds=thresholds.model_dump(mode="json"),
        thresholds_sha256=digest,
        evidence=evidence,
        source=source,
        time=time.isoformat(timespec="microseconds"),
        notes=(*question.notes.get(name, ()), *source.notes),
    )


def _order(name: str) -> tuple[float, str]:
    digits = name[1:] if name[:1] == "g" else ""
    return (float(digits) if digits.replace(".", "", 1).isdigit() else float("inf"), name)
