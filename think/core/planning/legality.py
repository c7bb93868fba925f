"""The rules of puzzles, of which a search may ask what is legal, and nothing else.

Whether a puzzle is solved, and whether it has ended, stays behind this wall: a search that knew would be told answers.

B rows   A actions
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from think.core.data.puzzles import Environment


class Legality:
    """Positions side by side, as far as their legal actions go."""

    def __init__(self, rules: Environment):
        """rules: they are stepped on, so give a copy of those that something else plays by."""
        self._rules = rules

    def legal(self) -> Bool[Tensor, "B A"]:
        """Which actions are possible; none where a puzzle has ended, whichever way."""
        return torch.from_numpy(self._rules.legal())

    def after(self, actions: Int[Tensor, " B"]) -> "Legality":
        """Where actions lead; these positions stay as they are."""
        rules = self._rules.rows(np.arange(len(actions)))
        rules.step(actions.numpy())
        return Legality(rules)

    def rows(self, index: Int[Tensor, " T"]) -> "Legality":
        """Copies of some of the rows, which may repeat."""
        return Legality(self._rules.rows(index.numpy()))

    @staticmethod
    def together(several: Sequence["Legality"]) -> "Legality":
        """Positions of the same puzzles, one after the other."""
        counts = [len(each.legal()) for each in several]
        found = several[0].rows(torch.zeros(sum(counts), dtype=torch.int64))
        for each, places in zip(several, torch.arange(sum(counts)).split(counts), strict=True):
            found.put(places, each)
        return found

    def put(self, index: Int[Tensor, " T"], others: "Legality") -> None:
        """Replace some of the rows."""
        self._rules.put(index.numpy(), others._rules)
