"""A batch of search trees as tensors.

Node 0 is the root, and a node comes after its parent; otherwise nodes stand in no promised order. Places that no node
has taken have no visits.

B positions   N places for nodes   A actions
"""

from collections.abc import Sequence
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

    def goes_on(self, actions: Int[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Whether something follows a root action in the trees: it was tried, and it does not end the world."""
        rows = torch.arange(self.positions, device=actions.device)
        child = self.child[rows, 0, actions]
        return (child != NONE) & ~self.closed[rows, child.clamp(min=0)]

    def below(self, actions: Int[Tensor, " B"], rows: Int[Tensor, " R"] | None = None) -> "Tree":
        """The trees under one root action each, as the trees of the next search. Nothing is shared with these.

        rows: the positions whose trees go on, all when absent.
        Raises UsageError when an action of one of them was not tried, or when nothing follows it.
        """
        rows = torch.arange(self.positions, device=actions.device) if rows is None else rows
        lost = ~self.goes_on(actions)[rows]
        if bool(lost.any()):
            position = int(rows[lost][0])
            raise UsageError(
                f"the tree of position {position} does not go on after action {int(actions[position])}",
                expected="an action that the search has tried and that does not end the world",
                remedy="begin a search without a tree",
            )
        return self._under(rows, self.child[rows, 0, actions[rows]])

    def rows(self, index: Int[Tensor, " R"]) -> "Tree":
        """The trees of some of the positions, which may repeat. Nothing is shared with these."""
        return self._under(index, torch.zeros_like(index))

    @staticmethod
    def together(several: Sequence["Tree"]) -> "Tree":
        """The trees of several batches in one world, one batch after the other. Nothing is shared with these."""
        room, positions = max(tree.room for tree in several), sum(tree.positions for tree in several)
        padded = [tree._padded(room) for tree in several]
        changed: dict[str, Any] = {name: torch.cat([values[name] for values in padded]) for name in padded[0]}
        position, node = (several[0].visits > 0).nonzero(as_tuple=True)
        places = several[0].places(position, node)
        shelf, first = several[0].shelf.moved(places, position * room + node, positions * room), several[0].positions
        for tree in several[1:]:
            position, node = (tree.visits > 0).nonzero(as_tuple=True)
            shelf.write((position + first) * room + node, tree.shelf.read(tree.places(position, node)))
            first += tree.positions
        return replace(several[0], shelf=shelf, **changed)

    def _under(self, rows: Int[Tensor, " R"], node: Int[Tensor, " R"]) -> "Tree":
        """The trees of some positions, each from one of its nodes on."""
        parent, visits = self.parent[rows], self.visits[rows]
        top = torch.arange(self.room, device=rows.device).expand_as(parent)
        root = node.unsqueeze(1)
        while bool((above := (top != root) & (parent.gather(1, top) != NONE)).any()):
            top = torch.where(above, parent.gather(1, top), top)
        kept = (top == root) & (visits > 0)
        number = torch.where(kept, kept.cumsum(1) - 1, NONE)
        room = int(kept.sum(1).max()) if len(rows) else 1
        old = (~kept).int().argsort(dim=1, stable=True)[:, :room]
        there = kept.gather(1, old)
        changed: dict[str, Any] = {}
        for name, values in self._tensors().items():
            if values.dim() > 1:
                index = old if values.dim() == 2 else old.unsqueeze(2).expand(-1, -1, values.shape[2])
                mask = there if values.dim() == 2 else there.unsqueeze(2)
                changed[name] = values[rows].gather(1, index).masked_fill(~mask, _FILL.get(name, 0))
        for name in ("parent", "child"):
            flat = changed[name].flatten(1)
            mapped = number.gather(1, flat.clamp(min=0))
            changed[name] = torch.where(flat == NONE, NONE, mapped).view_as(changed[name])
        changed["parent"][:, 0], changed["action"][:, 0], changed["reward"][:, 0] = NONE, NONE, 0.0
        row, place = there.nonzero(as_tuple=True)
        changed["shelf"] = self.shelf.moved(
            self.places(rows[row], old[row, place]), row * room + place, len(rows) * room
        )
        return replace(self, used=kept.sum(1), **changed)

    def roomier(self, more: int) -> "Tree":
        """The same trees with more places for nodes. Nothing is shared with these."""
        room = self.room + more
        position, node = (self.visits > 0).nonzero(as_tuple=True)
        shelf = self.shelf.moved(self.places(position, node), position * room + node, self.positions * room)
        return replace(self, shelf=shelf, **self._padded(room))

    def forbid(self, legal: Bool[Tensor, "B A"]) -> None:
        """Leave only some of the actions at the roots; what was learned of the others is forgotten."""
        self.logits[:, 0].masked_fill_(~legal, -torch.inf)
        self.taken[:, 0].masked_fill_(~legal, 0)
        taken, q = self.taken[:, 0], self.q[:, 0]
        self.visits[:, 0] = 1 + taken.sum(1, dtype=torch.int32)
        self.total[:, 0] = self.evaluated[:, 0] + (taken * q).sum(1)

    def _padded(self, room: int) -> dict[str, Tensor]:
        """Copies of the tensors, with places for so many nodes."""
        found = {"used": self.used.clone()}
        for name, values in self._tensors().items():
            if values.dim() > 1:
                padding = (0, 0) * (values.dim() - 2) + (0, room - self.room)
                found[name] = functional.pad(values, padding, value=_FILL.get(name, 0))
        return found

    def _tensors(self) -> dict[str, Tensor]:
        return {field.name: value for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor)}
