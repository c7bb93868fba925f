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
from think.core.planning.search import gumbel_noise, search
from think.core.planning.world import World

MEMORY = 1 << 30
"Bytes that the nodes of trees searched at once may take."


@dataclass(frozen=True)
class Planner:
    """A critic in the exact world of its backbone, and the settings of searches.

    legality   below the root of a search, the rules say what is legal; else the model's policy is all there is
    forced     places where the rules leave one action are passed, and take no simulation
    """

    world: ExactWorld
    search: SearchSettings
    legality: bool = True
    forced: bool = True

    def fresh(self) -> "Planner":
        """The same, of which nothing has been computed yet."""
        old = self.world
        world = ExactWorld(old.model, old.critic, old.actions, end=old.end, judges=old.judges)
        return replace(self, world=world)

    def foreseen(self) -> World[Nodes]:
        """What is searched: the exact world from choice to choice, or from action to action."""
        return past_forced(self.world) if self.forced else self.world.world()

    def root(self, prompts: Int[Tensor, "B P"], rules: Environment) -> Nodes:
        """The nodes where the prompts end. The rules are copied, and asked for legal actions alone."""
        known = Legality(rules.rows(np.arange(len(prompts)))) if self.legality else None
        return self.world.root(prompts, known)

    def choose(
        self, nodes: Nodes, world: World[Nodes], legal: Bool[Tensor, "B A"], generator: torch.Generator
    ) -> Int[Tensor, " B"]:
        """The action that a search from each node finds."""
        at_once = max(1, MEMORY // ((self.search.simulations + 1) * nodes.size))
        found = []
        for start in range(0, len(nodes), at_once):
            rows = torch.arange(start, min(start + at_once, len(nodes)))
            noise = gumbel_noise(self.search, len(rows), world.actions, generator)
            found.append(search(nodes.rows(rows), world, self.search, noise=noise, legal=legal[rows]).action)
        return torch.cat(found)
