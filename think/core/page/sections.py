"""What the page tells in words: where the run stands, what gates said, what went wrong, what its model writes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from think.core.facts import Facts
from think.core.figures import figures
from think.core.gates.store import Stored
from think.core.page.markup import Html, details, joined, table, tag
from think.core.telemetry.records import Record
from think.core.text import one_line

NEWEST = 100
"Anomalies listed one by one."


def head(facts: Facts) -> Html:
    """Name, state and main figures."""
    summary = facts.summary
    of = "" if summary.steps is None else f" of {summary.steps:,}"
    place = "before its first step" if summary.step is None else f"at step {summary.step:,}{of}"
    made = ", ".join(filter(None, (summary.stage, f"preset {summary.preset}" if summary.preset else None)))
    standing = tag("p", f"{made}: " if made else "", tag("b", summary.state), f" {place}")
    why = tag("p", one_line(summary.message, 1000)) if summary.message else Html("")
    rows = [(label, text.replace("**", "")) for label, text in figures(facts, facts.unigram_loss())]
    return joined([tag("h1", f"Run {facts.run.name}"), standing, why, table(("figure", "value"), rows)])


def gates(facts: Facts) -> Html:
    """The newest verdict of each gate with its findings and where its evidence comes from."""
    held: dict[str, list[Stored]] = {}
    for line in facts.gates:
        if line.stored is not None:
            held.setdefault(line.stored.gate, []).append(line.stored)
    broken = sum(line.stored is None for line in facts.gates)
    parts = [_gate(gate, found) for gate, found in sorted(held.items())]
    if not parts:
        said = f"No verdict is stored for this run. `think gate all --run {facts.run.name}` judges it."
        parts = [tag("p", said)]
    if broken:
        parts.append(tag("p", f"{broken:,} lines of gates.jsonl are no verdicts and were passed over."))
    return joined(parts)


def _gate(gate: str, found: Sequence[Stored]) -> Html:
    newest = found[-1]
    verdict = newest.verdict
    title = tag("h3", f"{gate} ", tag("span", verdict.status.value, of={"class": f"status {verdict.status.value}"}))
    said = [tag("p", one_line(text, 2000)) for text in (verdict.reason, verdict.remedy) if text]
    if verdict.waiver is not None:
        said.insert(0, tag("p", one_line(verdict.line(), 2000)))
    rows = [
        (
            finding.name,
            tag("span", finding.status.value, of={"class": f"status {finding.status.value}"}),
            one_line(finding.seen(), 1000),
            one_line(finding.wanted, 1000),
        )
        for finding in verdict.findings
    ]
    more = f", the newest of {len(found)}" if len(found) > 1 else ""
    return joined(
        [
            title,
            *said,
            table(("finding", "verdict", "seen", "wanted"), rows),
            details(f"judged {newest.time}{more}", table(("fact", "value"), _source(newest))),
        ]
    )


def _source(stored: Stored) -> Iterator[tuple[str, str]]:
    evidence, source = stored.evidence, stored.source
    if isinstance(evidence, dict):
        yield "evidence", f"{evidence.get('name')}, sha256 {evidence.get('sha256')}"
    yield "thresholds", f"sha256 {stored.thresholds_sha256}"
    yield from ((f"threshold {key}", value) for key, value in flat(stored.thresholds))
    if source.commit is not None:
        yield "commit", f"{source.commit}{', with local changes' if source.dirty else ''}"
    for name, value in (("seed", source.seed), ("run", source.run), ("checkpoint", source.checkpoint)):
        if value is not None:
            yield name, f"{value}"
    yield from ((f"digest of {name}", digest) for name, digest in sorted(source.digests.items()))
    for note in (*stored.notes, *source.notes):
        yield "note", one_line(note, 1000)


def anomalies(facts: Facts) -> Html:
    """How often each rule spoke, and the newest ones."""
    found = facts.of("anomaly")
    if not found:
        return tag("p", "None was recorded.")
    by_rule: dict[str, list[Record]] = {}
    for record in found:
        by_rule.setdefault(one_line(record.text("rule") or "unnamed", 80), []).append(record)
    rows = [
        (rule, f"{len(each):,}", _step(each[0]), _step(each[-1])) for rule, each in sorted(by_rule.items())
    ]  # fmt: skip
    listed = [(_step(record), one_line(record.text("message") or "-", 400)) for record in found[-NEWEST:]]
    title = f"the newest {len(listed)} of {len(found):,}" if len(found) > len(listed) else f"all {len(listed)}"
    return joined(
        [
            table(("rule", "times", "first step", "last step"), rows),
            details(title, table(("step", "message"), listed)),
        ]
    )


def samples(texts: Sequence[tuple[str, str]], run: str) -> Html:
    """Texts of the model."""
    if not texts:
        return tag("p", f"None was made. `think runs report {run}` lets the model write one.")
    return joined(
        part for made, text in texts for part in (tag("p", made), tag("pre", text or "(it ended the text at once)"))
    )


def flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested objects with dotted names, as short texts."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            said = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            yield one_line(f"{prefix}{name}", 200), one_line(said, 400)


def _step(record: Record) -> str:
    return "-" if record.step is None else f"{record.step:,}"
