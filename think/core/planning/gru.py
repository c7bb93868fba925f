"""A GRU that foresees: states step by actions, and linear heads tell what a state is worth.

    h' = GRU(E[action], h)          logits = P h + p          value = mean_k v_k - caution std_k v_k

One value head or several; their mean less a multiple of their standard deviation is a cautious value. Without a reward
head the value of a state that ends the world is paid as the reward of the step into it, and 0 before. Without an end
head nothing ends. Initialised as torch does.    T nodes   A actions   H width   K value heads
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from think.core.planning.world import Evaluation, Transition, World


class GruWorld(nn.Module):
    """A world model whose searches run natively; states are [T, H].

    embedding: width of an action's embedding; reward, end: whether there is such a head; squash: values are
    probabilities, the sigmoid of their heads; caution: standard deviations of the value heads that are taken off
    """

    def __init__(
        self,
        actions: int,
        width: int,
        *,
        embedding: int | None = None,
        values: int = 1,
        reward: bool = False,
        end: bool = False,
        squash: bool = False,
        caution: float = 0.0,
    ):
        super().__init__()
        self.actions, self.width, self.squash, self.caution = actions, width, squash, caution
        self.embedding = nn.Embedding(actions, embedding or width)
        self.cell = nn.GRUCell(embedding or width, width)
        self.policy = nn.Linear(width, actions)
        self.value = nn.Linear(width, values)
        self.reward = nn.Linear(width, 1) if reward else None
        self.end = nn.Linear(width, 1) if end else None

    def step(self, states: Float[Tensor, "T H"], actions: Int[Tensor, " T"]) -> Transition[Tensor]:
        """Where actions lead."""
        after = self.cell(self.embedding(actions), states)
        ends = torch.zeros(len(after), dtype=torch.bool, device=after.device)
        if self.end is not None:
            ends = self.end(after).squeeze(1) > 0
        if self.reward is not None:
            return Transition(after, self.reward(after).squeeze(1), ends)
        return Transition(after, self.worth(after) * ends, ends)

    def evaluate(self, states: Float[Tensor, "T H"]) -> Evaluation:
        """What states are worth; every action is legal."""
        return Evaluation(self.policy(states), self.worth(states))

    def worth(self, states: Float[Tensor, "T H"]) -> Float[Tensor, " T"]:
        """The value heads as one number."""
        values = self.value(states)
        if self.squash:
            values = values.sigmoid()
        mean: Tensor = values.mean(1)
        return mean - self.caution * values.std(1) if values.shape[1] > 1 and self.caution else mean

    def world(self) -> World[Tensor]:
        """Its behaviours, for a search in torch."""
        return World(self.step, self.evaluate, self.actions)
