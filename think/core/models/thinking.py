"""The model: token embedding, a stack of residual blocks, a norm, and logits.

    x <- x + gamma_1 (.) mixer(RMSNorm(x))
    x <- x + gamma_2 (.) feed_forward(RMSNorm(x))

B batch  T time  D width  V vocabulary
"""

import math
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from think.core import plugins
from think.core.errors import BadSettings
from think.core.models.feed_forward import FeedForwardSettings, build_feed_forward
from think.core.models.layers import RMSNorm
from think.core.models.mixers import MixerModule, attention
from think.core.models.roles import Component, Role, components, roles
from think.core.models.state import LayerState, State, even, scope, under
from think.kernels.cross_entropy import cross_entropy
from think.kernels.decode import Operand, Program
from think.kernels.scaled_sum import scaled_sum
from think.presets.base import Settings as Base
from think.presets.base import knob

MIXERS = "think.core.models.mixers"

EMBEDDING_DEVIATION = 0.02
"Small enough that the first logits, which reuse the table, are close to uniform."

MOST_LAYERS = 1024
"Far beyond any model that is of use; a slip of the finger above it would build modules for hours."

PLAIN_BRANCHES = 0.2
"Root mean square of the sum of all residual branches at the start, when no gamma scales them."


if TYPE_CHECKING:
    from think.core.models.mixers import MixerSettings
else:
    # the folder is the registry: the union holds whatever mixers there are
    _KINDS = [plugins.load(MIXERS, name).Settings for name in plugins.names(MIXERS)]
    MixerSettings = Annotated[reduce(or_, _KINDS), Field(discriminator="kind")]


class EverySettings(Base):
    """An attention block in place of each `period`-th block."""

    kind: Literal["every"] = "every"
    period: PositiveInt = knob(acts_on="graph")
    "blocks from one attention block to the next; the last of each period is attention"


class AtSettings(Base):
    """Attention blocks at given places."""

    kind: Literal["at"] = "at"
    layers: list[NonNegativeInt] = knob(acts_on="graph")
    "indices of the attention blocks, 0 is the first block"


class AnchorSettings(Base):
    """Attention blocks among recurrent ones: exact recall at a few places."""

    where: Annotated[EverySettings | AtSettings, Field(discriminator="kind")]
    "which blocks are attention"
    attention: attention.Sizes
    "sizes of each of them"

    def layers(self, count: int) -> set[int]:
        """Indices of the attention blocks among `count`."""
        match self.where:
            case EverySettings(period=period):
                return set(range(period - 1, count, period))
            case AtSettings(layers=layers):
                return set(layers)


class Settings(Base):
    """A language model."""

    vocabulary: PositiveInt = knob(acts_on="graph")
    "token ids that the model knows; at least as many as its tokenizer has"
    width: PositiveInt = knob(acts_on="graph")
    "channels of the residual stream"
    layers: Annotated[int, Field(gt=0, le=MOST_LAYERS)] = knob(acts_on="graph")
    "residual blocks"
    mixer: MixerSettings
    "what lets a token see the ones before it"
    feed_forward: FeedForwardSettings
    "what each token does by itself"
    anchors: AnchorSettings | None = None
    "attention blocks among recurrent ones; none when absent"
    gamma: PositiveFloat | None = knob(0.01, acts_on="graph")
    "start value of the trained residual scale, one for each channel; plain residuals when absent"
    tied: bool = knob(True, acts_on="graph")
    "use the embedding table for the logits too"
    logit_cap: PositiveFloat | None = knob(None, acts_on="graph")
    "soft bound on logits: cap * tanh(logit / cap); unbounded when absent"

    @model_validator(mode="after")
    def _fits(self) -> "Settings":
        self.mixer.check(self.width)
        if self.anchors is not None:
            self.anchors.attention.check(self.width)
            outside = sorted(i for i in self.anchors.layers(self.layers) if i >= self.layers)
            if outside:
                raise ValueError(f"anchors.where.layers = {outside} lie outside a model of {self.layers} layers")
        return self


class Scale(nn.Module):
    """A trained gain for each channel of a residual branch."""

    ROLES: ClassVar[dict[str, Role]] = {"weight": "vector"}

    def __init__(self, width: int, start: float):
        super().__init__()
        self.implementation = "auto"
        self.weight = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Float[Tensor, "B T D"], branch: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return scaled_sum(x, branch, self.weight, implementation=self.implementation)

    def lower(self, program: Program, x: Operand, branch: Operand) -> None:
        program.apply("addcmul", x, branch, program.vector(self.weight), out=x)


