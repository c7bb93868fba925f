"""System 2 with foresight of its own: search in the latent world of stage 2; the backbone takes the chosen step."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core.data.puzzles import Environment
from think.core.eval.reasoning.arms import Arm
from think.core.eval.reasoning.arms._searched import play
from think.core.eval.reasoning.latent import Standing
from think.core.eval.reasoning.player import Answers, Player


@dataclass(frozen=True)
class _InLatents:
    player: Player
    standing: Standing
    generator: torch.Generator

    def scores(self, legal: Bool[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        return self.player.scores(self.standing.residuals, legal)

    def choose(self, rows: Int[Tensor, " N"], legal: Bool[Tensor, "N A"]) -> Int[Tensor, " N"]:
        return self.player.foreseen.choose(self.standing, rows, legal, self.generator)

    def after(self, rows: Int[Tensor, " N"], actions: Int[Tensor, " N"]) -> Self:
        before = Standing(self.standing.state.rows(rows), self.standing.residuals[rows])
        self.player.tokens += len(rows)
        read = self.player.foreseen.read(self.player.tokens_of(actions).unsqueeze(1), before)
        return replace(self, standing=read)


def answer(player: Player, rules: Environment, samples: int, generator: torch.Generator) -> Answers:
    """Search in latent states where there is a choice. Legal actions are known at the root of each search alone."""
    prompts = player.prompts(rules)
    player.tokens += prompts.numel()
    return play(_InLatents(player, player.foreseen.read(prompts), generator), rules)


SPEC = Arm(answer, searches=True, needs=("dynamics",))
