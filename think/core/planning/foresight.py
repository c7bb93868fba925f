"""What a latent world model foresees on games that it was not trained on, step by step without looking.

From every node of every game a state is unrolled along the actions that were played, and held against what the backbone
comes to hold:

    persistence skill  1 - error / error of "nothing changes"     0: as good as standing still; 1: exact
    action shuffle     error with the actions of another game / error     1: actions do not matter to the model
    policy agreement   share of nodes where the likeliest action is the backbone's likeliest legal one
    value              AUROC of the foreseen value against what the node is worth
    terminal           share of nodes where the end of the game is foreseen right

Errors are squared distances of states. Where states vary slowly, standing still looks good (a cosine of 0.99 and more),
hence the skill. Intervals resample whole games, since the nodes of one game depend on each other.

Row 0 is what the heads read off the real latents: no foresight can be better but by chance.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from think.core.planning.dynamics import Dynamics
from think.core.planning.trajectories import Trajectories
from think.core.planning.unroll import Course, Read, everywhere
from think.core.statistics import Interval, auroc, ratio_interval

FARTHEST = 8
"Steps that are foreseen."

FIGURES = ("skill", "shuffle", "policy", "value", "terminal")

Step = Callable[[Float[Tensor, "N H"], Int[Tensor, " N"]], Float[Tensor, "N H"]]
"states, actions -> states"


@dataclass(frozen=True)
class Foresight:
    """Figures of one horizon; None where the data cannot tell. nodes: behind them, of `games` games."""

    step: int
    nodes: int
    games: int
    skill: Interval | None
    shuffle: Interval | None
    policy: Interval | None
    value: Interval | None
    terminal: Interval | None
    over: float
    "share of the nodes where the game is over: what `terminal` is to be held against"

    def as_json(self) -> dict[str, Any]:
        figures = {name: getattr(self, name) for name in FIGURES}
        return {
            "step": self.step,
            "nodes": self.nodes,
            "games": self.games,
            "over": self.over,
            **{name: None if found is None else found.as_json() for name, found in figures.items()},
        }


@dataclass(frozen=True)
class Report:
    """Foresight at 0, 1, 2, … steps. dimensions: participation ratio of the real latents, 1 to the width of a state."""

    rows: tuple[Foresight, ...]
    dimensions: float

    def as_json(self) -> dict[str, Any]:
        return {"dimensions": self.dimensions, "steps": [row.as_json() for row in self.rows]}

    def figures(self) -> dict[str, float]:
        """All of it, named as in skill_1, skill_1_low, skill_1_high, nodes_1; what cannot be told is left out."""
        found = {"dimensions": self.dimensions}
        for row in self.rows:
            found |= {f"nodes_{row.step}": row.nodes, f"games_{row.step}": row.games, f"over_{row.step}": row.over}
            for name in FIGURES:
                figure = getattr(row, name)
                if figure is not None:
                    ends = {"": figure.value, "_low": figure.low, "_high": figure.high}
                    found |= {f"{name}_{row.step}{end}": value for end, value in ends.items() if math.isfinite(value)}
        return found


@torch.no_grad()
def foresee(dynamics: Dynamics, batches: Iterable[tuple[Trajectories, Read]], step: Step | None = None) -> Report:
    """Measure on held-out games. step: dynamics to be held against in place of the model's own."""
    step = step or _own(dynamics)
    tallies = [_Tally() for _ in range(FARTHEST + 1)]
    sums, games_before = _Moments(), 0
    for games, seen in batches:
        real = dynamics.root(seen.residuals)
        sums.add(real[games.played])
        course = everywhere(games)
        first = course.at(real, 0)
        foreseen = shuffled = first
        others = games.actions.roll(1, 0)
        for distance in range(min(FARTHEST, games.most) + 1):
            if distance:
                foreseen = _flat(step, foreseen, course.actions(distance))
                shuffled = _flat(step, shuffled, course.actions(distance, others))
            there = course.holds(distance)
            if there.any():
                facts = _facts(dynamics, course, seen, real, first, foreseen, shuffled, distance)
                game = torch.arange(games_before, games_before + len(games)).unsqueeze(1).expand(there.shape)
                tallies[distance].add(game[there.cpu()], {name: fact[there] for name, fact in facts.items()})
        games_before += len(games)
    rows = (tally.row(distance) for distance, tally in enumerate(tallies) if tally.parts)
    return Report(tuple(rows), sums.dimensions())


