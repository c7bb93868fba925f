"""Streams that go on by the model's own step, one after another: what stands in where no decoding program can run.

B streams of this call  V vocabulary
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from think.core.errors import UsageError
from think.core.models.decode import Decoder, cannot, obstacle
from think.core.models.state import State
from think.core.models.thinking import Thinking

DECODERS = ("auto", "native", "eager")
"Ways to write that can be asked for by name; auto is native where that can run, else eager."


class EagerDecoder:
    """The same streams as `Decoder` has. Each takes its step alone, so that no other can change its bytes."""

    implementation = "eager"
    stale = False

    def __init__(self, model: Thinking, rows: int = 1):
        self.model, self.rows = model, rows
        self._states = [model.initial_state(1) for _ in range(rows)]

    @property
    def positions(self) -> list[int]:
        return [state.position for state in self._states]

    def refresh(self) -> None:
        """Nothing: the model's weights are used where they are."""

    def begin(self, rows: Sequence[int]) -> None:
        """New streams in these rows, at the model's initial state and position 0."""
        for row in rows:
            self._states[row] = self.model.initial_state(1)

    def load(self, state: State, rows: Sequence[int]) -> None:
        """Go on in these rows with the streams of a state, in order."""
        for index, row in enumerate(rows):
            self._states[row] = state.rows(slice(index, index + 1))

    def state(self, rows: Sequence[int]) -> State:
        """Some streams side by side. Raises ValueError when they stand at different positions."""
        return State.join([self._states[row] for row in rows])

    @torch.no_grad()
    def step(
        self, tokens: Sequence[int], rows: Sequence[int] | None = None, reset: Sequence[bool] | None = None
    ) -> Float[Tensor, "B V"]:
        """Logits for the token after each of `tokens`; arguments as `Decoder.step`."""
        rows = range(self.rows) if rows is None else rows
        device = next(self.model.parameters()).device
        logits = []
        for index, (token, row) in enumerate(zip(tokens, rows, strict=True)):
            begins = torch.tensor([[reset[index]]], device=device) if reset is not None else None
            scores, self._states[row] = self.model(torch.tensor([[token]], device=device), self._states[row], begins)
            logits.append(scores[0, 0])
        return torch.stack(logits)


def expect_decoder(model: Thinking, name: str) -> None:
    """Raises UsageError for an unknown name of a decoder, MachineCannot for native where that cannot run."""
    if name not in DECODERS:
        raise UsageError(f"there is no decoder named {name!r}", expected=f"one of {', '.join(DECODERS)}")
    if name == "native" and (reason := obstacle(model)) is not None:
        raise cannot(name, reason)


def decoder_for(model: Thinking, rows: int = 1, name: str = "auto", *, traced: bool = False) -> Decoder | EagerDecoder:
    """A decoder by name; errors as `expect_decoder`. traced: one that knows its decays, where it is native."""
    expect_decoder(model, name)
    if name == "eager" or (name == "auto" and obstacle(model) is not None):
        return EagerDecoder(model, rows)
    return Decoder(model, rows, traced=traced)
