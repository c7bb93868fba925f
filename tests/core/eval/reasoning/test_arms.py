"""Ways of answering, before models whose every probability is known."""

from itertools import product

import numpy as np
import pytest
import torch

from think.core import plugins
from think.core.data.puzzles import FAMILY as TASKS
from think.core.data.puzzles import Task
from think.core.data.puzzles.batch import Positions, environment
from think.core.data.puzzles.encoding import Encoding
from think.core.data.puzzles.items import distinct
from think.core.data.puzzles.play import judge
from think.core.data.tokenizer import CharacterSettings, train
from think.core.eval.reasoning.arms import FAMILY
from think.core.eval.reasoning.measure import measure
from think.core.eval.reasoning.player import Board, Player
from think.core.models import build
from think.core.models.thinking import Settings as ModelSettings
from think.presets.decode import decode
from think.presets.sources import read

ARMS = plugins.names(FAMILY)
TASK: Task = plugins.load(TASKS, "sudoku4")
SETTINGS = TASK.Settings()
PUZZLES = distinct(TASK, SETTINGS, "test", 24, seed=0)


@pytest.fixture(scope="module")
def player() -> Player:
    """A small model with random weights, sharpened so that its choices differ."""
    tokenizer = train(CharacterSettings(), ["./" + TASK.actions])
    torch.manual_seed(0)
    model = build(_model(tokenizer.size)).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(40)
    return Player(model, Encoding(TASK, tokenizer))


def _model(vocabulary: int) -> ModelSettings:
    from think.core.settings import RunSettings

    changes = [f"model.vocabulary={vocabulary}", "model.width=16", "model.layers=1", "model.anchors=none"]
    return decode(read("cpu_smoke", changes[:1]), RunSettings).settings.model


def _board(player: Player, rules: type = Positions, rows: slice = slice(None)) -> Board:
    made = Positions(TASK, SETTINGS, "test") if rules is Positions else environment(TASK, SETTINGS, "test")
    made.load(PUZZLES[rows])
    return player.begin(made)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("name", ARMS)
def test_what_an_arm_says_is_what_the_rules_judge(name: str, player: Player) -> None:
    found = plugins.load(FAMILY, name).answer(player, _board(player), 4, _generator())
    for puzzle, actions, solved in zip(PUZZLES, found.actions, found.solved, strict=True):
        judgement = judge(puzzle, "".join(TASK.actions[action] for action in actions), TASK.actions)
        assert judgement.taken == len(actions)
        assert judgement.solved == bool(solved)


@pytest.mark.parametrize("name", ARMS)
def test_batched_and_scalar_rules_give_the_same(name: str, player: Player) -> None:
    arm = plugins.load(FAMILY, name)
    one, other = (arm.answer(player, _board(player, kind), 3, _generator()) for kind in (Positions, object))
    assert one.actions == other.actions
    assert (one.solved == other.solved).all()
    assert np.allclose(one.likelihood, other.likelihood)


@pytest.mark.parametrize("name", ["greedy", "beam", "best_of_n"])
def test_the_likelihood_is_that_of_the_actions(name: str, player: Player) -> None:
    found = plugins.load(FAMILY, name).answer(player, _board(player), 4, _generator())
    for row in range(6):
        board, total = _board(player, rows=slice(row, row + 1)), 0.0
        for place, action in enumerate(found.actions[row]):
            total += float(board.scores[0, action])
            board.rules.step(np.array([action]))
            if place + 1 < len(found.actions[row]):
                board = player.go_on(board, np.array([action]))
        assert found.likelihood[row] == pytest.approx(total, abs=1e-4)


def test_one_beam_is_greedy(player: Player) -> None:
    greedy = plugins.load(FAMILY, "greedy").answer(player, _board(player), 1, _generator())
    beam = plugins.load(FAMILY, "beam").answer(player, _board(player), 1, _generator())
    assert greedy.actions == beam.actions


