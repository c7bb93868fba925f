"""Whether the recurrent states of a trained model live, on held-out text, for each layer and branch.

The streams are stretches of held-out text read without resets, so that a state is met that grew for as long as the text
runs. States are those that the model hands over (`State.matrices`), as the recurrence left them, before a StateNorm
that is due. For a layer and branch with matrices S [B, H, R, C] and singular values s_i of one head:

    cosine          between S_t and S_{t+1} flattened, mean over tokens, streams and heads: 1 is frozen, 0 forgets all
    participation   (sum s_i^2)^2 / sum s_i^4 over min(R, C), mean over streams and heads: 1 / min(R, C) is a state that
                    has collapsed to one direction, 1 uses all alike
    saturated       share of entries beyond `LARGE` in absolute value
    norms           root mean square of the entries after each of `LENGTHS` tokens

and for the model:

    response        |difference of logits| / |logits| at token `LATE` when the first token of the stream is another one
    deterministic   whether the same text gives the same bytes twice

B streams  H heads  R rows  C columns
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from think.core.data.store import Split
from think.core.data.tokenizer import CONTROL
from think.core.errors import BadData
from think.core.models.state import State
from think.core.models.thinking import Thinking

LENGTHS = (64, 512, 4096)
"Tokens after which the size of the states is looked at."
LATE = 255
"Token at which an effect of the first one is looked for."
STEPS = 64
"Tokens read one at a time for the cosine, after the second of LENGTHS."
LARGE = 5.0
"Absolute entry of a state that counts as saturated."
STREAMS = 8

_TINY = 1e-24


@dataclass(frozen=True)
class BranchHealth:
    """Figures of one layer and branch; see the module. norms: one for each of the lengths that were read."""

    layer: int
    branch: str
    cosine: float
    participation: float
    saturated: float
    norms: tuple[float, ...]


@dataclass(frozen=True)
class Examination:
    """What was found, and on how much text.

    lengths   those of LENGTHS that the held-out text was long enough for
    """

    branches: tuple[BranchHealth, ...]
    response: float
    deterministic: bool
    streams: int
    lengths: tuple[int, ...]
    not_finite: int

    @property
    def tokens(self) -> int:
        """Tokens read in all streams together, the longest length."""
        return self.streams * self.lengths[-1]


def streams_of(split: Split, streams: int = STREAMS) -> Int[Tensor, "B T"]:
    """Equally spaced stretches of held-out text, as long as the longest of LENGTHS that fits.

    Raises BadData when even the second of LENGTHS and the steps after it do not fit into a stretch of its own.
    """
    least = LENGTHS[1] + STEPS
    room = split.tokens // streams
    if room < least:
        raise BadData(
            f"{split.tokens:,} held-out tokens are too few to look at states",
            expected=f"{streams * least:,}: {streams} stretches of {least:,} tokens",
            remedy="hold more text out: a larger data.validation, or more text",
        )
    length = max(least, max(length for length in LENGTHS if length <= room))
    starts = [place * (split.tokens - length) // max(streams - 1, 1) for place in range(streams)]
    return torch.stack([torch.from_numpy(split.read(start, start + length)) for start in starts])


@torch.no_grad()
def examine(model: Thinking, tokens: Int[Tensor, "B T"]) -> Examination:
    """Look at the states that `model` builds up on `tokens`; leaves the mode of the model as it was.

    T is at least LENGTHS[1] + STEPS; `streams_of` gives such streams.
    """
    was_training = model.training
    model.eval()
    tokens = tokens.to(next(model.parameters()).device)
    lengths = tuple(length for length in LENGTHS if length <= tokens.shape[1])
    states: list[State] = []
    state, read, bad = model.initial_state(tokens.shape[0]), 0, 0
    for length in lengths:
        hidden, state = model.hidden(tokens[:, read:length], state)
        bad += int((~torch.isfinite(hidden)).sum())
        states.append(state)
        read = length
    bad += sum(int((~torch.isfinite(matrix)).sum()) for _, _, matrix in state.matrices())
    cosines = _cosines(model, tokens, states[lengths.index(LENGTHS[1])])
    found = Examination(
        branches=tuple(_branches(states, lengths, cosines)),
        response=_response(model, tokens),
        deterministic=_deterministic(model, tokens),
        streams=tokens.shape[0],
        lengths=lengths,
        not_finite=bad,
    )
    model.train(was_training)
    return found


def _branches(
    states: list[State], lengths: tuple[int, ...], cosines: dict[tuple[int, str], float]
) -> list[BranchHealth]:
    grown = [{(layer, branch): matrix.float() for layer, branch, matrix in state.matrices()} for state in states]
    middle = grown[lengths.index(LENGTHS[1])]
    return [
        BranchHealth(
            layer=layer,
            branch=branch,
            cosine=cosines[layer, branch],
            participation=participation(matrix),
            saturated=float((matrix.abs() > LARGE).float().mean()),
            norms=tuple(float(at[layer, branch].square().mean().sqrt()) for at in grown),
        )
        for (layer, branch), matrix in middle.items()
    ]


def participation(matrix: Float[Tensor, "B H R C"]) -> float:
    """(sum s^2)^2 / sum s^4 over min(R, C), mean over streams and heads; no singular values are needed for it.

    With the Gram matrix G this is tr(G)^2 / tr(G^2). An empty state counts as 0.
    """
    rows, columns = matrix.shape[-2:]
    matrix = matrix.double()
    gram = matrix @ matrix.mT if rows <= columns else matrix.mT @ matrix
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    directions = trace.square() / gram.square().sum((-2, -1)).clamp(min=_TINY)
    return float(directions.mean()) / min(rows, columns)


def _cosines(model: Thinking, tokens: Int[Tensor, "B T"], state: State) -> dict[tuple[int, str], float]:
    """Mean cosine of consecutive states over STEPS tokens, read one at a time."""
    total: dict[tuple[int, str], float] = {}
    for token in tokens[:, state.position : state.position + STEPS].unbind(1):
        before = {(layer, branch): matrix for layer, branch, matrix in state.matrices()}
        _, state = model.step(token, state)
        for layer, branch, matrix in state.matrices():
            old, new = (rearrange(S.double(), "B H R C -> (B H) (R C)") for S in (before[layer, branch], matrix))
            cosine = float(torch.cosine_similarity(old, new, dim=-1).mean())
            total[layer, branch] = total.get((layer, branch), 0.0) + cosine / STEPS
    return total


def _response(model: Thinking, tokens: Int[Tensor, "B T"]) -> float:
    """Relative change of the logits at LATE when the first token is another ordinary one, mean over streams."""
    text = tokens[:, : LATE + 1]
    ordinary = model.settings.vocabulary - len(CONTROL)
    other = text.clone()
    other[:, 0] = len(CONTROL) + (other[:, 0] - len(CONTROL) + 1) % max(ordinary, 1)
    logits = [model.logits(model.hidden(each)[0][:, -1]).double() for each in (text, other)]
    change = torch.linalg.vector_norm(logits[1] - logits[0], dim=-1) / torch.linalg.vector_norm(logits[0], dim=-1)
    return float(change.mean())


def _deterministic(model: Thinking, tokens: Int[Tensor, "B T"]) -> bool:
    first, second = (model(tokens[:, : LENGTHS[0]])[0] for _ in range(2))
    return bool(torch.equal(first, second))
