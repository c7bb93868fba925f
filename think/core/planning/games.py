"""Which games a run can learn a world model from: those of its puzzles, or continuations of its texts."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from jaxtyping import Int
from pydantic import Field, PositiveInt
from torch import Tensor

from think.core.data.puzzles import Task
from think.core.data.puzzles.choice import task_of
from think.core.data.puzzles.encoding import Encoding
from think.core.data.sources.puzzles import Settings as PuzzleSource
from think.core.data.store import Packed
from think.core.errors import BadSettings
from think.core.models.thinking import Thinking
from think.core.planning.continuations import Continuations
from think.core.planning.trajectories import MixtureSettings, Play, Targets, Trajectories
from think.presets.base import Settings, knob


class PuzzleGames(Settings):
    """Games of the puzzles that the data are made of; an action is an action of the task."""

    kind: Literal["puzzles"] = "puzzles"
    targets: Targets = knob("solvable", acts_on="data")
    "what a place is worth: whether it can be solved still, by an exact solver, or how the game ended"
    mixture: MixtureSettings = Field(default_factory=MixtureSettings)
    "how the games are played"


class TextGames(Settings):
    """Continuations of texts; an action is any token."""

    kind: Literal["texts"] = "texts"
    prompt: PositiveInt = knob(32, acts_on="data")
    "tokens that are read before a continuation"
    steps: PositiveInt = knob(8, acts_on="data")
    "tokens of a continuation"
    mixture: MixtureSettings = Field(default_factory=MixtureSettings)
    "how the texts are continued"


GamesSettings = Annotated[PuzzleGames | TextGames, Field(discriminator="kind")]


class Games(Protocol):
    """Plays games of one split."""

    @property
    def actions(self) -> Int[Tensor, " A"]:
        """The token of each action."""

    def batch(self, seed: int, rows: int, mixture: MixtureSettings) -> Trajectories:
        """As many games; a pure function of the seed and of the weights of the model."""


def actions_of(settings: PuzzleGames | TextGames, sources: Sequence[Any], vocabulary: int) -> int:
    """How many actions there are. Raises BadSettings where the data are none of puzzles."""
    return vocabulary if isinstance(settings, TextGames) else len(puzzles_of(sources)[0].actions)


def games_of(
    settings: PuzzleGames | TextGames,
    model: Thinking,
    packed: Packed,
    sources: Sequence[Any],
    split: Literal["train", "validation"],
) -> Games:
    """The games of a split, with a model for its own. Raises BadSettings or BadData where the data do not fit."""
    if isinstance(settings, TextGames):
        return Continuations(model, packed.split(split), settings.prompt, settings.steps)
    task, chosen = puzzles_of(sources)
    return Play(model, Encoding(task, packed.tokenizer), task, chosen, split, settings.targets)


def puzzles_of(sources: Sequence[Any]) -> tuple[Task, Any]:
    """The task of the puzzles among data, and its settings. Raises BadSettings where there is not exactly one."""
    found = {source.task.model_dump_json(): source.task for source in sources if isinstance(source, PuzzleSource)}
    if len(found) != 1:
        raise BadSettings(
            f"the data have puzzles of {len(found)} tasks" if found else "the data have no puzzles",
            where="data.sources",
            expected="puzzles of one task, whose games are played",
            remedy='set games.kind to "texts" to continue texts in their place',
        )
    (chosen,) = found.values()
    return task_of(chosen), chosen
