"""Stage 2 teaches a world model what the backbone would hold after actions, from games that it plays and reads."""

import torch
from pydantic import Field, PositiveInt, model_validator

from think.core import seeding
from think.core.data.store import Packed
from think.core.planning.dynamics import Dynamics, DynamicsSettings
from think.core.planning.foresight import foresee
from think.core.planning.games import Games, GamesSettings, TextGames, actions_of, games_of
from think.core.planning.trajectories import Trajectories
from think.core.planning.unroll import Read, UnrollSettings, courses, everywhere, losses, read
from think.core.training.modules import Judgement, Losses, ModuleSettings, Objective
from think.core.training.stages import Request
from think.core.training.stages._modules import backbone, module_stage
from think.presets.base import knob

NAME = "stage2"

AT_ONCE = 256
"Held-out games that the backbone reads at a time: few enough for the memory of a laptop."


class Stage2Settings(ModuleSettings):
    """Training of a latent world model on games that the backbone has read."""

    dynamics: DynamicsSettings = Field(default_factory=DynamicsSettings)
    "the world model"
    unroll: UnrollSettings = Field(default_factory=UnrollSettings)
    "its losses"
    games: GamesSettings = Field(default_factory=TextGames)
    "what is played"
    pool: PositiveInt = knob(512, acts_on="data")
    "games that are played and read at a time; steps draw their rows from them"
    passes: PositiveInt = knob(4, acts_on="data")
    "times that each game is learned from before new ones are played; reading costs more than learning"

    @model_validator(mode="after")
    def _divides(self) -> "Stage2Settings":
        if self.pool % self.rows:
            nearest = max(round(self.pool / self.rows), 1) * self.rows
            raise ValueError(f"pool = {self.pool} must be a multiple of rows = {self.rows}; nearest: {nearest}")
        return self


class Foreseeing(Objective):
    """A world model, the backbone that it foresees, and the games of a run."""

    module: Dynamics

    def __init__(self, request: Request[Stage2Settings], packed: Packed, module: Dynamics):
        self.module, self.settings, self.model = module, request.settings, backbone(request)
        self.train, self.held_out = (
            games_of(self.settings.games, self.model, packed, request.data.sources, split)
            for split in ("train", "validation")
        )
        self._pool: tuple[int, Trajectories, Read] | None = None

    def losses(self, step: int) -> Losses:
        settings = self.settings
        games, seen = self._rows(step - 1)
        course = courses(games, settings.unroll, seeding.generator(settings.seed, NAME, "starts", step))
        found = losses(self.module, seen, course, settings.unroll)
        parts = ("policy", "value", "terminal", "consistency")
        return Losses(found.objective, {f"{part}_loss": float(getattr(found, part)) for part in parts})

    def judge(self, rows: int) -> Judgement:
        """The loss from every node, and what is foreseen 1, 2, … steps ahead."""
        seed = seeding.stream(self.settings.seed, NAME, "held out")
        games, seen = self._play(self.held_out, seed, rows)
        with torch.no_grad():
            loss = float(losses(self.module, seen, everywhere(games), self.settings.unroll).objective)
        return Judgement(loss, rows, foresee(self.module, [(games, seen)]).figures())

    def _rows(self, done: int) -> tuple[Trajectories, Read]:
        """The games of a step, of which `done` come before it: some of a pool that is a function of the seed."""
        settings = self.settings
        steps = settings.pool // settings.rows
        number, within = divmod(done, settings.passes * steps)
        if self._pool is None or self._pool[0] != number:
            seed = seeding.stream(settings.seed, NAME, "pool", number)
            self._pool = (number, *self._play(self.train, seed, settings.pool))
        _, games, seen = self._pool
        turn, place = divmod(within, steps)
        generator = seeding.generator(settings.seed, NAME, "order", number, turn)
        chosen = torch.randperm(settings.pool, generator=generator)[place * settings.rows :][: settings.rows]
        return games.rows(chosen), seen.rows(chosen)

    def _play(self, by: Games, seed: int, rows: int) -> tuple[Trajectories, Read]:
        device = self.model.embedding.weight.device
        games = by.batch(seed, rows, self.settings.games.mixture).to(device)
        parts = [
            read(self.model, games.rows(some), by.actions.to(device)) for some in torch.arange(rows).split(AT_ONCE)
        ]
        return games, Read.join(parts)


def module(request: Request[Stage2Settings]) -> Dynamics:
    """The world model of the request's backbone; shapes alone on the meta device."""
    settings, model = request.settings, request.model
    actions = actions_of(settings.games, request.data.sources, model.vocabulary)
    return Dynamics(settings.dynamics, model.layers, model.width, actions)


SPEC = module_stage(
    NAME,
    Stage2Settings,
    module,
    Foreseeing,
    after="stage1",
    tiny={
        "steps": 4,
        "rows": 4,
        "learning_rate": 0.01,
        "pool": 8,
        "passes": 1,
        "dynamics": {"latent": 4, "embedding": 4},
        "unroll": {"steps": 2, "starts": 2},
        "games": {"kind": "texts", "prompt": 4, "steps": 3},
        "evaluation": {"every": 2, "rows": 4, "rows_at_end": 8},
    },
    kinds={f"{NAME}.games": {"texts": {"prompt": 4, "steps": 3}, "puzzles": {}}},
)
