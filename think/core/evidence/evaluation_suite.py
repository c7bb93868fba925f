"""Every evaluation that fits a model of text, on the model that a finished run ended with.

Parts: held_out, states, branches; task, where the data are rows of one task; puzzles, where they are puzzles of one
kind. One that fails is recorded with what it said, and the others go on.
"""

import math
from collections.abc import Callable
from typing import Any

from think.core import plugins
from think.core.data import puzzles, tasks
from think.core.data.puzzles.items import distinct
from think.core.diagnostics import branches as branch_diagnostics
from think.core.diagnostics import state_health
from think.core.errors import ThinkError
from think.core.eval.examine import examine
from think.core.eval.reasoning.measure import Exam
from think.core.evidence import Producer, Subject
from think.core.evidence._trained import Finished, finished, recheck_checkpoint, source
from think.core.gates.evidence import Absent, EvaluationSuite, Exhibit, Metric, Worth
from think.core.training.evaluate import evaluate

TOKENS = 1 << 15
"Held-out tokens read for each evaluation and each replacement, from the head of every track."
BLOCKS = 32
"Blocks that they are cut into, for an interval."
ROWS = 128
"Test rows of a task at each size."
PUZZLES = 256
"Different puzzles of the validation split; the test split is left to `think eval reasoning`."


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
        **_of_its_data(subject),
    }
    for name, run_part in parts.items():
        try:
            metrics += run_part(found, subject)
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


def _of_its_data(subject: Subject) -> dict[str, Callable[[Finished, Subject], list[Metric]]]:
    """What can be asked of a model whose data are of one kind that has right answers."""
    sources: list[Any] = [*subject.settings.data.sources]
    kinds = [source.kind for source in sources]
    return {"task": _task} if kinds == ["task"] else {"puzzles": _puzzles} if kinds == ["puzzles"] else {}


def _task(run: Finished, subject: Subject) -> list[Metric]:
    """Scaled accuracy at every size that the task is tested at: 0 is guessing, 1 is right."""
    source: Any = subject.settings.data.sources[0]
    sizes = tasks.load(source.task).tested
    return [
        Metric(
            part="task",
            name=f"{source.task} at {score.size}",
            value=score.scaled.value,
            count=score.rows,
            low=score.scaled.low,
            high=score.scaled.high,
        )
        for score in examine(run.trained.model, run.trained.packed.tokenizer, source.task, sizes, ROWS)
    ]


def _puzzles(run: Finished, subject: Subject) -> list[Metric]:
    """Share solved by the likeliest actions, and by chance."""
    source: Any = subject.settings.data.sources[0]
    task = plugins.load(puzzles.FAMILY, source.task.kind)
    asked = distinct(task, source.task, "validation", PUZZLES, seed=0)
    metrics = []
    exam = Exam(run.trained.model, run.trained.packed.tokenizer, task, source.task, "validation", asked, seed=0)
    for arm in ("greedy", "random_legal"):
        found = exam.measure(arm, samples=1)
        share = found.share
        metrics.append(
            Metric(part="puzzles", name=arm, value=share.value, count=len(asked), low=share.low, high=share.high)
        )
    return metrics


SPEC = Producer(produce, recheck_checkpoint)