class Plain(nn.Module):
    """An unscaled residual."""

    def forward(self, x: Float[Tensor, "B T D"], branch: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return x + branch

    def lower(self, program: Program, x: Operand, branch: Operand) -> None:
        program.apply("add", x, branch, out=x)


class Block(nn.Module):
    """A mixer and a feed-forward part, each on its own norm, each added to the residual stream."""

    def __init__(self, settings: Settings, mixer: MixerModule, output_scale: float):
        super().__init__()
        self.mixer_norm = RMSNorm(settings.width)
        self.mixer = mixer
        self.feed_forward_norm = RMSNorm(settings.width)
        self.feed_forward = build_feed_forward(settings.feed_forward, settings.width, output_scale)
        self.add_mixer = Plain() if settings.gamma is None else Scale(settings.width, settings.gamma)
        self.add_feed_forward = Plain() if settings.gamma is None else Scale(settings.width, settings.gamma)

    @property
    def is_compiled(self) -> bool:
        """Whether calls go through torch.compile."""
        return self._compiled_call_impl is not None

    def initial_state(self, batch: int) -> LayerState:
        return {
            **under("mixer", self.mixer.initial_state(batch)),
            **under("feed_forward", self.feed_forward.initial_state(batch)),
        }

    def normalise(self, state: LayerState) -> LayerState:
        return {**state, **under("mixer", self.mixer.normalise(scope(state, "mixer")))}

    def forward(
        self, x: Float[Tensor, "B T D"], state: LayerState, reset: Bool[Tensor, "B T"] | None
    ) -> tuple[Float[Tensor, "B T D"], LayerState]:
        mixed, mixer_state = self.mixer(self.mixer_norm(x), scope(state, "mixer"), reset)
        x = self.add_mixer(x, mixed)
        fed, feed_state = self.feed_forward(self.feed_forward_norm(x), scope(state, "feed_forward"), reset)
        return self.add_feed_forward(x, fed), {**under("mixer", mixer_state), **under("feed_forward", feed_state)}

    def lower(self, program: Program, x: Operand) -> None:
        """The same for one token, in place."""
        with program.temporaries(), program.under("mixer"):
            self.add_mixer.lower(program, x, self.mixer.lower(program, self.mixer_norm.lower(program, x)))
        with program.temporaries(), program.under("feed_forward"):
            normed = self.feed_forward_norm.lower(program, x)
            self.add_feed_forward.lower(program, x, self.feed_forward.lower(program, normed))


class Embedding(nn.Embedding):
    COMPONENT: Component = "embedding"
    ROLES: ClassVar[dict[str, Role]] = {"weight": "embedding"}


class Head(nn.Linear):
    COMPONENT: Component = "embedding"
    ROLES: ClassVar[dict[str, Role]] = {"weight": "embedding"}


class Thinking(nn.Module):
    """A recurrent language model; one function, whether it is fed whole texts, chunks or single tokens."""

    def __init__(self, settings: Settings):
        super().__init__()
        width = settings.width
        self.settings, self.implementation = settings, "auto"
        self.embedding = Embedding(settings.vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_DEVIATION)
        output_scale = 1.0 if settings.gamma is not None else PLAIN_BRANCHES / math.sqrt(2 * settings.layers)
        anchors = settings.anchors.layers(settings.layers) if settings.anchors else set()
        build_mixer = plugins.load(MIXERS, settings.mixer.kind).build  # type: ignore[attr-defined]
        blocks: list[Block] = []
        for index in range(settings.layers):
            if index in anchors and settings.anchors is not None:
                mixer: MixerModule = attention.Attention(settings.anchors.attention, width, output_scale)
            else:
                mixer = build_mixer(settings.mixer, width, output_scale)
            blocks.append(Block(settings, mixer, output_scale))
        self.blocks = nn.ModuleList(blocks)
        self.norm = RMSNorm(width)
        self.head = Head(width, settings.vocabulary, bias=False)
        if settings.tied:
            self.head.weight = self.embedding.weight
        else:
            nn.init.normal_(self.head.weight, std=EMBEDDING_DEVIATION)
        self.norm_period: int | None = next((b.mixer.norm_period for b in blocks if b.mixer.norm_period), None)

    def initial_state(self, batch: int) -> State:
        """What `batch` streams start from: the trained h0, empty windows, empty caches."""
        return State(0, tuple(block.initial_state(batch) for block in self._stack()))

    def forward(
        self, tokens: Int[Tensor, "B T"], state: State | None = None, reset: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T V"], State]:
        """Logits for the token after each of `tokens`, and the state to hand to the next call.

        reset[b, t]: token t begins a new document; nothing before it is seen, and the state before it is h0.
        """
        hidden, state = self.hidden(tokens, state, reset)
        return self.logits(hidden), state

    def hidden(
        self, tokens: Int[Tensor, "B T"], state: State | None = None, reset: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """The normed residual stream before the logits, and the next state; arguments as in `forward`."""
        parts: list[Tensor] = []
        state = self._pieces(tokens, state, reset, parts, every_layer=False)
        return self.norm(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)), state

    def residuals(
        self, tokens: Int[Tensor, "B T"], state: State | None = None, reset: Bool[Tensor, "B T"] | None = None
    ) -> tuple[Float[Tensor, "B T L D"], State]:
        """The residual stream after each block, the last one before the norm, and the next state; as `forward`.

        `norm` of the last layer is what `hidden` gives.
        """
        parts: list[Tensor] = []
        state = self._pieces(tokens, state, reset, parts, every_layer=True)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1), state

    def logits(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B T V"]:
        """Scores of every token id, softly bounded when the settings say so."""
        logits = self.head(hidden)
        cap = self.settings.logit_cap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def cross_entropy(
        self,
        hidden: Float[Tensor, "B T D"],
        targets: Int[Tensor, "B T"],
        weights: Float[Tensor, "B T"],
        entropy_bonus: float = 0.0,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "N"], Float[Tensor, "N"]]:
        """Weighted loss of all tokens, and each one's loss and entropy in nats, without ever holding all logits.

        hidden: what `hidden` gave; the rest as in think.kernels.cross_entropy.
        """
        return cross_entropy(
            hidden.flatten(0, 1),
            self.head.weight,
            targets.flatten(),
            weights.flatten(),
            entropy_bonus=entropy_bonus,
            cap=self.settings.logit_cap,
            implementation=self.implementation,
        )

    def step(self, token: Int[Tensor, "B"], state: State) -> tuple[Float[Tensor, "B V"], State]:
        """One token for each stream: `forward` with T = 1."""
        logits, state = self(token.unsqueeze(1), state)
        return logits.squeeze(1), state

    def lower(self, program: Program) -> None:
        """Append all that `step` does, but for StateNorm, to a decoding program; see models/decode.py."""
        width, vocabulary = self.settings.width, self.settings.vocabulary
        program.vocabulary = vocabulary
        table = program.matrix(self.head.weight)
        given = table if self.settings.tied else program.matrix(self.embedding.weight)
        x = program.apply("embed", given, width=width, sizes=(vocabulary, width))
        for index, block in enumerate(self._stack()):
            with program.under(f"layers.{index}"):
                block.lower(program, x)
        logits = Operand("logits", 0, vocabulary)
        program.apply("linear", self.norm.lower(program, x), table, out=logits, sizes=(vocabulary, width))
        if self.settings.logit_cap is not None:
            program.apply("cap", logits, out=logits, constant=self.settings.logit_cap)

    def use_kernels(self, implementation: str) -> None:
        """Run every operator by the named implementation, or by the best one here ("auto")."""
        for module in self.modules():
            if hasattr(module, "implementation"):
                module.implementation = implementation  # type: ignore[assignment]

    def roles(self) -> dict[str, Role]:
        """What each parameter is, for the optimizer; every parameter exactly once."""
        return roles(self)

    def components(self) -> dict[str, Component]:
        """Which part of the design each parameter belongs to, for gradient shares."""
        return components(self)

    def _stack(self) -> Iterator["Block"]:
        return iter(cast("Iterable[Block]", self.blocks))

    def _tokens_to_norm(self, position: int, tokens: int) -> int:
        return tokens if self.norm_period is None else self.norm_period - position % self.norm_period

    def _normalised_if_due(self, state: State) -> State:
        if self.norm_period is None or state.position == 0 or state.position % self.norm_period:
            return state
        layers = tuple(block.normalise(layer) for block, layer in zip(self._stack(), state.layers, strict=True))
        return State(state.position, layers)

    def _pieces(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None,
        reset: Bool[Tensor, "B T"] | None,
        parts: list[Tensor],
        *,
        every_layer: bool,
    ) -> State:
        """Run the blocks over the pieces between two StateNorms, and append what they give for each piece."""
        state = self.initial_state(tokens.shape[0]) if state is None else state
        start = 0
        while start < tokens.shape[1]:
            state = self._normalised_if_due(state)
            stop = min(tokens.shape[1], start + self._tokens_to_norm(state.position, tokens.shape[1]))
            begins = None if reset is None else reset[:, start:stop].contiguous()
            part, state = self._blocks(tokens[:, start:stop], state, begins, every_layer=every_layer)
            parts.append(part)
            start = stop
        return state

    def _blocks(
        self, tokens: Int[Tensor, "B T"], state: State, reset: Bool[Tensor, "B T"] | None, *, every_layer: bool
    ) -> tuple[Float[Tensor, "B T ..."], State]:
        """The last residuals [B, T, D], or those of every layer [B, T, L, D]."""
        x = self.embedding(tokens)
        residuals, layers = [], []
        for block, before in zip(self._stack(), state.layers, strict=True):
            x, after = block(x, even(before) if block.is_compiled else before, reset)
            layers.append(after)
            if every_layer:
                residuals.append(x)
        return torch.stack(residuals, dim=2) if every_layer else x, State(
            state.position + tokens.shape[1], tuple(layers)
        )


def build(settings: Settings) -> Thinking:
    """A fresh model; draws its start values from torch's global generator, honours `torch.device("meta")`.

    Raises BadSettings when a tensor of it could not even be addressed.
    """
    try:
        return Thinking(settings)
    except (RuntimeError, TypeError, OverflowError) as error:  # torch has no kind of its own for this
        first = str(error).partition("\n")[0]
        if "overflow" not in first.lower() and "too large" not in first.lower():
            raise
        raise BadSettings(
            f"the model has tensors beyond all bounds: {first}",
            where="model",
            expected="sizes of which every tensor has fewer than 2^63 bytes",
            remedy="lower the sizes in [model]",
        ) from None
