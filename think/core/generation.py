"""Text from a model, token by token, in memory that does not grow with the text.

    opened = Opened(model)                        an open text: what the model carries, and its guess for the next token
    opened.read([BOS, *tokenizer.encode("Once")])             the prompt, in one pass
    for token in opened.write(Limits(200), generator): ...    one step of the model a token
    for piece in pieces(tokenizer, tokens): ...               tokens as text that is whole at every moment

Control tokens end a text (the writer of a dialogue opens the next turn); `pad` and `unk` are never drawn.

B batch (1 here)  V vocabulary
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from think.core.data.tokenizer import ASSISTANT, BOS, ENDOFTURN, EOS, PAD, SYSTEM, UNK, USER
from think.core.errors import BadData, UsageError
from think.core.models.mixers.attention import Attention
from think.core.models.state import State
from think.core.models.thinking import Thinking

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

    state    what the model carries after the last token; hand it to another `Opened` to go on there
    tokens   read and written since the start of the stream
    ended    why the last `write` ended
    """

    def __init__(self, model: Thinking, state: State | None = None, allowed: int | None = None):
        """allowed: size of the tokenizer; ids from there on, which a model may have to spare, are never drawn."""
        self.model = model
        self.state = state if state is not None else model.initial_state(1)
        self.ended: Ended = "not yet"
        self._logits: Float[Tensor, "V"] | None = None
        vocabulary = model.settings.vocabulary
        self._barred = torch.zeros(vocabulary, dtype=torch.bool)
        self._barred[list(NEVER)] = True
        self._barred[vocabulary if allowed is None else allowed :] = True
        self._context = full_context(model)

    @property
    def tokens(self) -> int:
        return self.state.position

    @property
    def room(self) -> int | None:
        """Tokens that still fit before full attention would have to forget; None without such a bound."""
        return None if self._context is None else max(0, self._context - self.tokens)

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
            self._logits, self.state = self.model.logits(hidden[:, -1:])[0, 0], state

    def write(self, limits: Limits, generator: torch.Generator | None = None) -> Iterator[int]:
        """Draw tokens and take each in before giving it out; a control token ends the text, neither taken nor given.

        generator: CPU generator of the draws; None at temperature 0 or where no repetition is wanted.
        Raises BadData when the model's scores are not finite.
        """
        if self._logits is None:
            raise UsageError("there is nothing to go on from", expected="at least one token read first")
        self.ended = "not yet"
        for _ in range(limits.tokens):
            if self.room == 0:
                self.ended = "context"
                return
            token = choose(self._logits, limits, self._barred, generator)
            if token in STOPS:
                self.ended = "stop"
                return
            with torch.no_grad():
                logits, state = self.model.step(torch.tensor([token], device=self._logits.device), self.state)
            self._logits, self.state = logits[0], state
            yield token
        self.ended = "tokens"


def choose(
    logits: Float[Tensor, "V"],
    limits: Limits,
    barred: Tensor,
    generator: torch.Generator | None = None,
) -> int:
    """One token id by temperature and top-p; ties go to the lower id. Raises BadData when a score is NaN or infinite.

    barred: bool [V], ids that are never taken.
    """
    scores = logits.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(scores).all()):
        raise BadData(
            "the model's scores are not finite", expected="finite logits", remedy="use an earlier checkpoint of the run"
        )
    scores = scores.masked_fill(barred, float("-inf"))
    if limits.temperature == 0:
        return int(scores.argmax())
    shares = ((scores - scores.max()) / limits.temperature).softmax(dim=0)
    ordered, ids = shares.sort(descending=True, stable=True)
    before = ordered.cumsum(dim=0) - ordered
    # The likeliest token always stays: nothing comes before it.
    kept = ordered.masked_fill(before >= limits.top_p, 0.0)
    return int(ids[torch.multinomial(kept, 1, generator=generator)])


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
