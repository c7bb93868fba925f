"""Text from a model, token by token, in memory that does not grow with the text.

    opened = Opened(model)                        an open text: what the model carries, and its guess for the next token
    opened.read([BOS, *tokenizer.encode("Once")])             the prompt, in one pass
    for token in opened.write(Limits(200), generator): ...    one step of the model a token
    for which, token in write_together(texts, limits, generators): ...    many texts at once, each as if alone
    for token in write_deliberately(text, limits, generator, deliberation): ...      with plans made beside it
    for piece in pieces(tokenizer, tokens): ...               tokens as text that is whole at every moment

Control tokens end a text (the writer of a dialogue opens the next turn); `pad` and `unk` are never drawn.

A text is written by a decoder: native code where the model and the machine have it, else the model's own step.

V vocabulary
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from think.core.data.tokenizer import ASSISTANT, BOS, ENDOFTURN, EOS, PAD, SYSTEM, UNK, USER
from think.core.errors import BadData, UsageError
from think.core.models.decode import Decoder, obstacle
from think.core.models.eager import EagerDecoder, decoder_for, expect_decoder
from think.core.models.mixers.attention import Attention
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.kernels.decode import draw

if TYPE_CHECKING:
    from think.core.planning.deliberate import Deliberation

STOPS = frozenset({BOS, EOS, SYSTEM, USER, ASSISTANT, ENDOFTURN})
"Tokens that end a text: its own end, or the beginning of something else."
NEVER = (PAD, UNK)
"Tokens that mean nothing in a text."

CHUNK = 512
"Prompt tokens read in one pass; a longer prompt takes several, so that its length does not decide the memory."

HELD_TOKENS = 32
"Tokens that may wait for the rest of a character before we look for a place to cut them."

ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}

Ended = Literal["not yet", "stop", "tokens", "context"]


class Codec(Protocol):
    """What is needed of a tokenizer; `core.data.tokenizer.Tokenizer` is one."""

    @property
    def size(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Iterable[int]) -> str: ...


@dataclass(frozen=True)
class Limits:
    """How a text is drawn.

    tokens       the most that are written
    temperature  0 takes the likeliest token each time; 1 draws from the model's own distribution
    top_p        draw only from the fewest tokens whose probabilities reach this sum; 1 draws from all
    """

    tokens: int
    temperature: float = 0.8
    top_p: float = 0.95

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise UsageError(f"cannot write {self.tokens} tokens", expected="1 or more")
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"a temperature of {self.temperature}", expected="0 (always the likeliest token) or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p of {self.top_p}", expected="more than 0 and at most 1")


class Opened:
    """A text that is still being read or written.

    tokens   read and written since the start of the stream
    ended    why the last `write` ended
    """

    def __init__(
        self,
        model: Thinking,
        state: State | None = None,
        allowed: int | None = None,
        decoder: str = "auto",
        *,
        traced: bool = False,
    ):
        """allowed: size of the tokenizer; ids from there on, which a model may have to spare, are never drawn.

        decoder: auto, native or eager; what auto became is told by `decoder` once something was written.
        traced: a native decoder keeps the decays of its recurrences, for deliberation.
        Raises UsageError for another name, MachineCannot when native cannot run here.
        """
        expect_decoder(model, decoder)
        self.model, self.asked, self.traced = model, decoder, traced
        self.ended: Ended = "not yet"
        self._state: State | None = state if state is not None else model.initial_state(1)
        self._decoder: Decoder | EagerDecoder | None = None
        self._row = 0
        self._logits: Float[Tensor, "V"] | None = None
        vocabulary = model.settings.vocabulary
        self._bias = torch.zeros(vocabulary)
        self._bias[list(NEVER)] = float("-inf")
        self._bias[vocabulary if allowed is None else allowed :] = float("-inf")
        self._context = full_context(model)

    @property
    def state(self) -> State:
        """What the model carries after the last token; hand it to another `Opened` to go on there."""
        if self._state is None:
            assert self._decoder is not None
            self._state = self._decoder.state([self._row])
        return self._state

    @property
    def tokens(self) -> int:
        if self._state is not None:
            return self._state.position
        assert self._decoder is not None
        return self._decoder.positions[self._row]

    @property
    def decoder(self) -> str | None:
        """What writes the text, native or eager; None before anything was written."""
        return None if self._decoder is None else self._decoder.implementation

    @property
    def room(self) -> int | None:
        """Tokens that still fit before full attention would have to forget; None without such a bound."""
        return None if self._context is None else max(0, self._context - self.tokens)

    def snapshot(self) -> Callable[[], State]:
        """What `state` is now, to be asked for later, in any thread: cheaper than the state itself."""
        if self._state is None and isinstance(self._decoder, Decoder):
            return self._decoder.snapshot(self._row)
        state = self.state
        return lambda: state

    def change(self, state: State) -> None:
        """Go on from another state at this position; what was foretold for the very next token stays.

        Raises ValueError for a state at another position.
        """
        if state.position != self.tokens:
            raise ValueError(f"a state at position {state.position} for a text at {self.tokens}")
        if self._decoder is not None:
            self._decoder.load(state, [self._row])
        self._state = state

    def mark(self) -> None:
        """Begin anew to count the decays of the recurrences."""
        if isinstance(self._decoder, Decoder):
            self._decoder.mark(self._row)

    def decays(self) -> Float[Tensor, " R"] | None:
        """Their products since the last mark; None where no decoder keeps them."""
        traced = isinstance(self._decoder, Decoder) and self._decoder.traced
        return self._decoder.decays(self._row) if isinstance(self._decoder, Decoder) and traced else None

    def shaped(self, decays: Float[Tensor, " R"]) -> dict[str, Tensor]:
        """Such products by the names of the matrices that they belong to, as `Decoder.shaped`."""
        assert isinstance(self._decoder, Decoder)
        return self._decoder.shaped(decays)

    def likeliest(self, logits: Float[Tensor, "V"]) -> int | None:
        """The token that temperature 0 would draw by these scores; None where it would end the text."""
        token = int((logits.cpu() + self._bias).argmax())
        return None if token in STOPS else token

    def another(self) -> "Opened":
        """A second text that begins with all that this one has."""
        made = Opened(self.model, self.state, decoder=self.asked, traced=self.traced)
        made._bias, made._logits = self._bias, self._logits
        return made

    @torch.no_grad()
    def read(self, tokens: Sequence[int]) -> None:
        """Take tokens in, at least one. Raises BadData when they are more than full attention can see."""
        if self.room is not None and len(tokens) > self.room:
            raise BadData(
                f"a text of {self.tokens + len(tokens)} tokens for a model that sees {self._context}",
                expected=f"at most {self._context} tokens, those to be written included",
                remedy="shorten the prompt, or use a model with sliding attention or without attention",
            )
        device = next(self.model.parameters()).device
        ids = torch.tensor([list(tokens)], dtype=torch.long, device=device)
        for part in ids.split(CHUNK, dim=1):
            hidden, state = self.model.hidden(part, self.state)
            self._logits, self._state = self.model.logits(hidden[:, -1:])[0, 0], state

    def write(self, limits: Limits, generator: torch.Generator | None = None) -> Iterator[int]:
        """Draw tokens and take each in before giving it out; a control token ends the text, neither taken nor given.

        generator: CPU generator of the draws; None at temperature 0 or where no repetition is wanted.
        Raises BadData when the model's scores are not finite.
        """
        return (token for _, token in write_together([self], limits, [generator]))

    def _next(self, limits: Limits, generator: torch.Generator | None) -> int | None:
        """The next token, or None where the text ends."""
        assert self._logits is not None
        if self.room == 0:
            self.ended = "context"
            return None
        token = choose(self._logits, limits, self._bias, generator)
        if token in STOPS:
            self.ended = "stop"
            return None
        return token


def write_together(
    texts: Sequence[Opened], limits: Limits, generators: Sequence[torch.Generator | None]
) -> Iterator[tuple[int, int]]:
    """Write several texts of one model side by side: which text, and its next token; all of a round, then the next.

    Each text gets the tokens that it gets when it is written alone. Arguments and errors as `Opened.write`.
    """
    for text in texts:
        if text._logits is None:
            raise UsageError("there is nothing to go on from", expected="at least one token read first")
        text.ended = "not yet"
    decoder = _seated(texts)
    going = list(range(len(texts)))
    for _ in range(limits.tokens):
        drawn = {which: texts[which]._next(limits, generators[which]) for which in going}
        taken = {which: token for which, token in drawn.items() if token is not None}
        if not taken:
            return
        going = list(taken)
        logits = decoder.step(list(taken.values()), [texts[which]._row for which in going])
        for which, scores in zip(going, logits, strict=True):
            texts[which]._logits, texts[which]._state = scores, None
        yield from taken.items()
    for which in going:
        texts[which].ended = "tokens"


def write_deliberately(
    text: Opened,
    limits: Limits,
    generator: torch.Generator | None,
    deliberation: "Deliberation",
    read: Sequence[int] = (),
) -> Iterator[int]:
    """Write a text with deliberation beside it; arguments and errors as `Opened.write`, and those of the planner.

    The text costs least where it was opened `traced`. read: its tokens so far, for planners that read them themselves.
    """
    deliberation.begin(text, read)
    for token in text.write(limits, generator):
        deliberation.after(text, token)
        yield token
    deliberation.finish()


def _seated(texts: Sequence[Opened]) -> Decoder | EagerDecoder:
    """A decoder with one row for each text, which goes on where the text is; the one they have, if it still fits."""
    first = texts[0]
    decoder = first._decoder
    fits = decoder is not None and decoder.rows == len(texts) and all(text._decoder is decoder for text in texts)
    if isinstance(decoder, Decoder) and obstacle(first.model) is not None:  # a hook may have come since
        fits = False
    if decoder is None or not fits:
        states = [text.state for text in texts]
        decoder = decoder_for(first.model, len(texts), first.asked, traced=first.traced)
        for row, (text, state) in enumerate(zip(texts, states, strict=True)):
            text._decoder, text._row, text._state = decoder, row, state
    if decoder.stale:
        decoder.refresh()
    for text in texts:
        if text._state is not None:
            decoder.load(text._state, [text._row])
    return decoder


def choose(
    logits: Float[Tensor, "V"],
    limits: Limits,
    bias: Float[Tensor, "V"],
    generator: torch.Generator | None = None,
) -> int:
    """One token id by temperature and top-p; ties go to the lower id. Raises BadData when a score is NaN or infinite.

    bias: 0, or -inf for ids that are never taken. The rule is that of think/kernels/decode/draw.py.
    """
    scores = logits.detach().to("cpu", torch.float32)
    token: int | None
    if limits.temperature == 0:
        token = int((scores + bias).argmax()) if bool(torch.isfinite(scores).all()) else None
    else:
        draws = draw.plain if draw.lacking() else draw.native
        chance = float(torch.rand((), generator=generator, dtype=torch.float64))
        token = draws(scores, bias, limits.temperature, limits.top_p, chance)
    if token is None:
        raise BadData(
            "the model's scores are not finite", expected="finite logits", remedy="use an earlier checkpoint of the run"
        )
    return token


def full_context(model: Thinking) -> int | None:
    """Tokens of the longest text that the model's full attention covers; None when nothing bounds it."""
    bounds = [part.context for part in model.modules() if isinstance(part, Attention) and not part.sliding]
    return min(bounds, default=None)


