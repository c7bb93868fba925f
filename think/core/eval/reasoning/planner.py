"""What arms bring that look ahead, or judge their answers: a world, a trained critic in it, and how it is searched.

B positions   A actions
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from think.core.data.puzzles import Environment
from think.core.planning.exact import ExactWorld, Nodes
from think.core.planning.forced import past_forced
from think.core.planning.legality import Legality
from think.core.planning.rules import SearchSettings
from think.core.planning.search import Result, gumbel_noise, search
from think.core.planning.tree import Tree
from think.core.planning.world import World

MEMORY = 1 << 30
"Bytes that the nodes of trees searched at once may take."


@dataclass(frozen=True)
class Planner:
    """A critic in the exact world of its backbone, and the settings of searches.

    legality   below the root of a search, the rules say what is legal; else the model's policy is all there is
    forced     places where the rules leave one action are passed, and take no simulation
    keep       a search goes on with what the one before it foresaw below the action that was taken
    """

    world: ExactWorld
    search: SearchSettings
    legality: bool = True
    forced: bool = True
    keep: bool = False

    def fresh(self) -> "Planner":
        """The same, of which nothing has been computed yet."""
        old = self.world
        world = ExactWorld(old.model, old.critic, old.actions, end=old.end, judges=old.judges, fusion=old.fusion)
        return replace(self, world=world)

    def foreseen(self) -> World[Nodes]:
        """What is searched: the exact world from choice to choice, or from action to action."""
        return past_forced(self.world) if self.forced else self.world.world()

    def root(self, prompts: Int[Tensor, "B P"], rules: Environment) -> Nodes:
        """The nodes where the prompts end. The rules are copied, and asked for legal actions alone."""
        known = Legality(rules.rows(np.arange(len(prompts)))) if self.legality else None
        return self.world.root(prompts, known)

    def at_once(self, nodes: Nodes) -> int:
        """From how many rows such as these may be searched at a time."""
        trees = 2 if self.keep else 1
        return max(1, MEMORY // ((trees * self.search.simulations + 1) * nodes.size))

    def find(
        self,
        nodes: Nodes,
        world: World[Nodes],
        legal: Bool[Tensor, "B A"],
        generator: torch.Generator,
        tree: Tree | None = None,
    ) -> Result:
        """A search from each node; tree: to go on with."""
        noise = gumbel_noise(self.search, len(nodes), world.actions, generator)
        return search(nodes, world, self.search, noise=noise, legal=legal, tree=tree)
