"""A batch of search trees as tensors.

Node 0 is the root, and a node comes after its parent; otherwise nodes stand in no promised order. Places that no node
has taken have no visits.

B positions   N places for nodes   A actions
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from think.core.errors import UsageError
from think.core.planning.shelf import Shelf

NONE = -1
"In `parent`, `action` and `child`: there is none."
_FILL = {"parent": NONE, "action": NONE, "child": NONE, "logits": -torch.inf}


@dataclass
class Tree:
    """The trees of a batch of positions.

    parent, action   the node before, and what led from it here
    visits, total    how often a search was here, its evaluation counted, and the sum of what that returned
    evaluated        value that the world model gives; 0 at a terminal node
    reward           of the step that led here
    terminal         nothing follows
    logits           of the prior; -inf where an action is not legal, all of them at a terminal node
    child            node that an action leads to
    taken, q         how often an action was taken, and reward + discount value of where it leads
    used             places taken
    shelf            the states; that of node n of position b is at b * N + n
    """

    parent: Int[Tensor, "B N"]
    action: Int[Tensor, "B N"]
    visits: Int[Tensor, "B N"]
    total: Float[Tensor, "B N"]
    evaluated: Float[Tensor, "B N"]
    reward: Float[Tensor, "B N"]
    terminal: Bool[Tensor, "B N"]
    logits: Float[Tensor, "B N A"]
    child: Int[Tensor, "B N A"]
    taken: Int[Tensor, "B N A"]
    q: Float[Tensor, "B N A"]
    used: Int[Tensor, " B"]
    shelf: Shelf[Any]

    @staticmethod
    def empty(positions: int, room: int, actions: int, like: Tensor, shelf: Shelf[Any]) -> "Tree":
        """Trees without nodes; numbers are of the type and on the device of `like`."""

        def whole(value: int, *shape: int, kind: torch.dtype = torch.int64) -> Tensor:
            return torch.full((positions, *shape), value, dtype=kind, device=like.device)

        return Tree(
            parent=whole(NONE, room),
            action=whole(NONE, room),
            visits=whole(0, room, kind=torch.int32),
            total=like.new_zeros(positions, room),
            evaluated=like.new_zeros(positions, room),
            reward=like.new_zeros(positions, room),
            terminal=whole(0, room, kind=torch.bool),
            logits=like.new_full((positions, room, actions), -torch.inf),
            child=whole(NONE, room, actions),
            taken=whole(0, room, actions, kind=torch.int32),
            q=like.new_zeros(positions, room, actions),
            used=whole(0),
            shelf=shelf,
        )

    @property
    def positions(self) -> int:
        return self.parent.shape[0]

    @property
    def room(self) -> int:
        return self.parent.shape[1]

    @property
    def actions(self) -> int:
        return self.logits.shape[2]

    @property
    def value(self) -> Float[Tensor, "B N"]:
        """The mean of what visits returned; 0 where there is no node."""
        return self.total / self.visits.clamp(min=1)

    @property
    def prior(self) -> Float[Tensor, "B N A"]:
        """Probabilities of the legal actions; 0 where there are none."""
        return self.logits.softmax(-1).nan_to_num(0.0)

    @property
    def closed(self) -> Bool[Tensor, "B N"]:
        """Nodes from which no action leads on."""
        return (self.logits == -torch.inf).all(-1)

    def path(self, position: int, node: int) -> tuple[int, ...]:
        """The actions that lead from the root to a node."""
        actions: list[int] = []
        while node > 0:
            actions.append(int(self.action[position, node]))
            node = int(self.parent[position, node])
        return tuple(reversed(actions))

    def line(self, position: int, node: int = 0) -> tuple[int, ...]:
        """The actions that were taken most often, from the root or another node on, as far as anything was tried."""
        actions = []
        while int(self.taken[position, node].max()) > 0:
            actions.append(int(self.taken[position, node].argmax()))
            node = int(self.child[position, node, actions[-1]])
        return tuple(actions)

    def places(self, position: Int[Tensor, " T"], node: Int[Tensor, " T"]) -> Int[Tensor, " T"]:
        """Where the states of nodes stand on the shelf."""
        return position * self.room + node

    def below(self, actions: Int[Tensor, " B"]) -> "Tree":
        """The trees under one root action each, as the trees of the next search. Nothing is shared with these.

        Raises UsageError when an action was not tried, or when nothing follows it.
        """
        rows = torch.arange(self.positions, device=actions.device)
        child = self.child[rows, 0, actions]
        lost = (child == NONE) | self.closed[rows, child.clamp(min=0)]
        if bool(lost.any()):
            position = int(lost.nonzero()[0])
            raise UsageError(
                f"the tree of position {position} does not go on after action {int(actions[position])}",
                expected="an action that the search has tried and that does not end the world",
                remedy="begin a search without a tree",
            )
        top = torch.arange(self.room, device=actions.device).expand_as(self.parent)
        while bool((above := self.parent.gather(1, top) > 0).any()):
            top = torch.where(above, self.parent.gather(1, top), top)
        kept = (top == child.unsqueeze(1)) & (self.visits > 0)
        number = torch.where(kept, kept.cumsum(1) - 1, NONE)
        room = int(kept.sum(1).max())
        old = (~kept).int().argsort(dim=1, stable=True)[:, :room]
        there = kept.gather(1, old)
        changed: dict[str, Any] = {}
        for name, values in self._tensors().items():
            if values.dim() > 1:
                index = old if values.dim() == 2 else old.unsqueeze(2).expand(-1, -1, values.shape[2])
                mask = there if values.dim() == 2 else there.unsqueeze(2)
                changed[name] = values.gather(1, index).masked_fill(~mask, _FILL.get(name, 0))
        for name in ("parent", "child"):
            flat = changed[name].flatten(1)
            mapped = number.gather(1, flat.clamp(min=0))
            changed[name] = torch.where(flat == NONE, NONE, mapped).view_as(changed[name])
        changed["parent"][:, 0], changed["action"][:, 0], changed["reward"][:, 0] = NONE, NONE, 0.0
        rows, place = there.nonzero(as_tuple=True)
        changed["shelf"] = self.shelf.moved(
            self.places(rows, old[rows, place]), rows * room + place, self.positions * room
        )
        return replace(self, used=kept.sum(1), **changed)

    def roomier(self, more: int) -> "Tree":
        """The same trees with more places for nodes. Nothing is shared with these."""
        changed: dict[str, Any] = {"used": self.used.clone()}
        for name, values in self._tensors().items():
            if values.dim() > 1:
                padding = (0, 0) * (values.dim() - 2) + (0, more)
                changed[name] = functional.pad(values, padding, value=_FILL.get(name, 0))
        room = self.room + more
        position, node = (self.visits > 0).nonzero(as_tuple=True)
        shelf = self.shelf.moved(self.places(position, node), position * room + node, self.positions * room)
        return replace(self, shelf=shelf, **changed)

    def forbid(self, legal: Bool[Tensor, "B A"]) -> None:
        """Leave only some of the actions at the roots; what was learned of the others is forgotten."""
        self.logits[:, 0].masked_fill_(~legal, -torch.inf)
        self.taken[:, 0].masked_fill_(~legal, 0)
        taken, q = self.taken[:, 0], self.q[:, 0]
        self.visits[:, 0] = 1 + taken.sum(1, dtype=torch.int32)
        self.total[:, 0] = self.evaluated[:, 0] + (taken * q).sum(1)

    def _tensors(self) -> dict[str, Tensor]:
        return {field.name: value for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor)}
