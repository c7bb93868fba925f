"""Stage 3 teaches a critic what positions are worth, from games whose outcomes are verified."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from think.core import seeding
from think.core.data.puzzles.choice import settings_for, task_of
from think.core.data.puzzles.encoding import Encoding
from think.core.data.store import Packed
from think.core.errors import BadSettings
from think.core.planning.critic import Critic, CriticSettings
from think.core.planning.games import GamesSettings, PuzzleGames, TextGames, games_of, puzzles_of
from think.core.planning.lessons import examine, judged, loss, scores
from think.core.planning.trajectories import MixtureSettings, Play, Trajectories
from think.core.training.modules import Judgement, Losses, ModuleSettings, Objective
from think.core.training.stages import Request
from think.core.training.stages._modules import backbone, module_stage
from think.presets.base import Fraction, knob

NAME = "stage3"

AT_ONCE = 256
"Held-out games that are read at a time: few enough for the memory of a laptop."

RESAMPLES = 200
"Of held-out puzzles, for the intervals of a record."


class Stage3Settings(ModuleSettings):
    """Training of a critic on games whose outcomes are verified."""

    critic: CriticSettings = Field(default_factory=CriticSettings)
    "what is trained"
    games: GamesSettings = Field(default_factory=TextGames)
    "what is played"
    beside: PositiveInt = knob(1, acts_on="data")
    "games of each puzzle, whose prompt is read once for all of them; texts have one continuation"
    calibration: PositiveInt = knob(1024, acts_on="optimizer")
    "held-out games that scale and bias of each head are fitted to after the last step; as many others examine them"
    ends: Fraction = knob(0.5, acts_on="optimizer")
    "share of the loss that the ends of games have, where the outcome is known for sure; all places have the rest"
    easier: list[str] = knob([], acts_on="data")
    "settings of the task by which its puzzles are easier in the first steps, such as length=2"
    easier_until: Fraction = knob(0.0, acts_on="data")
    "share of the steps that learn from the easier puzzles"

    @model_validator(mode="after")
    def _fits(self) -> "Stage3Settings":
        if self.rows % self.beside:
            nearest = max(round(self.rows / self.beside), 1) * self.beside
            raise ValueError(f"rows = {self.rows} must be a multiple of beside = {self.beside}; nearest: {nearest}")
        if isinstance(self.games, TextGames) and self.beside > 1:
            raise ValueError(f"beside = {self.beside}, and a text has one continuation; leave it 1")
        if isinstance(self.games, TextGames) and self.easier:
            raise ValueError("easier names settings of a task, and these games are continuations of texts")
        if bool(self.easier) != (self.easier_until > 0):
            raise ValueError(
                f"easier = {self.easier} and easier_until = {self.easier_until}: give both or neither of them"
            )
        return self


class Judging(Objective):
    """A critic, the backbone whose policy it judges, and the games of a run."""

    module: Critic

    def __init__(self, request: Request[Stage3Settings], packed: Packed, module: Critic):
        self.module, self.settings, self.model = module, request.settings, backbone(request)
        self.module.copy(self.model)
        sources = request.data.sources
        self.train, self.held_out = (
            games_of(self.settings.games, self.model, packed, sources, split) for split in ("train", "validation")
        )
        self.easier = self._easier(packed, sources) if self.settings.easier else None

    def losses(self, step: int) -> Losses:
        settings = self.settings
        early = step <= settings.easier_until * settings.steps
        by = self.easier if early and self.easier is not None else self.train
        games = self._played(by, seeding.stream(settings.seed, NAME, "batch", step), settings.rows)
        given = scores(self.module, self.model, games, settings.beside)
        with torch.no_grad():
            plain = float(self.module.loss(given, games.value))
        return Losses(loss(self.module, given, games, settings.ends), {"value_loss": plain})

    def settle(self) -> None:
        """Fit scale and bias of each head to held-out games other than those it is judged by, and examine it."""
        games, given = self._held_out("calibration", self.settings.calibration)
        known = games.value.isfinite()
        self.module.calibrate(given[known], games.value[known] > 0.5)
        self.examine()

    def examine(self) -> None:
        """See how far each head can be trusted, on held-out games that it was neither fitted to nor is judged by."""
        games, given = self._held_out("examination", self.settings.calibration)
        examine(self.module, given, games, self.settings.beside, RESAMPLES)

    def judge(self, rows: int) -> Judgement:
        games, given = self._held_out("held out", rows)
        found = judged(self.module, given, games, self.settings.beside, RESAMPLES)
        return Judgement(found.loss, len(games), found.figures())

    def _held_out(self, name: str, rows: int) -> tuple[Trajectories, Tensor]:
        """Held-out games, and the scores of their nodes."""
        beside = self.settings.beside
        rows = -(-rows // beside) * beside
        games = self._played(self.held_out, seeding.stream(self.settings.seed, NAME, name), rows)
        at_once = max(beside, AT_ONCE // beside * beside)
        with torch.no_grad():
            parts = [
                scores(self.module, self.model, games.rows(some), beside) for some in torch.arange(rows).split(at_once)
            ]
        return games, torch.cat(parts)

    def _played(self, by: Any, seed: int, rows: int) -> Trajectories:
        mixture: MixtureSettings = self.settings.games.mixture
        games: Trajectories
        if isinstance(by, Play):
            games = by.batch(seed, rows, mixture, self.settings.beside)
        else:
            games = by.batch(seed, rows, mixture)
        return games.to(self.model.embedding.weight.device)

    def _easier(self, packed: Packed, sources: Sequence[Any]) -> Play:
        """Games of puzzles whose settings are the task's own but for the easier ones. Raises BadSettings."""
        assert isinstance(self.settings.games, PuzzleGames), "texts were refused with the settings"
        _, own = puzzles_of(sources)
        changes = dict(_change(text) for text in self.settings.easier)
        chosen = settings_for(own.kind, {**own.model_dump(mode="json", exclude={"kind"}), **changes})
        task, split = task_of(chosen), _TRAIN
        return Play(self.model, Encoding(task, packed.tokenizer), task, chosen, split, self.settings.games.targets)


