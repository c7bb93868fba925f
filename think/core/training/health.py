"""How the recurrent state is doing, read on the very network that trains, from the states it has just handed over.

For a layer and branch with matrices S [B, H, R, C] and singular values s_i of one head:

    norm            root mean square of the entries
    largest         largest absolute entry
    participation   (sum s_i^2)^2 / sum s_i^4: how many directions carry the state, 1 to min(R, C); no SVD needed, it is
                    tr(G)^2 / tr(G^2) of the Gram matrix G
    rank, entropy   exp(H) and H of p_i = s_i / sum s, in nats
    cosine          between the state that entered the step and the one that left it, mean over streams and heads;
                    1 means that a whole step changed nothing

For the activations h [N, D] before the logits:

    hidden_entropy  -sum_d q_d log q_d of q_d = |h_d| / sum |h|, mean over tokens, nats; ln D when every channel speaks

For the pre-activations g of the gates (RWKV-6 output gate, Mamba-2 gate, gated fusion):

    saturated       share with |g| > `saturation`, where the gate is open or shut and passes no gradient

B batch  H heads  R rows  C columns  N tokens  D width
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from think.core.models.fusion import Gated
from think.core.models.mixers.mamba2 import Mamba2
from think.core.models.mixers.rwkv6 import Rwkv6
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.processes import ALONE, Group
from think.core.training.cadence import RecordSettings
from think.presets.base import knob

_ROWS = 256
"Rows of logits that are looked at at a time."

_TINY = 1e-12
"Keeps an empty state from dividing by zero; far below the square of any entry that matters."


class TelemetrySettings(RecordSettings):
    """How often a run writes what about a language model; every step while detail is raised."""

    health_every: PositiveInt | None = knob(50, acts_on="cadence", may_change_on_resume=True)
    "steps from one record of state health to the next; none when absent"
    saturation: PositiveFloat = knob(5.0, acts_on="cadence", may_change_on_resume=True)
    "absolute pre-activation beyond which a gate counts as saturated; 5 is a sigmoid of 0.993"

    @property
    def looks_every(self) -> int | None:
        return self.health_every


@dataclass(frozen=True)
class Health:
    """State of one layer and branch; see the module."""

    layer: int
    branch: str
    norm: float
    largest: float
    participation: float
    rank: float
    entropy: float
    cosine: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Predictions:
    """What the logits of a step look like: mean top-1 probability, distinct predictions over distinct targets, nats."""

    top_probability: float
    distinct_share: float
    logit_entropy: float
    hidden_entropy: float


@torch.no_grad()
def state_health(before: State, after: State) -> Iterator[Health]:
    """Health of every recurrent matrix; `before` entered the step, `after` left it."""
    entered = {(layer, branch): matrix for layer, branch, matrix in before.matrices()}
    for layer, branch, matrix in after.matrices():
        yield _health(layer, branch, entered[layer, branch].detach().float(), matrix.detach().float())


@torch.no_grad()
def predictions(
    logits_of: Callable[[Tensor], Tensor],
    hidden: Float[Tensor, "N D"],
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
) -> Predictions:
    """Figures for the scored tokens (weight above zero); NaN where none is.

    logits_of: hidden [R, D] -> logits [R, V]; it is asked for a few rows at a time.
    """
    scored = weights > 0
    tops, guesses, entropies = [], [], []
    for rows in hidden[scored].split(_ROWS):
        log_probability = torch.log_softmax(logits_of(rows).float(), dim=-1)
        top, guess = log_probability.max(dim=-1)
        tops.append(top.exp())
        guesses.append(guess)
        entropies.append(-(log_probability.exp() * log_probability).sum(-1))
    distinct = torch.cat(guesses).unique().numel() / max(targets[scored].unique().numel(), 1)
    return Predictions(
        top_probability=float(torch.cat(tops).mean()),
        distinct_share=float(distinct),
        logit_entropy=float(torch.cat(entropies).mean()),
        hidden_entropy=float(_entropy(hidden[scored].float().abs()).mean()),
    )


class Gates:
    """Listens to the gates of a model inside the `with`; `shares` gives the saturated share by (layer, branch).

    listens: whether to listen at all. Under torch.compile nobody should: a hook would make it compile another graph.
    """

    def __init__(self, model: Thinking, saturation: float, *, listens: bool = True):
        self._blocks = list(model.blocks) if listens else []
        self._saturation = saturation
        self._counts: dict[tuple[int, str], list[int]] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> "Gates":
        for layer, block in enumerate(self._blocks):
            for module in block.modules():
                if isinstance(module, Rwkv6):
                    self._listen(module.gate, layer, "rwkv", lambda _, out: out)
                elif isinstance(module, Mamba2):
                    self._listen(module.project, layer, "mamba", _first(module.inner))
                elif isinstance(module, Gated):
                    self._listen(module, layer, "fusion", _logits_of(module))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def shares(self, group: Group = ALONE) -> dict[tuple[int, str], float]:
        """Saturated share by (layer, branch), over the rows of all processes."""
        counts = group.sum(torch.tensor(list(self._counts.values()), dtype=torch.int64)).tolist()
        return {place: beyond / total for place, (beyond, total) in zip(self._counts, counts, strict=True)}

    def _listen(self, module: nn.Module, layer: int, branch: str, gate_of: Callable[[Any, Any], Tensor]) -> None:
        @torch.no_grad()
        def hear(_: nn.Module, taken: Any, out: Any) -> None:
            gate = gate_of(taken, out)
            counts = self._counts.setdefault((layer, branch), [0, 0])
            counts[0] += int((gate.abs() > self._saturation).sum())
            counts[1] += gate.numel()

        self._handles.append(module.register_forward_hook(hear))


def _logits_of(fusion: Gated) -> Callable[[Any, Any], Tensor]:
    return lambda taken, _: fusion.logits(*taken[:2])


def _first(width: int) -> Callable[[Any, Any], Tensor]:
    return lambda _, out: out[..., :width]


def _health(layer: int, branch: str, old: Tensor, new: Tensor) -> Health:
    flat_old, flat_new = (rearrange(state, "B H R C -> (B H) (R C)") for state in (old, new))
    rows, columns = new.shape[-2:]
    gram = new @ new.mT if rows <= columns else new.mT @ new
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    spectrum = torch.linalg.eigvalsh(gram.double()).clamp(min=0).sqrt()
    entropy = _entropy(spectrum)
    return Health(
        layer=layer,
        branch=branch,
        norm=float(new.square().mean().sqrt()),
        largest=float(new.abs().max()),
        participation=float((trace.square() / gram.square().sum((-2, -1)).clamp(min=_TINY)).mean()),
        rank=float(entropy.exp().mean()),
        entropy=float(entropy.mean()),
        cosine=float(torch.cosine_similarity(flat_old, flat_new, dim=-1).mean()),
    )


def _entropy(magnitudes: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
    share = magnitudes / magnitudes.sum(-1, keepdim=True).clamp(min=_TINY)
    return -torch.special.xlogy(share, share).sum(-1)
