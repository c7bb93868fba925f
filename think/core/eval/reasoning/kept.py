"""Trees that searches leave to the next search of the same puzzle: what was foreseen below the action that was taken.

B rows of play   N rows that are searched from   A actions
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from think.core.planning.exact import POSITION, Nodes
from think.core.planning.search import Result, plant
from think.core.planning.tree import Tree
from think.core.planning.world import World


@dataclass(frozen=True)
class Kept:
    """The trees of rows that play on.

    place   of each row's tree among the trees; -1: it has none
    trees   None: there are none
    """

    place: Int[Tensor, " B"]
    trees: Tree | None = None

    @staticmethod
    def nothing(rows: int) -> "Kept":
        """Rows of which none has been searched from."""
        return Kept(torch.full((rows,), -1))

    def rows(self, index: Int[Tensor, " N"]) -> "Kept":
        """Those of some of the rows."""
        return Kept(self.place[index], self.trees)

    def under(self, rows: Int[Tensor, " N"], nodes: Nodes, world: World[Nodes]) -> Tree | None:
        """What searches from the nodes of some rows go on with; None where they all begin anew.

        A tree is gone on with where its root has read as much as the node: not in a world whose steps lead nowhere, nor
        where play has passed the root.
        """
        place = self.place[rows]
        old = (place >= 0).nonzero().squeeze(1)
        if self.trees is None or not len(old):
            return None
        tops = self.trees.shelf.read(self.trees.places(place[old], torch.zeros_like(old)))
        old = old[tops.parts[POSITION] == nodes.parts[POSITION][old]]
        if not len(old):
            return None
        held = self.trees.rows(place[old])
        if len(old) == len(rows):
            return held
        new = torch.ones(len(rows), dtype=torch.bool).index_fill(0, old, False).nonzero().squeeze(1)
        planted = plant(nodes.rows(new), world, 0)
        return Tree.together([held, planted]).rows(torch.cat([old, new]).argsort())

    def after(self, rows: Int[Tensor, " N"], found: Result) -> "Kept":
        """What is kept after searches from some rows: what is below the actions found, and the others' trees."""
        on = found.tree.goes_on(found.action).nonzero().squeeze(1)
        waiting = self.place.index_fill(0, rows, -1)
        others = (waiting >= 0).nonzero().squeeze(1)
        place = torch.full_like(self.place, -1)
        place[rows[on]] = torch.arange(len(on))
        place[others] = torch.arange(len(on), len(on) + len(others))
        trees = [found.tree.below(found.action, on)] if len(on) else []
        if self.trees is not None and len(others):
            trees.append(self.trees.rows(waiting[others]))
        return Kept(place, Tree.together(trees) if len(trees) > 1 else trees[0] if trees else None)