_TRAIN: Literal["train"] = "train"


def _change(text: str) -> tuple[str, int]:
    """ "length=2" as a setting and its value."""
    name, _, value = text.partition("=")
    if not name or not value.lstrip("-").isdigit():
        raise BadSettings(
            f"{text!r} does not change a setting of a task",
            where=f"{NAME}.easier",
            expected="NAME=NUMBER, such as length=2",
        )
    return name, int(value)


_EASIER: dict[str, Any] = {"easier": ["length=3"], "easier_until": 0.5}


def module(request: Request[Stage3Settings]) -> Critic:
    """The critic of the request's backbone; shapes alone on the meta device."""
    return Critic(request.settings.critic, request.model)


SPEC = module_stage(
    NAME,
    Stage3Settings,
    module,
    Judging,
    after="stage2",
    tiny={
        "steps": 4,
        "rows": 4,
        "learning_rate": 0.01,
        "critic": {"head": {"kind": "mlp", "inner": 4}},
        "games": {"kind": "texts", "prompt": 4, "steps": 3},
        "calibration": 8,
        "evaluation": {"every": 2, "rows": 4, "rows_at_end": 8},
    },
    kinds={
        f"{NAME}.critic.head": {"mlp": {"inner": 4}, "linear": {}},
        f"{NAME}.games": {"texts": {"prompt": 4, "steps": 3}, "puzzles": {"targets": "outcome"}},
    },
    crossings={
        "beside": {"games": {"kind": "puzzles"}},
        "ends": {"games": {"kind": "puzzles"}},
        "easier": {"games": {"kind": "puzzles"}, **_EASIER},
        "easier_until": {"games": {"kind": "puzzles"}, **_EASIER},
    },
    others={"easier": [["arms=3"]], "easier_until": [0.25]},
)
