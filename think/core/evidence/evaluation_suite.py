"""Every evaluation that fits a model of text, on the model that a finished run ended with.

Parts: held_out, states, branches. One that fails is recorded with what it said, and the others go on.
"""

import math
from collections.abc import Callable

from think.core.diagnostics import branches as branch_diagnostics
from think.core.diagnostics import state_health
from think.core.errors import ThinkError
from think.core.evidence import Producer, Subject
from think.core.evidence._trained import Finished, finished, recheck_checkpoint, source
from think.core.gates.evidence import Absent, EvaluationSuite, Exhibit, Metric, Worth
from think.core.training.evaluate import evaluate

TOKENS = 1 << 15
"Held-out tokens read for each evaluation and each replacement, from the head of every track."
BLOCKS = 32
"Blocks that they are cut into, for an interval."


def produce(subject: Subject) -> Exhibit | Absent:
    """Run every part on the last checkpoint."""
    found = finished(subject)
    if isinstance(found, Absent):
        return found
    metrics: list[Metric] = []
    failed: dict[str, str] = {}
    worths: list[Worth] = []
    parts: dict[str, Callable[[Finished, Subject], list[Metric]]] = {
        "held_out": _held_out,
        "states": _states,
        "branches": lambda run, asked: _branches(run, asked, worths),
    }
    for name, measure in parts.items():
        try:
            metrics += measure(found, subject)
        except ThinkError as error:
            failed[name] = error.what
        except (RuntimeError, ValueError, ArithmeticError) as error:  # a model may be too broken to be measured
            failed[name] = f"{type(error).__name__}: {error}"
    named = sorted({name for _, name in branch_diagnostics.branches(found.trained.model)})
    return Exhibit(
        evidence=EvaluationSuite(
            parts=tuple(parts),
            failed=failed,
            metrics=tuple(metrics),
            branches=tuple(named),
            worths=tuple(worths),
            blocks=next((metric.count for metric in metrics if metric.part == "branches"), 0),
        ),
        source=source(subject, found.run, found.spans, found.trained),
    )


def _shape(run: Finished, subject: Subject) -> tuple[int, int]:
    """Rows and length of the batches in which held-out text is read."""
    rows = max(2, subject.settings.stage1.evaluation.rows)
    return rows, max(1, min(run.trained.split.tokens, TOKENS) // (rows * BLOCKS))


def _held_out(run: Finished, subject: Subject) -> list[Metric]:
    rows, length = _shape(run, subject)
    score = evaluate(run.trained.model, run.trained.split, rows, length, tokens=TOKENS)
    low, high = score.interval
    size = min(run.trained.split.tokens, TOKENS)
    text = run.trained.split.read(0, size)[run.trained.split.mask(0, size) > 0]
    width = len(run.trained.packed.tokenizer.decode(text.tolist()).encode()) / max(len(text), 1)
    bits = 1 / (math.log(2) * width) if width else math.nan
    return [
        Metric(part="held_out", name="loss", value=score.loss, count=score.tokens, low=low, high=high),
        Metric(
            part="held_out",
            name="bits_per_byte",
            value=score.loss * bits,
            count=score.tokens,
            low=low * bits,
            high=high * bits,
        ),
    ]


def _states(run: Finished, subject: Subject) -> list[Metric]:
    seen = state_health.examine(run.trained.model, state_health.streams_of(run.trained.split))
    figures = {
        "response": seen.response,
        "least_participation": min((each.participation for each in seen.branches), default=math.nan),
        "largest_cosine": max((each.cosine for each in seen.branches), default=math.nan),
    }
    if not seen.branches:
        figures = {"response": seen.response}
    return [
        Metric(part="states", name=name, value=value, count=seen.streams, low=-math.inf, high=math.inf)
        for name, value in figures.items()
    ]


def _branches(run: Finished, subject: Subject, worths: list[Worth]) -> list[Metric]:
    """Fills `worths`; one metric for each branch, removed by zero in all layers, its count that of the blocks."""
    rows, length = _shape(run, subject)
    seen = branch_diagnostics.contributions(run.trained.model, run.trained.split, rows, length, tokens=TOKENS)
    worths += [
        Worth(
            layer=each.layer,
            branch=each.branch,
            by=each.by,
            change=each.change.value,
            low=each.change.low,
            high=each.change.high,
        )
        for each in seen.replacements
    ]
    blocks = len(seen.whole.block_losses)
    whole = Metric(part="branches", name="loss", value=seen.whole.loss, count=blocks, low=-math.inf, high=math.inf)
    return [whole] + [
        Metric(
            part="branches",
            name=f"without_{each.branch}",
            value=each.change,
            count=blocks,
            low=each.low,
            high=each.high,
        )
        for each in worths
        if each.layer is None and each.by == "zero"
    ]


SPEC = Producer(produce, recheck_checkpoint)
