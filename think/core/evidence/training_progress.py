"""The course of a training run from its telemetry, and its last checkpoint beside a unigram model.

Everything that could make a good figure belong to something else is looked at first: settings and data that are not
those the run was trained on, a checkpoint of another step, weights that do not give the loss that the run recorded.
"""

import math
from pathlib import Path
from typing import Any

from think.core.data.tokenizer import CONTROL
from think.core.errors import BadData, Missing
from think.core.evidence import Producer, Recheck, Subject
from think.core.evidence._telemetry import Course, course, read, spans
from think.core.evidence._trained import Trained, another_run, open_trained, recheck_checkpoint, source
from think.core.evidence._unigram import fit
from think.core.gates.evidence import Absent, Exhibit, TrainingProgress
from think.core.gates.store import Stored
from think.core.runs import RunFolder
from think.core.training.evaluate import Score, evaluate

BLOCKS = 32
"Blocks that the held-out tokens are cut into, for an interval."
LEAST_LENGTH = 16
"Tokens per row of a block: below, a block is mostly noise. The model gives the same loss however it is cut."
TOKENS = 1 << 16
"Held-out tokens read, from the head of every track; they make the interval about a hundredth of a nat wide."
REPRODUCES = 1e-3
"Largest relative distance between the loss that the run recorded at its end and the one its checkpoint gives now."


def produce(subject: Subject) -> Exhibit | Absent:
    """Read the run's records; for a finished one, evaluate its checkpoint and a unigram model on the same tokens."""
    if subject.run is None:
        return Absent(
            why="there is no run of this model, tokenizer and data",
            remedy=f"`{' '.join(filter(None, ['think train stage1', subject.place]))}`",
        )
    where = spans(subject.run.path)
    seen = course(read(subject.run.path, where))
    problem = another_run(seen, subject.digests)
    if problem:
        return Absent(why=problem, remedy="ask about the run alone with --run, or train this preset")
    blocks, trained = _Blocks(), None
    if seen.state == "finished" and seen.steps_done >= seen.steps_planned:
        try:
            blocks, trained = _measure(subject, subject.run, seen)
        except (BadData, Missing) as error:
            return Absent(why=f"{error.where}: {error.what}" if error.where else error.what, remedy=error.remedy)
    return Exhibit(
        evidence=TrainingProgress(
            **_figures(seen),
            model_blocks=blocks.model,
            unigram_blocks=blocks.unigram,
            block_tokens=blocks.tokens,
            unigram_fitted_on=blocks.fitted_on,
        ),
        source=source(subject, subject.run, where, trained),
    )


class _Blocks:
    """Held-out losses block by block; empty when nothing was measured."""

    def __init__(
        self, model: Score | None = None, unigram: list[tuple[float, float]] | None = None, fitted_on: int = 0
    ):
        pairs = list(zip(model.blocks, unigram, strict=True)) if model is not None and unigram is not None else []
        scored = [pair for pair in pairs if pair[0][1] > 0]
        self.model = tuple(nats / weight for (nats, weight), _ in scored)
        self.unigram = tuple(nats / weight for _, (nats, weight) in scored)
        self.tokens = tuple(round(weight) for (_, weight), _ in scored)
        self.fitted_on = fitted_on


def _figures(seen: Course) -> dict[str, Any]:
    return {
        "state": seen.state,
        "steps_planned": seen.steps_planned,
        "steps_done": seen.steps_done,
        "evaluations": seen.evaluations,
        "gradient_norms": seen.gradient_norms,
        "gradient_steps": seen.gradient_steps,
        "resumed": seen.resumed,
    }


def _measure(subject: Subject, run: RunFolder, seen: Course) -> tuple[_Blocks, Trained]:
    """Evaluate the run's last checkpoint and the unigram model. Raises BadData or Missing when they do not fit."""
    trained = open_trained(subject, run, seen)
    split, settings = trained.split, subject.settings
    rows = settings.stage1.evaluation.rows
    length = max(LEAST_LENGTH, min(settings.stage1.longest, min(split.tokens, TOKENS) // (rows * BLOCKS)))
    score = evaluate(trained.model, split, rows, length, tokens=TOKENS)
    problem = _another_loss(score.loss, score.tokens, seen)
    if problem:
        raise BadData(problem, where=str(run.path / trained.path))
    unigram = fit(trained.packed.split("train"), max(trained.packed.tokenizer.size, len(CONTROL)))
    return _Blocks(score, unigram.blocks(split, rows, length, len(score.blocks)), unigram.fitted_on), trained


def _another_loss(loss: float, tokens: int, seen: Course) -> str | None:
    """Why this loss is not that of the run's end: the run recorded another one on as many tokens. None: it fits."""
    whole = seen.whole
    if whole is None or whole.step != seen.steps_done or whole.tokens != tokens:
        return None
    if math.isfinite(whole.loss) and not abs(loss - whole.loss) <= REPRODUCES * abs(whole.loss):
        return f"this checkpoint gives {loss:.4f} nats on the held-out tokens, the run recorded {whole.loss:.4f}"
    return None


def _blocks_again(held: TrainingProgress, seen: Course) -> list[str]:
    """Whether the blocks of held-out losses together give the loss that the run itself recorded."""
    tokens = sum(held.block_tokens)
    if not tokens or len(held.block_tokens) != len(held.model_blocks):
        return []
    total = sum(nats * count for nats, count in zip(held.model_blocks, held.block_tokens, strict=True))
    problem = _another_loss(total / tokens, tokens, seen)
    return [problem] if problem else []


def recheck(stored: Stored, run: RunFolder | None) -> Recheck:
    """Read the same telemetry bytes again, derive the figures again, and look whether the checkpoint is still it."""
    if run is None or stored.evidence is None:
        return Recheck(gone=("the run folder",))
    wrong: list[str] = []
    gone: list[str] = []
    try:
        seen = course(read(run.path, stored.source.spans))
        figures, held = _figures(seen), stored.evidence["values"]
        again = TrainingProgress(
            **figures,
            model_blocks=(),
            unigram_blocks=(),
            block_tokens=(),
            unigram_fitted_on=0,
        ).as_json()
        wrong += [f"{name} is not what the telemetry says" for name in figures if again[name] != held.get(name)]
        wrong += _blocks_again(TrainingProgress.model_validate(held), seen)
    except FileNotFoundError as error:
        gone.append(f"telemetry: {Path(error.filename).name}")
    except ValueError as error:
        wrong.append(f"telemetry: {error}")
    moved = recheck_checkpoint(stored, run)
    wrong += moved.wrong
    gone += moved.gone
    return Recheck(tuple(wrong), tuple(gone))


SPEC = Producer(produce, recheck)
