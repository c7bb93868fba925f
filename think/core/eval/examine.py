"""A model before rows of a task: is what it holds most likely the right answer?

R rows  T length
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from think.core.data import tasks
from think.core.data.tokenizer import BOS, UNK, Tokenizer
from think.core.errors import BadData
from think.core.eval.scoring import Score, score
from think.core.models.thinking import Thinking

SYMBOLS_AT_ONCE = 16_384
"Read in one pass; bounds memory, not what comes out."

TEST_SEED = 2026
"Fixed, not a setting: all models are compared on the same rows."


@torch.no_grad()
def examine(
    model: Thinking, tokenizer: Tokenizer, name: str, sizes: Sequence[int], rows: int, *, seed: int = TEST_SEED
) -> Iterator[Score]:
    """Scores of one task at these sizes, one after the other, each from `rows` test rows.

    Raises BadData when the tokenizer lacks a symbol of the task, or a row is too long for the model's attention.
    """
    task = tasks.load(name)
    ids = tokenizer.encode(tasks.alphabet(task))
    if len(ids) != task.symbols or UNK in ids:
        raise BadData(
            f"the tokenizer has no tokens for all {task.symbols} symbols of {name}",
            expected="a model that was trained on this task",
            remedy=f"think eval {task.family} {name} --preset NAME trains one",
        )
    device = next(model.parameters()).device
    names = torch.tensor(ids, device=device)
    was_training = model.training
    model.eval()
    for size in sizes:
        drawn = list(islice(tasks.rows(name, "test", size, size, seed=seed), rows))
        right: list[int] = []
        asked: list[int] = []
        at_once = max(1, SYMBOLS_AT_ONCE // (1 + len(drawn[0].symbols)))
        for start in range(0, rows, at_once):
            part = drawn[start : start + at_once]
            answers, questions = _answers(model, names, part, task.trial)
            right += answers
            asked += questions
        yield score(size, right, asked, task.chance(size))
    model.train(was_training)


def _answers(model: Thinking, names: Tensor, rows: Sequence[tasks.Row], trial: str) -> tuple[list[int], list[int]]:
    """Right answers, and questions, of each row; rows of one size may differ in length, and longer ones come later."""
    longest = max(len(row.symbols) for row in rows)
    tokens = torch.full((len(rows), 1 + longest), BOS, device=names.device)
    wanted = torch.full((len(rows), 1 + longest), tasks.UNSCORED, device=names.device)
    for number, row in enumerate(rows):
        length = len(row.symbols)
        tokens[number, 1 : 1 + length] = names[torch.tensor(row.symbols, device=names.device)]
        labels = torch.tensor(row.labels, device=names.device)
        if trial == "last":
            labels[: int((labels != tasks.UNSCORED).nonzero().max())] = tasks.UNSCORED
        wanted[number, 1 : 1 + length] = torch.where(labels == tasks.UNSCORED, labels, names[labels.clamp_min(0)])
    hidden, _ = model.hidden(tokens)
    scored = wanted != tasks.UNSCORED
    hit = torch.zeros_like(scored)
    hit[scored] = model.logits(hidden[scored]).argmax(-1) == wanted[scored]
    return hit.sum(1).tolist(), scored.sum(1).tolist()
