"""The report of a run: report.md and plots/*.svg, from what the run folder holds.

Equal folders give equal reports, so a report can be compared, kept and made again. Every figure carries its count, and
its interval where it has one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from think.core import foreseen, internals
from think.core.durable import replace_file
from think.core.errors import InputOutput
from think.core.facts import Facts
from think.core.figures import figures
from think.core.plots import plots
from think.core.runs import RunFolder
from think.core.telemetry.records import Record
from think.core.telemetry.summary import Summary

_PLOTS = {
    "loss": "Loss",
    "learning_rate": "Learning rate",
    "gradient_norm": "Gradient norm before clipping",
    "components": "Gradient by component",
    "throughput": "Throughput",
}


@dataclass(frozen=True)
class Sample:
    """A text that the trained model wrote, with what it takes to make it again."""

    text: str
    prompt: str = ""
    seed: int | None = None
    temperature: float | None = None


def write(run: RunFolder, *, sample: Sample | None = None, unigram_loss: float | None = None) -> Path:
    """Write report.md and plots/*.svg of a run, and return the report's path. Raises InputOutput when it cannot.

    unigram_loss: nats per token on the held-out text; taken from the run's records when not given.
    """
    facts = Facts.read(run)
    baseline = unigram_loss if unigram_loss is not None else facts.unigram_loss()
    drawn = plots(facts.records, unigram_loss=baseline)
    text = "\n".join(_lines(facts, drawn, sample, baseline)) + "\n"
    try:
        run.plots.mkdir(exist_ok=True)
        for name, content in drawn.items():
            replace_file(run.plots / f"{name}.svg", content)
        replace_file(run.report_file, text.encode())
    except OSError as error:
        raise InputOutput(
            f"the report cannot be written: {error.strerror or error}",
            where=str(run.path),
            expected="a run folder that can be written, on a disk with room",
            remedy="free some space or change the permissions; the run itself is untouched",
        ) from error
    return run.report_file


def _lines(
    facts: Facts, drawn: Mapping[str, bytes], sample: Sample | None, unigram_loss: float | None
) -> Iterator[str]:
    yield f"# Run `{facts.run.name}`"
    yield ""
    yield _standing(facts.summary)
    yield ""
    yield from _table(("figure", "value"), figures(facts, unigram_loss))
    yield "## Curves"
    yield ""
    for name, title in _PLOTS.items():
        if name in drawn:
            yield f"![{title}](plots/{name}.svg)"
            yield ""
    if not drawn:
        yield "Nothing was recorded yet."
        yield ""
    yield from _inside(facts)
    yield from _gates(facts)
    yield from _anomalies(facts)
    if sample is not None:
        yield from _sample(sample)
    yield from _origin(facts)


def _standing(summary: Summary) -> str:
    of = "" if summary.steps is None else f" of {summary.steps:,}"
    place = "before its first step" if summary.step is None else f"at step {summary.step:,}{of}"
    made = f", preset `{summary.preset}`" if summary.preset else ""
    stage = f"{summary.stage}{made}: " if summary.stage else ""
    why = f" ({summary.message})" if summary.message else ""
    return f"{stage}**{summary.state}** {place}{why}."


def _inside(facts: Facts) -> Iterator[str]:
    if rows := internals.share_rows(facts.records):
        yield "Share of the squared gradient norm, median over the records:"
        yield ""
        yield from _table(internals.SHARES, rows)
    if rows := internals.health_rows(facts.records):
        yield "## State health"
        yield ""
        yield "The newest look at each recurrent state; `think/core/training/health.py` says what the columns mean."
        yield ""
        yield from _table(internals.HEALTH, rows)
    if rows := foreseen.rows(facts.records):
        yield "## Foresight"
        yield ""
        yield "Held-out games, without looking, with 95 % intervals; `docs/dynamics.md` says what the columns mean."
        yield ""
        yield from _table(foreseen.HEADER, rows)


def _gates(facts: Facts) -> Iterator[str]:
    yield "## Gates"
    yield ""
    newest = {line.stored.gate: line.stored for line in facts.gates if line.stored is not None}
    if not newest:
        yield f"No verdict is stored for this run. `think gate all --run {facts.run.name}` judges it."
        yield ""
        return
    rows = []
    for gate, stored in sorted(newest.items()):
        findings = [finding.line() for finding in stored.verdict.findings] or ["-"]
        rows.append((gate, f"**{stored.verdict.status}**", "; ".join(findings), stored.thresholds_sha256[:12]))
    yield from _table(("gate", "verdict", "findings", "thresholds"), rows)


def _anomalies(facts: Facts) -> Iterator[str]:
    by_rule: dict[str, list[Record]] = {}
    for record in facts.of("anomaly"):
        by_rule.setdefault(record.text("rule") or "unnamed", []).append(record)
    yield "## Anomalies"
    yield ""
    if not by_rule:
        yield "None was recorded."
        yield ""
        return
    rows = [
        (rule, f"{len(found):,}", f"{found[0].step}", f"{found[-1].step}", found[-1].text("message") or "-")
        for rule, found in sorted(by_rule.items())
    ]
    yield from _table(("rule", "times", "first step", "last step", "last message"), rows)


def _sample(sample: Sample) -> Iterator[str]:
    yield "## A sample"
    yield ""
    made = [f"prompt {json.dumps(sample.prompt, ensure_ascii=False)}" if sample.prompt else "no prompt"]
    made += [] if sample.seed is None else [f"seed {sample.seed}"]
    made += [] if sample.temperature is None else [f"temperature {sample.temperature:g}"]
    yield f"One text, not chosen among several; {', '.join(made)}:"
    yield ""
    fence = "`" * max(3, _longest_run(sample.text) + 1)
    yield from (f"{fence}text", sample.prompt + sample.text, fence, "")


def _origin(facts: Facts) -> Iterator[str]:
    yield "## How it was made"
    yield ""
    stage = facts.summary.stage
    if stage is not None and facts.run.settings_file.is_file():
        place = "/".join(facts.run.settings_file.parts[-3:])
        yield f"To make it again: `think train {stage} --preset {place}`"
        yield ""
    starts = facts.of("run_start")
    rows: list[tuple[str, str]] = []
    if starts:
        first, last = starts[0].fields, starts[-1].fields
        rows += [(name, str(last[name])) for name in ("seed", "device", "threads") if name in last]
        resumed = [str(start.fields["resumed_from_step"]) for start in starts if start.fields.get("resumed_from_step")]
        if resumed:
            rows.append(("resumed from step", ", ".join(resumed)))
        digests = first.get("digests")
        if isinstance(digests, dict):
            rows += [(f"digest of {name}", f"`{value}`") for name, value in sorted(digests.items())]
    rows += [(f"plan: {name}", text) for name, text in _flat(facts.plan) if not name.startswith("digests")]
    yield from _table(("fact", "value"), rows)
    passed_over = [
        record.text("message") or "" for record in facts.of("log") if record.text("level") in ("warning", "error")
    ]
    lost = facts.lost()
    damage = [
        (facts.garbage, "telemetry lines were no records and were passed over"),
        (facts.torn, "last lines of killed processes were torn"),
        (facts.superseded, "records were superseded when the run was resumed"),
        (lost, "telemetry records could not be written"),
    ]
    notes = [f"{count:,} {what}" for count, what in damage if count]
    yield from (f"* {note}" for note in [*notes, *filter(None, passed_over)])


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested objects with dotted names; long lists are cut."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{prefix}{name}", f"{value:,}"
        elif isinstance(value, float):
            yield f"{prefix}{name}", f"{value:.6g}"
        elif not isinstance(value, list) or all(not isinstance(inner, (Mapping, list)) for inner in value):
            text = (
                ", ".join(map(str, value[:8])) + (", …" if len(value) > 8 else "") if isinstance(value, list) else value
            )
            yield f"{prefix}{name}", str(text)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    rows = list(rows)
    if not rows:
        return
    yield f"| {' | '.join(header)} |"
    yield f"|{'|'.join('---' for _ in header)}|"
    for row in rows:
        yield f"| {' | '.join(_cell(text) for text in row)} |"
    yield ""


def _cell(text: str) -> str:
    """A text that cannot break out of its cell."""
    return " ".join(text.replace("|", "\\|").split()) or " "


def _longest_run(text: str) -> int:
    """Length of the longest run of backticks."""
    longest = here = 0
    for character in text:
        here = here + 1 if character == "`" else 0
        longest = max(longest, here)
    return longest
