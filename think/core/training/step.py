"""One step: forward, loss, backward, over micro-batches that split the rows of a batch.

Each micro-batch carries its own part of the state, so the stream of a row is the same however many there are; each
contributes its share of one loss, so the gradients add up to the full batch's.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from think.core.data.batches import Batch
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.processes import ALONE, Group
from think.core.training.health import Predictions, predictions
from think.core.training.losses import Loss, language_loss

Precision = Literal["float32", "bfloat16"]
Forward = Callable[[Batch, State, float, float], tuple[Loss, Tensor, State]]
"batch, state, total_weight, entropy_bonus -> loss, hidden [B, T, D], state"


@dataclass(frozen=True)
class Outcome:
    """What a backward pass found.

    loss       nats per scored token, without the entropy term; None when no token of the batch is scored
    objective  what was differentiated
    entropy    mean entropy of the predictions in nats; None unless the loss uses it
    tokens     scored tokens
    state      what the next step receives, cut from the graph
    """

    loss: float | None
    objective: float
    entropy: float | None
    tokens: int
    state: State
    predictions: Predictions | None


def forward_of(model: Thinking) -> Forward:
    """The model's forward pass up to its loss, with the activations before the logits in between."""

    def forward(batch: Batch, state: State, total_weight: float, entropy_bonus: float) -> tuple[Loss, Tensor, State]:
        hidden, after = model.hidden(batch.tokens, state, batch.reset)
        loss = language_loss(
            model, hidden, batch.targets, batch.weights, total_weight=total_weight, entropy_bonus=entropy_bonus
        )
        return loss, hidden, after

    return forward


def accumulate_gradients(
    forward: Forward,
    batch: Batch,
    state: State,
    *,
    micro_batches: int,
    entropy_bonus: float,
    precision: Precision,
    look: Callable[[Tensor], Tensor] | None,
    group: Group = ALONE,
    adding: Callable[[bool], AbstractContextManager[object]] = lambda last: nullcontext(),
) -> Outcome:
    """Add the gradients of a whole batch to the parameters, one micro-batch after the other.

    micro_batches: must divide the rows.   look: hidden -> logits, to describe the predictions of the first micro-batch.
    group: processes of which each has its own rows of the batch; the figures are those of all rows.
    adding: stands around each micro-batch, told whether it is the last, after which gradients are exchanged.
    """
    rows = batch.tokens.shape[0] // micro_batches
    total_weight = float(group.sum(batch.weights.sum().to("cpu")))
    losses, states, seen = [], [], None
    for start in range(0, batch.tokens.shape[0], rows):
        rows_here = slice(start, start + rows)
        part = batch.rows(rows_here)
        with adding(start + rows == batch.tokens.shape[0]):
            with autocast(batch.tokens.device, precision):
                loss, hidden, after = forward(part, state.rows(rows_here), max(total_weight, 1.0), entropy_bonus)
            loss.objective.backward()
        if look is not None and seen is None:
            seen = predictions(look, hidden.detach().flatten(0, 1), part.targets.flatten(), part.weights.flatten())
        losses.append(loss)
        states.append(after.detach())
    figures = [torch.stack([loss.cross_entropy, loss.objective.detach(), loss.entropy]) for loss in losses]
    cross_entropy, objective, entropy = group.add_up(torch.stack(figures).sum(0)).tolist()
    return Outcome(
        loss=cross_entropy / total_weight if total_weight > 0 else None,
        objective=objective,
        entropy=entropy / total_weight if entropy_bonus and total_weight else None,
        tokens=round(total_weight),
        state=states[0] if len(states) == 1 else State.join(states),
        predictions=seen,
    )


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """bfloat16 products under float32 master weights, or nothing."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