def turn(tokenizer: Codec, role: str, text: str) -> list[int]:
    """A whole turn of a dialogue, as packed chat documents have it: role, text, end of turn."""
    return [ROLES[role], *tokenizer.encode(text), ENDOFTURN]


def pieces(tokenizer: Codec, tokens: Iterable[int]) -> Iterator[str]:
    """Tokens as text, each piece as soon as its characters are whole.

    With byte-level tokens one character may come in several; a half one shows as U+FFFD at the end of what is decoded
    so far, and waits. Bytes that never become a character come out as U+FFFD. The pieces put together are the decoded
    whole.
    """
    waiting: list[int] = []
    given = 0
    for token in tokens:
        waiting.append(token)
        text = tokenizer.decode(waiting)
        whole = text[:-1] if text.endswith("\ufffd") else text
        if len(whole) > given:
            yield whole[given:]
            given = len(whole)
        if len(whole) == len(text):
            waiting, given = [], 0
        elif len(waiting) > HELD_TOKENS:
            cut = _cut(tokenizer, waiting, text)
            front = len(tokenizer.decode(waiting[:cut]))
            if front > given:
                yield text[given:front]
                given = front
            waiting, given = waiting[cut:], given - front
    if rest := tokenizer.decode(waiting)[given:]:
        yield rest


def _cut(tokenizer: Codec, waiting: list[int], text: str) -> int:
    """Tokens at the front that can be let go without changing what the others decode to; 0 when there are none."""
    for cut in range(len(waiting) - 1, 0, -1):
        if tokenizer.decode(waiting[:cut]) + tokenizer.decode(waiting[cut:]) == text:
            return cut
    return 0