def identity(states: Tensor, actions: Tensor) -> Tensor:
    """Dynamics in which nothing changes."""
    return states


def _own(dynamics: Dynamics) -> Step:
    return lambda states, actions: dynamics.world.cell(dynamics.world.embedding(actions), states)


def _flat(step: Step, states: Float[Tensor, "B S H"], actions: Int[Tensor, "B S"]) -> Float[Tensor, "B S H"]:
    return step(states.flatten(0, 1), actions.flatten()).view_as(states)


def _facts(
    dynamics: Dynamics,
    course: Course,
    seen: Read,
    real: Tensor,
    first: Tensor,
    foreseen: Tensor,
    shuffled: Tensor,
    distance: int,
) -> dict[str, Tensor]:
    """What is known of each node [B, S]; NaN where it does not apply."""
    games, world, nothing = course.games, dynamics.world, real.new_tensor(math.nan)
    target = course.at(real, distance)
    over = course.at(games.over, distance)
    same = world.policy(foreseen).argmax(-1) == course.at(seen.policy, distance).argmax(-1)
    assert world.end is not None
    ends = world.end(foreseen).squeeze(-1) > 0
    return {
        "error": (foreseen - target).square().sum(-1),
        "still": (first - target).square().sum(-1),
        "shuffled": (shuffled - target).square().sum(-1),
        "same": torch.where(over, nothing, same.float()),
        "worth": world.worth(foreseen.flatten(0, 1)).view(over.shape),
        "value": course.at(games.value, distance),
        "right": (ends == over).float(),
        "over": over.float(),
    }


class _Tally:
    """Facts of the nodes at one horizon, and the game that each belongs to."""

    def __init__(self) -> None:
        self.parts: list[dict[str, np.ndarray]] = []

    def add(self, game: Tensor, facts: dict[str, Tensor]) -> None:
        self.parts.append({"game": game.numpy(), **{name: fact.cpu().double().numpy() for name, fact in facts.items()}})

    def row(self, distance: int) -> Foresight:
        facts = {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}
        game = np.unique(facts["game"], return_inverse=True)[1]

        def ratio(above: np.ndarray, below: np.ndarray) -> Interval | None:
            chosen = ~np.isnan(above)
            pair = [np.bincount(game[chosen], part[chosen], game.max() + 1) for part in (above, below)]
            return ratio_interval(*pair) if pair[1].sum() > 0 else None

        ones, known = np.ones(len(game)), ~np.isnan(facts["value"])
        both = len(set(facts["value"][known].tolist())) == 2
        return Foresight(
            step=distance,
            nodes=len(game),
            games=int(game.max()) + 1,
            skill=_one_less(ratio(facts["error"], facts["still"])) if distance else None,
            shuffle=ratio(facts["shuffled"], facts["error"]) if distance else None,
            policy=ratio(facts["same"], ones),
            value=auroc(facts["worth"][known], facts["value"][known], game[known]) if both else None,
            terminal=ratio(facts["right"], ones) if distance else None,
            over=float(facts["over"].mean()),
        )


class _Moments:
    """Sums for the covariance of states."""

    def __init__(self) -> None:
        self.count, self.first, self.second = 0, torch.zeros(()), torch.zeros(())

    def add(self, states: Float[Tensor, "N H"]) -> None:
        states = states.double()
        self.count += len(states)
        self.first, self.second = self.first + states.sum(0), self.second + states.T @ states

    def dimensions(self) -> float:
        """(sum of eigenvalues)^2 / sum of their squares, of the covariance: directions in which states vary."""
        mean = self.first / self.count
        covariance = self.second / self.count - torch.outer(mean, mean)
        return float(covariance.trace().square() / covariance.square().sum().clamp(min=torch.finfo(torch.double).tiny))


def _one_less(ratio: Interval | None) -> Interval | None:
    if ratio is None:
        return None
    return Interval(1 - ratio.value, 1 - ratio.high, 1 - ratio.low, ratio.count, ratio.level)
