"""A walk whose searches are in the exact world, or in one that is made of it; the step taken is the exact world's."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms._searched import play
from think.core.eval.reasoning.kept import Kept
from think.core.eval.reasoning.planner import Planner
from think.core.eval.reasoning.player import Answers, Player
from think.core.planning.exact import LOGITS, Nodes
from think.core.planning.world import World


def played(
    player: Player, rules: Environment, generator: torch.Generator, world: Callable[[World[Nodes]], World[Nodes]]
) -> Answers:
    """Answers by searches in what `world` makes of the exact world."""
    planner = player.planned
    nodes = planner.root(player.prompts(rules), rules)
    searched = world(planner.foreseen())
    parts = torch.arange(len(nodes)).split(planner.at_once(nodes))
    return Answers.together(
        [
            play(
                _InNodes(planner, searched, nodes.rows(part), generator, Kept.nothing(len(part))),
                rules.rows(part.numpy()),
            )
            for part in parts
        ]
    )


@dataclass
class _InNodes:
    planner: Planner
    world: World[Nodes]
    nodes: Nodes
    generator: torch.Generator
    kept: Kept

    def scores(self, legal: Bool[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        return self.nodes.parts[LOGITS].masked_fill(~legal, -torch.inf).log_softmax(1)

    def choose(self, rows: Int[Tensor, " N"], legal: Bool[Tensor, "N A"]) -> Int[Tensor, " N"]:
        nodes = self.nodes.rows(rows)
        tree = self.kept.under(rows, nodes, self.world)
        found = self.planner.find(nodes, self.world, legal, self.generator, tree)
        if self.planner.keep:
            self.kept = self.kept.after(rows, found)
        return found.action

    def after(self, rows: Int[Tensor, " N"], actions: Int[Tensor, " N"]) -> Self:
        nodes = self.planner.world.after(self.nodes.rows(rows), actions)
        return replace(self, nodes=nodes, kept=self.kept.rows(rows))
