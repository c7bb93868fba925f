"""What a critic learns from and is asked: games whose prompts are read once, and their verified outcomes.

Several games of one puzzle stand side by side, so that the critic sees what tells a good end from a bad one; the long
prompt is read once for all of them. Gradients flow through the reading where the critic has a backbone of its own.

B games   G games of one prompt   P tokens of a prompt   K most actions   L layers   D width
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from think.core.models.thinking import Thinking
from think.core.planning.critic import Critic
from think.core.planning.trajectories import Trajectories
from think.core.statistics import auroc, calibration_error
from think.core.statistics.intervals import Interval


def residuals(critic: Critic, model: Thinking, games: Trajectories, beside: int) -> Float[Tensor, "B K1 L D"]:
    """What the critic's heads read at each node. beside: G, how many games in a row share a prompt."""
    reader, origin = critic.reader(model), torch.arange(len(games), device=games.tokens.device) // beside
    before, state = reader.residuals(games.tokens[::beside, : games.prompt])
    after, _ = reader.residuals(games.tokens[:, games.prompt :], state.rows(origin))
    return torch.cat([before[origin, -1:], after], dim=1)


def scores(critic: Critic, model: Thinking, games: Trajectories, beside: int) -> Float[Tensor, "B K1 L"]:
    """Uncalibrated scores of each node by each head; a frozen backbone is read without gradients."""
    with torch.set_grad_enabled(critic.backbone is not None and torch.is_grad_enabled()):
        read = residuals(critic, model, games, beside)
    found: Tensor = critic(read)
    return found


def loss(critic: Critic, given: Float[Tensor, "B K1 L"], games: Trajectories, ends: float) -> Float[Tensor, ""]:
    """Log loss, of which the ends of games have the share `ends` and all nodes the rest; all of it without an end."""
    everywhere = critic.loss(given, games.value)
    at_ends = games.value.masked_fill(~games.over, torch.nan)
    if not ends or not bool(at_ends.isfinite().any()):
        return everywhere
    return (1 - ends) * everywhere + ends * critic.loss(given, at_ends)


def examine(critic: Critic, given: Float[Tensor, "B K1 L"], games: Trajectories, beside: int, resamples: int) -> None:
    """Examine a critic at all places whose outcome is known, but for the first: a plan leads at least one step on.

    given: scores that nothing was fitted to; intervals are over prompts
    """
    value, given = games.value[:, 1:], given[:, 1:]
    known = value.isfinite()
    puzzle = (torch.arange(len(games), device=value.device) // beside).unsqueeze(1).expand(known.shape)
    critic.examine(given[known], value[known] > 0.5, puzzle[known], resamples=resamples)


@dataclass(frozen=True)
class Judged:
    """How a critic did on held-out games: each head, and all as one.

    ends: at the ends of games alone, None without any
    auroc, error: how well values rank, and the calibration error; intervals over prompts, of puzzles or of texts
    """

    loss: float
    auroc: Interval
    error: Interval
    heads: tuple[Interval, ...]
    errors: tuple[Interval, ...]
    ends: Interval | None

    def figures(self) -> dict[str, float]:
        """By name, what is finite of it."""
        found = {
            "auroc": self.auroc.value,
            "auroc_low": self.auroc.low,
            "auroc_high": self.auroc.high,
            "calibration_error": self.error.value,
            "calibration_error_low": self.error.low,
            "calibration_error_high": self.error.high,
            "auroc_at_ends": np.nan if self.ends is None else self.ends.value,
            "prompts": float(self.auroc.count),
        }
        for layer, (head, error) in enumerate(zip(self.heads, self.errors, strict=True)):
            found[f"auroc_{layer}"], found[f"calibration_error_{layer}"] = head.value, error.value
        return {name: value for name, value in found.items() if np.isfinite(value)}


def judged(critic: Critic, given: Float[Tensor, "B K1 L"], games: Trajectories, beside: int, resamples: int) -> Judged:
    """Hold scores against what games came to. Nodes whose value is not known are left out."""
    known = games.value.isfinite()
    outcome = (games.value[known] > 0.5).cpu().numpy().astype(np.float64)
    puzzle = (torch.arange(len(games)) // beside).unsqueeze(1).expand(known.shape)
    group, over = puzzle[known.cpu()].numpy(), games.over[known].cpu().numpy()
    values = (given * critic.scale + critic.bias).sigmoid()[known]
    each = values.double().cpu().numpy()
    whole = critic.worth(values).double().cpu().numpy()

    def ranks(value: np.ndarray, rows: np.ndarray | slice = slice(None)) -> Interval:
        return auroc(value[rows], outcome[rows], group[rows], resamples=resamples)

    def misses(value: np.ndarray) -> Interval:
        return calibration_error(value.clip(0, 1), outcome, group, resamples=resamples)

    return Judged(
        loss=float(critic.loss(given, games.value)),
        auroc=ranks(whole),
        error=misses(whole),
        heads=tuple(ranks(each[:, layer]) for layer in range(each.shape[1])),
        errors=tuple(misses(each[:, layer]) for layer in range(each.shape[1])),
        ends=ranks(whole, over) if over.any() else None,
    )
