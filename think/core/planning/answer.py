"""How a request for a plan is answered, in whichever thread: from a copy of the state to a plan to inject."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from think.core.errors import BadData
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.planning.injection import matrices_of
from think.core.planning.planner import Planned, Planner, Root
from think.core.planning.plans import Plan

SHOWN = 8
"Root actions that a record of a search names, the most visited first."


@dataclass(frozen=True)
class Answer:
    """What came of a request: a plan, or none where the planner proposed nothing; and what a record tells of it."""

    plan: Plan | None
    fields: dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A plan or none, what the planner said, and the position that it planned from."""

    plan: Plan | None
    planned: Planned
    position: int


@torch.no_grad()
def plan_for(
    model: Thinking,
    planner: Planner,
    before: State,
    token: int,
    read_before: tuple[int, ...],
    ahead: int,
    likeliest: Callable[[Tensor], int | None],
    generation: int,
    asked: float,
) -> Made:
    """The plan for `ahead` tokens after `token`; none where the text is foretold to end before.

    before: the state that has yet to read `token`; read_before: what it has read; likeliest: the token that scores make
    the text take, None for its end; generation, asked: as in `Plan`. Raises what the planner raises, and BadData as
    `read`.
    """
    root = stand(model, before, token, read_before)
    captured, projected = root.state, list[int]()
    for _ in range(ahead):
        if (foretold := likeliest(root.logits)) is None:
            return Made(None, Planned((), ()), root.state.position)
        projected.append(foretold)
        root = stand(model, root.state, foretold, root.read)
    planned, base = planner.plan(root), root.state
    if not planned.tokens:
        return Made(None, planned, base.position)
    target = read(model, planned.tokens, base)
    plan = Plan(generation, captured.position, tuple(projected), planned, captured, base, target, asked)
    return Made(plan, planned, base.position)


def stand(model: Thinking, before: State, token: int, read_before: tuple[int, ...] = ()) -> Root:
    """Where a text stands after one more token."""
    residuals, state = model.residuals(ids(model, [token]), before)
    last = residuals[:, -1]
    return Root(state, last[0], model.logits(model.norm(last[:, -1:]))[0, 0], (*read_before, token))


def read(model: Thinking, tokens: Sequence[int], state: State) -> State:
    """The state of a copy that reads a plan. Raises BadData when it leaves the numbers."""
    after = model.hidden(ids(model, tokens), state)[1]
    if not all(bool(matrix.isfinite().all()) for layer in after.layers for matrix in matrices_of(layer).values()):
        raise BadData("a state that has read a plan is not finite", expected="a model whose states are finite")
    return after


def ids(model: Thinking, tokens: Sequence[int]) -> Int[Tensor, "1 T"]:
    """Tokens as the model takes them."""
    return torch.tensor([list(tokens)], dtype=torch.long, device=next(model.parameters()).device)


def told(planned: Planned) -> dict[str, Any]:
    """What a record tells of a plan, and of the search behind it if there was one."""
    fields: dict[str, Any] = {"tokens": list(planned.tokens), "confidence": list(planned.confidence)}
    found = planned.search
    if found is None:
        return fields
    tree, visits = found.tree, found.visits[0]
    order = visits.argsort(descending=True, stable=True)[:SHOWN]
    order = order[visits[order] > 0]
    depths = [0]
    for parent in tree.parent[0, 1 : int(tree.used[0])].tolist():
        depths.append(depths[parent] + 1)  # a node comes after its parent
    return fields | {
        "simulations": int(found.simulations[0]),
        "nodes": len(depths),
        "depth": max(depths),
        "value": float(found.value[0]),
        "actions": order.tolist(),
        "visits": visits[order].tolist(),
        "values": tree.q[0, 0, order].tolist(),
        "priors": tree.prior[0, 0, order].tolist(),
    }
