"""Transport: what a change of the recurrent matrices at one token has become some tokens later.

A mixer is linear in its recurrent matrix once the inputs of its layer are given: S_t = A_t S_{t-1} + W_t, and neither
A_t nor W_t depends on S. So a change D of the matrix k tokens ago is now

    (A_k ... A_1) D = f(x_1..k, D) - f(x_1..k, 0)

where f gives the matrix that one call of the mixer leaves. That is exact for every recurrence of this form, whatever
its decays are, and needs no second formula for any of them. What enters f beside the matrix (convolution window, token
shift) is what was there k tokens ago, the same on both sides.

A decoder can keep the products of the decays as it goes; then the change is multiplied by them, which costs next to
nothing where text is written.

StateNorm is not linear: nothing is carried over a token at which it acts.

B batch  K tokens  D width
"""

from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from think.core.models.mixers import MixerModule
from think.core.models.state import LayerState, State, scope, under
from think.core.models.thinking import Block, Thinking
from think.core.planning.injection import matrices_of

Change = tuple[LayerState, ...]
"A change of the recurrent matrices, layer by layer, under their names in the state; empty in a layer without any."


def change(after: State, before: State) -> Change:
    """What to add to the matrices of `before` to have those of `after`."""
    return tuple(
        {name: matrix - old[name] for name, matrix in matrices_of(new).items()}
        for new, old in zip(after.layers, before.layers, strict=True)
    )


def changed(state: State, by: Change) -> State:
    """The state with a change added to its matrices; what is no matrix stays the very tensor."""
    return State(
        state.position,
        tuple(
            {**layer, **{name: layer[name] + part for name, part in more.items()}}
            for layer, more in zip(state.layers, by, strict=True)
        ),
    )


def crosses_norm(model: Thinking, start: int, stop: int) -> bool:
    """Whether StateNorm acts while a stream that stands at `start` reads on up to `stop`."""
    period = model.norm_period
    if period is None:
        return False
    first = max(1, -(-start // period)) * period  # it acts before the token at a multiple of the period, but for 0
    return first < stop


def transported(mixer: MixerModule, inputs: Float[Tensor, "B K D"], state: LayerState, by: LayerState) -> LayerState:
    """A change of a mixer's matrices, after the mixer has read `inputs`.

    state, by: in the mixer's own names, as they were before the first of `inputs`.
    """
    if not by:
        return {}
    zeros = {name: torch.zeros_like(part) for name, part in by.items()}
    both = {
        name: torch.cat([by[name], zeros[name]]) if name in by else torch.cat([tensor, tensor])
        for name, tensor in state.items()
    }
    _, after = mixer(torch.cat([inputs, inputs]), both, None)
    batch = inputs.shape[0]
    return {name: after[name][:batch] - after[name][batch:] for name in by}


def decayed(by: Change, decays: Mapping[str, Tensor]) -> Change:
    """The same by the products of the decays between, where a decoder has kept them.

    decays: for each matrix, by its flat name in the state, what it is multiplied by, without the batch
    """
    return tuple(
        {name: part * decays[f"layers.{index}.{name}"] for name, part in layer.items()}
        for index, layer in enumerate(by)
    )


@torch.no_grad()
def carry(model: Thinking, state: State, tokens: Int[Tensor, "B K"], by: Change) -> tuple[Change, State]:
    """A change of `state`, after the unchanged stream has read `tokens`; and the state of that stream.

    Raises ValueError when StateNorm acts on the way.
    """
    stop = state.position + tokens.shape[1]
    if crosses_norm(model, state.position, stop):
        raise ValueError(f"StateNorm acts between {state.position} and {stop}: a change is not carried over it")
    x: Tensor = model.embedding(tokens)
    changes, layers = [], []
    for module, before, part in zip(model.blocks, state.layers, by, strict=True):
        block = cast(Block, module)
        inputs = block.mixer_norm(x)
        moved = transported(block.mixer, inputs, scope(before, "mixer"), scope(part, "mixer"))
        changes.append(under("mixer", moved))
        x, after = block(x, before, None)
        layers.append(after)
    return tuple(changes), State(stop, tuple(layers))
