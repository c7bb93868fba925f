"""Which games data allow."""

import pytest

from tests.core.planning.games import known
from think.core.data.pack import pack
from think.core.data.settings import DataSettings
from think.core.data.sources.puzzles import Settings as Puzzles
from think.core.data.sources.text import Settings as Text
from think.core.data.store import Packed
from think.core.errors import BadSettings
from think.core.planning.continuations import Continuations
from think.core.planning.games import PuzzleGames, TextGames, actions_of, games_of
from think.core.planning.trajectories import MixtureSettings, Play

STARS = {"kind": "path_star", "arms": 3, "length": 2}


def source(**task: object) -> Puzzles:
    return Puzzles.model_validate({"count": 60, "task": task})


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("stars")
    settings = DataSettings(sources=(source(**STARS),), validation=0.2)
    pack(settings.sources, settings, known("path_star")[1], folder / "pack")
    return Packed.open(folder / "pack")


def test_puzzles_are_played_by_the_settings_of_their_source(packed: Packed) -> None:
    sources = (source(**STARS), source(**STARS))
    assert actions_of(PuzzleGames(), sources, 300) == 50
    games = games_of(PuzzleGames(), known("path_star")[2], packed, sources, "validation")
    assert isinstance(games, Play)
    found = games.batch(0, 8, MixtureSettings())
    assert found.most == 2
    assert found.legal is not None
    assert (found.legal[:, 0].sum(1) == 3).all()


def test_texts_are_continued_whatever_they_are_made_of(packed: Packed) -> None:
    backbone = known("path_star")[2]
    games = games_of(TextGames(prompt=5, steps=3), backbone, packed, (source(**STARS),), "train")
    assert isinstance(games, Continuations)
    vocabulary = backbone.settings.vocabulary
    assert len(games.actions) == actions_of(TextGames(), (), vocabulary) == vocabulary
    assert games.batch(0, 4, MixtureSettings()).tokens.shape == (4, 8)


@pytest.mark.parametrize(
    ("sources", "says"),
    [
        ((), "no puzzles"),
        ((Text(path="a.txt"),), "no puzzles"),
        ((source(**STARS), source(kind="countdown")), "puzzles of 2 tasks"),
    ],
)
def test_data_that_are_no_puzzles_of_one_task_are_refused(sources: tuple[object, ...], says: str) -> None:
    with pytest.raises(BadSettings, match=says):
        actions_of(PuzzleGames(), sources, 300)
