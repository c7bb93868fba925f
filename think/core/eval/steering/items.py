"""Windows of held-out text, and what is injected into each.

N windows   P prompt tokens   K planned tokens
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from think.core import seeding
from think.core.data.store import Split
from think.core.data.tokenizer import CONTROL
from think.core.errors import BadData

PLANNED, SHUFFLED, OTHER, RANDOM = "planned", "shuffled", "other", "random"
ARMS = (PLANNED, SHUFFLED, OTHER, RANDOM)
"""planned   the plan itself
shuffled  its tokens in another order
other     the plan of another window; where all have the same plan, how another window goes on
random    tokens drawn from the split, one by one"""


@dataclass(frozen=True)
class Windows:
    """Prompts, how they truly go on, what follows on the plan, and what each arm injects. Windows share no token.

    beyond: of plans that are the true continuation: what comes after them; none for another plan
    """

    prompts: Int[Tensor, "N P"]
    truth: Int[Tensor, "N K"]
    beyond: Int[Tensor, "N K"] | None
    plans: dict[str, Int[Tensor, "N K"]]

    def rows(self, rows: slice) -> "Windows":
        """Some of them."""
        plans = {arm: plan[rows] for arm, plan in self.plans.items()}
        beyond = None if self.beyond is None else self.beyond[rows]
        return Windows(self.prompts[rows], self.truth[rows], beyond, plans)


def windows(split: Split, count: int, prompt: int, plan: int | list[int], seed: int) -> Windows:
    """Draw windows that lie inside of documents.

    plan: tokens of the true continuation that are the plan of each window; or one plan for all of them.
    Raises BadData when the split has fewer such windows.
    """
    own = isinstance(plan, int)
    length = plan if isinstance(plan, int) else len(plan)
    size = prompt + (1 + own) * length
    places = [np.arange(start, end - size + 1, size) for start, end in zip(split.starts, split.ends, strict=True)]
    starts = np.concatenate(places) if places else np.zeros(0, np.int64)
    if len(starts) < max(2, count):
        raise BadData(
            f"{len(starts)} windows of {size} tokens lie inside of documents of the split",
            expected=f"{max(2, count)} of them",
            remedy="ask for fewer (--count), or for shorter ones (--prompt-tokens, --plan-tokens)",
        )
    generator = seeding.generator(seed, "steering")
    chosen = starts[torch.randperm(len(starts), generator=generator)[:count].numpy()]
    tokens = torch.from_numpy(split.gather(chosen[:, None] + np.arange(size)))
    prompts, truth, beyond = tokens.split([prompt, length, size - prompt - length], dim=1)
    planned = truth if isinstance(plan, int) else torch.tensor([plan]).expand(count, -1)
    return Windows(prompts, truth, beyond if own else None, _arms(planned, truth, split, generator))


def _arms(
    planned: Int[Tensor, "N K"], truth: Int[Tensor, "N K"], split: Split, generator: torch.Generator
) -> dict[str, Tensor]:
    count, length = planned.shape
    order = torch.rand(count, length, generator=generator).argsort(1)
    drawn = torch.randint(split.tokens, (4 * count * length,), generator=generator)
    pool = torch.from_numpy(split.gather(drawn.numpy()))
    pool = pool[pool >= len(CONTROL)]  # a plan of control tokens would end the text
    if len(pool) < count * length:
        raise BadData("most of the split's tokens are control tokens", expected="text")
    return {
        PLANNED: planned,
        SHUFFLED: planned.gather(1, order),
        OTHER: truth.roll(1, 0),
        RANDOM: pool[: count * length].view(count, length),
    }