def test_a_beam_as_wide_as_all_walks_finds_the_likeliest_of_them(player: Player) -> None:
    """Against every walk of path-star, counted out."""
    task: Task = plugins.load(TASKS, "path_star")
    settings = task.Settings(arms=3, length=2)
    tokenizer = train(CharacterSettings(), [",/" + task.actions])
    torch.manual_seed(1)
    model = build(_model(tokenizer.size)).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(40)
    other = Player(model, Encoding(task, tokenizer))
    for puzzle in distinct(task, settings, "test", 5, seed=1):

        def board(puzzle=puzzle) -> Board:
            rules = environment(task, settings, "test")
            rules.load([puzzle])
            return other.begin(rules)

        walks = {}
        for arm, _ in product(range(3), range(1)):
            start = board()
            first = np.flatnonzero(start.rules.legal()[0])[arm : arm + 1]
            total = float(start.scores[0, first[0]])
            start.rules.step(first)
            second = np.flatnonzero(start.rules.legal()[0])
            walks[(int(first[0]), int(second[0]))] = total
        found = plugins.load(FAMILY, "beam").answer(other, board(), 5, _generator())
        assert found.actions[0] == max(walks, key=lambda walk: walks[walk])


def test_more_samples_give_the_likelier_of_them(player: Player) -> None:
    few = plugins.load(FAMILY, "best_of_n").answer(player, _board(player), 1, _generator())
    many = plugins.load(FAMILY, "best_of_n").answer(player, _board(player), 24, _generator())
    assert many.likelihood.mean() > few.likelihood.mean() + 0.1


def test_majority_gives_the_most_frequent_and_best_of_n_the_likeliest() -> None:
    from think.core.eval.reasoning.arms.best_of_n import _likeliest
    from think.core.eval.reasoning.arms.majority import _most_frequent

    answers, likelihood = [(1,), (2,), (3,), (2,), (3,)], np.array([-1.0, -4.0, -3.0, -4.0, -3.0])
    assert answers[_likeliest(answers, likelihood)] == (1,)
    assert answers[_most_frequent(answers, likelihood)] == (3,)
    assert answers[_most_frequent(answers[:4], likelihood[:4])] == (2,)


def test_random_play_is_as_good_as_chance() -> None:
    task: Task = plugins.load(TASKS, "path_star")
    settings = task.Settings()
    tokenizer = train(CharacterSettings(), [",/" + task.actions])
    torch.manual_seed(0)
    model = build(_model(tokenizer.size)).eval()
    puzzles = distinct(task, settings, "test", 400, seed=0)
    done: list[int] = []
    found = measure(
        "random_legal", model, tokenizer, task, settings, "test", puzzles, samples=8, seed=0, advance=done.append
    )
    assert found.share.low < task.chance(settings) < found.share.high
    assert found.tokens == found.flops == 0
    assert sum(done) == 400


def test_costs_are_counted_in_tokens_of_the_model() -> None:
    task: Task = plugins.load(TASKS, "path_star")
    settings = task.Settings(arms=3, length=2)
    tokenizer = train(CharacterSettings(), [",/" + task.actions])
    model = build(_model(tokenizer.size)).eval()
    puzzles = distinct(task, settings, "test", 6, seed=0)
    prompt = len(puzzles[0].prompt()) + 4

    def tokens(arm: str, samples: int) -> int:
        return measure(
            arm, model, tokenizer, task, settings, "test", puzzles, samples=samples, seed=0, advance=lambda done: None
        ).tokens

    assert tokens("greedy", 1) == 6 * (prompt + 1)  # the last action is not read
    assert tokens("best_of_n", 5) == 6 * (prompt + 5)
    assert tokens("majority", 5) == 6 * (prompt + 5)
    assert tokens("beam", 5) == 6 * (prompt + 5)


def test_arms_are_paired_puzzle_by_puzzle() -> None:
    from think.core.eval.reasoning.measure import Measured

    one = Measured("a", np.array([1, 1, 1, 0, 0]), 10, 100, 1.0)
    two = Measured("b", np.array([1, 0, 0, 0, 1]), 10, 100, 1.0)
    assert one.against(two)["only_this"] == 2
    assert one.against(two)["only_that"] == 1
    assert one.as_json()["solved"] == 3
    assert one.as_json()["tokens_per_puzzle"] == 2.0
