"""The main figures of a run, each with its count and, where it has one, its interval."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from think.core import foreseen, internals
from think.core.facts import Facts
from think.core.series import Series, series
from think.core.statistics import block_bootstrap_mean
from think.core.telemetry.records import Record

_PER_TOKEN = " nats per token"
LAST_SHARE = 0.05
"Share of the recorded steps behind the final training loss: one step is mostly noise."
LEAST_STEPS = 10
"Recorded steps behind it in any case, where there are so many."


def figures(facts: Facts, unigram_loss: float | None = None) -> list[tuple[str, str]]:
    """The main figures of a run with their counts and intervals, as label and text."""
    summary, found = facts.summary, []
    evaluation = facts.held_out()
    if evaluation is not None:
        found.append(("held-out loss", _held_out(evaluation)))
    if unigram_loss is not None:
        found.append(("unigram baseline", f"{unigram_loss:.4f} nats per token, of a model that knows only frequencies"))
    losses = series(facts.records, "step", "loss")
    if len(losses):
        found.append(("training loss", _training_loss(losses, _measure(facts.records))))
    share = next((record for record in reversed(facts.of("step")) if record.number("h0_share") is not None), None)
    if share is not None:
        found.append(
            (
                "trained start state",
                f"got gradient in {share.number('h0_share') or 0.0:.1%} of the first {share.step or 0:,} steps",
            )
        )
    inside = (("branch gradients", internals.balance(facts.records)), ("entropy", internals.hidden(facts.records)))
    found += [(label, text) for label, text in inside if text is not None]
    if summary.parameters is not None:
        found.append(("parameters", f"{summary.parameters:,}"))
    tokens = series(facts.records, "step", "tokens")
    if len(tokens):
        found.append(("tokens trained on", f"{int(tokens.values[-1]):,} scored"))
    rows = series(facts.records, "step", "rows")
    if len(rows):
        found.append(("examples trained on", f"{int(rows.values[-1]):,}"))
    for unit in ("tokens", "rows"):
        speeds = series(facts.records, "step", f"{unit}_per_second")
        if len(speeds):
            middle = float(np.median(speeds.values))
            found.append(("throughput", f"{middle:,.0f} {unit} per second (median of {len(speeds):,} recorded steps)"))
    if evaluation is not None:
        found += _judged(evaluation)
    seconds = _seconds(facts)
    if seconds:
        times = len(facts.of("run_start"))
        found.append(("time", f"{seconds:,.0f} s" + (f", in {times} processes" if times > 1 else "")))
    return found


def _held_out(evaluation: Record) -> str:
    loss, tokens, rows = (evaluation.number(name) for name in ("loss", "tokens", "rows"))
    if loss is None:
        return "not recorded"
    count = "count not recorded" if tokens is None else f"n = {int(tokens):,} tokens"
    if rows is not None:
        count = f"n = {int(rows):,} examples"
    interval = evaluation.fields.get("interval")
    if isinstance(interval, list) and len(interval) == 2 and all(isinstance(edge, (int, float)) for edge in interval):
        count = f"95 % {interval[0]:.4f} to {interval[1]:.4f}, {count}"
    extent = ", the whole split" if evaluation.fields.get("whole") is True else ""
    return f"**{loss:.4f}**{_PER_TOKEN if rows is None else ''} ({count}{extent}) after step {evaluation.step}"


def _measure(records: Sequence[Record]) -> str:
    """What the loss is measured in: of a stage after the first it is a sum of losses of several kinds."""
    return "" if any(record.kind == "step" and "rows" in record.fields for record in records) else _PER_TOKEN


def _judged(evaluation: Record) -> Iterator[tuple[str, str]]:
    """What else was measured on held-out examples, by name; of a stage after the first."""
    if "rows" not in evaluation.fields:
        return
    for name in evaluation.fields:
        value = evaluation.number(name)
        if value is not None and name not in ("loss", "rows", "seconds") and not foreseen.tells(name):
            yield f"held-out {name.replace('_', ' ')}", f"{value:.4f}"


def _training_loss(losses: Series, measure: str) -> str:
    last = losses.values[-max(LEAST_STEPS, round(LAST_SHARE * len(losses))) :]
    if not np.isfinite(last).all():
        return f"not finite in {int((~np.isfinite(last)).sum())} of the last {len(last)} recorded steps"
    found = block_bootstrap_mean(last)
    interval = f"95 % {found.low:.4f} to {found.high:.4f}, " if math.isfinite(found.low) else ""
    return f"{found.value:.4f}{measure} ({interval}mean of the last {found.count} recorded steps)"


def _seconds(facts: Facts) -> float:
    """Time between the first and last record of each process, added up."""
    total, begun, last = 0.0, None, None
    for record in facts.records:
        if record.kind == "run_start":
            total += (last - begun) if begun is not None and last is not None else 0.0
            begun = record.mono
        last = record.mono
    return total + ((last - begun) if begun is not None and last is not None else 0.0)
