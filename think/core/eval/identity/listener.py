"""A trained model that reads a text and is asked for the likeliest of several values."""

from collections.abc import Sequence

import torch
from torch import Tensor

from think.core.assembled import Assembled
from think.core.data.tokenizer import BOS, UNK
from think.core.errors import BadData
from think.core.generation import CHUNK, full_context
from think.core.models.state import State


class ModelListener:
    """Reads from the trained start state on; its state is never shared with one made by `another`."""

    def __init__(self, held: Assembled, state: State | None = None, last: Tensor | None = None):
        self._held, self._state, self._last = held, state, last
        self._context = full_context(held.model)
        self._too_long = False

    def read(self, text: str, *, forget: bool = False) -> int:
        """See `Listener`. A text that does not fit into full attention is not read, and later questions get None."""
        ids = self._held.tokenizer.encode(text)
        if self._state is None:
            ids = [BOS, *ids]
        self._take(ids, forget=forget)
        return len(ids)

    def another(self) -> "ModelListener":
        made = ModelListener(self._held, self._state, self._last)
        made._too_long = self._too_long
        return made

    @torch.no_grad()
    def likelihoods(self, prompt: str, values: Sequence[str]) -> list[float] | None:
        """See `Listener`. Raises BadData when the tokenizer cannot write a value or tell two of them apart."""
        asked = self.another()
        asked.read(prompt)
        if asked._too_long or asked._last is None:
            return None
        assert asked._state is not None
        spelled = [self._held.tokenizer.encode(f" {value}") for value in values]
        if any(UNK in ids for ids in spelled) or len({tuple(ids) for ids in spelled}) < len(values):
            raise BadData(
                "the tokenizer of this model cannot write the values of the identity probes, or not all of them apart",
                where=str(self._held.path),
                expected="a tokenizer of English text",
            )
        longest = max(map(len, spelled))
        if not self._fits(asked._state.position + longest):
            return None
        device = asked._last.device
        # A shorter value is filled up behind: no token sees a later one, and what the filling gives is not counted.
        rows = torch.tensor([[*ids, *[UNK] * (longest - len(ids))] for ids in spelled], dtype=torch.long, device=device)
        counted = torch.tensor([[at < len(ids) for at in range(longest)] for ids in spelled], device=device)
        logits = asked._last.expand(len(values), 1, -1)
        if longest > 1:
            every = torch.zeros(len(values), dtype=torch.long, device=device)
            hidden, _ = self._held.model.hidden(rows[:, :-1], asked._state.rows(every))
            logits = torch.cat([logits, self._held.model.logits(hidden)], dim=1)
        chosen = torch.log_softmax(logits.double(), dim=-1).gather(-1, rows[..., None])[..., 0]
        return [float(value) for value in (chosen * counted).sum(-1)]

    @torch.no_grad()
    def _take(self, ids: Sequence[int], *, forget: bool) -> None:
        model = self._held.model
        position = 0 if self._state is None else self._state.position
        self._too_long = self._too_long or not self._fits(position + len(ids))
        if self._too_long:
            return
        device = next(model.parameters()).device
        row = torch.tensor([list(ids)], dtype=torch.long, device=device)
        reset = torch.zeros_like(row, dtype=torch.bool)
        reset[0, 0] = forget
        for part, mask in zip(row.split(CHUNK, dim=1), reset.split(CHUNK, dim=1), strict=True):
            hidden, self._state = model.hidden(part, self._state, mask if forget else None)
            self._last = model.logits(hidden[:, -1:])[0]

    def _fits(self, tokens: int) -> bool:
        return self._context is None or tokens <= self._context
