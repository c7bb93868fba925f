"""Ways of answering, before models whose every probability is known."""

from itertools import product

import numpy as np
import pytest
import torch

from think.core import plugins
from think.core.data.puzzles import FAMILY as TASKS
from think.core.data.puzzles import Environment, Task
from think.core.data.puzzles.batch import Positions, environment
from think.core.data.puzzles.encoding import Encoding
from think.core.data.puzzles.items import distinct
from think.core.data.puzzles.play import judge
from think.core.data.tokenizer import CharacterSettings, Tokenizer, train
from think.core.errors import UsageError
from think.core.eval.reasoning.arms import FAMILY, _judged
from think.core.eval.reasoning.arms.random_legal import random_play
from think.core.eval.reasoning.latent import Latent
from think.core.eval.reasoning.measure import Exam
from think.core.eval.reasoning.planner import Planner
from think.core.eval.reasoning.player import Answers, Player
from think.core.models import build
from think.core.models.thinking import Settings as ModelSettings
from think.core.planning.critic import Critic, CriticSettings, MlpHead
from think.core.planning.dynamics import Dynamics, DynamicsSettings
from think.core.planning.exact import ExactWorld
from think.core.planning.rules import Gumbel, SearchSettings

ARMS = plugins.names(FAMILY)
TASK: Task = plugins.load(TASKS, "sudoku4")
SETTINGS = TASK.Settings()
PUZZLES = distinct(TASK, SETTINGS, "test", 6, seed=0)


@pytest.fixture(scope="module")
def player() -> Player:
    """A small model with random weights, sharpened so that its choices differ, and a critic as random as it."""
    return _player()


def _tokenizer() -> Tokenizer:
    return train(CharacterSettings(), ["./" + TASK.actions])


def _player(backbone: str = "copy") -> Player:
    tokenizer = _tokenizer()
    torch.manual_seed(0)
    model = build(_model(tokenizer.size)).eval()
    critic = Critic(CriticSettings(backbone=backbone, head=MlpHead(inner=8)), model.settings).eval()
    critic.copy(model)
    with torch.no_grad():
        model.embedding.weight.mul_(12)
        for head in critic.heads.parameters():
            head.mul_(5)
    encoding = Encoding(TASK, tokenizer)
    world = ExactWorld(model, critic, torch.from_numpy(encoding.actions))
    settings = SearchSettings(simulations=6, rule=Gumbel(considered=4, noise=0.0, value_scale=1.0))
    dynamics = Dynamics(DynamicsSettings(latent=8, embedding=8), model.settings.layers, model.settings.width, 4).eval()
    latent = Latent(model, dynamics, settings)
    return Player(model, encoding, Planner(world, settings), Player(model, encoding), latent)


def _model(vocabulary: int) -> ModelSettings:
    return ModelSettings.model_validate(
        {
            "vocabulary": vocabulary,
            "width": 16,
            "layers": 2,
            "gamma": 0.5,
            "mixer": {
                "kind": "hybrid",
                "rwkv": {"heads": 2, "mix_rank": 2, "decay_rank": 2},
                "mamba": {"expand": 1, "head_width": 8, "state": 8},
                "fusion": {"kind": "hybrid_norm"},
                "memory": {"h0": True},
            },
            "feed_forward": {"kind": "channel_mix", "inner": 16},
        }
    )


def _rules(kind: type = Positions, rows: slice = slice(None)) -> Environment:
    made = Positions(TASK, SETTINGS, "test") if kind is Positions else environment(TASK, SETTINGS, "test")
    made.load(PUZZLES[rows])
    return made


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("name", ARMS)
def test_what_an_arm_says_is_what_the_rules_judge(name: str, player: Player) -> None:
    found = plugins.load(FAMILY, name).answer(player, _rules(), 4, _generator())
    for puzzle, actions, solved in zip(PUZZLES, found.actions, found.solved, strict=True):
        judgement = judge(puzzle, "".join(TASK.actions[action] for action in actions), TASK.actions)
        assert judgement.taken == len(actions)
        assert judgement.solved == bool(solved)


@pytest.mark.parametrize("name", ARMS)
def test_batched_and_scalar_rules_give_the_same(name: str, player: Player) -> None:
    arm = plugins.load(FAMILY, name)
    one, other = (arm.answer(player, _rules(kind), 3, _generator()) for kind in (Positions, object))
    assert one.actions == other.actions
    assert (one.solved == other.solved).all()
    assert np.allclose(one.likelihood, other.likelihood)


@pytest.mark.parametrize("name", ["greedy", "beam", "best_of_n", "search", "refine"])
def test_the_likelihood_is_that_of_the_actions(name: str, player: Player) -> None:
    found = plugins.load(FAMILY, name).answer(player, _rules(), 4, _generator())
    for row in range(6):
        board, total = player.begin(_rules(rows=slice(row, row + 1))), 0.0
        for place, action in enumerate(found.actions[row]):
            total += float(board.scores[0, action])
            board.rules.step(np.array([action]))
            if place + 1 < len(found.actions[row]):
                board = player.go_on(board, np.array([action]))
        assert found.likelihood[row] == pytest.approx(total, abs=1e-4)


def test_one_beam_is_greedy(player: Player) -> None:
    greedy = plugins.load(FAMILY, "greedy").answer(player, _rules(), 1, _generator())
    beam = plugins.load(FAMILY, "beam").answer(player, _rules(), 1, _generator())
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

        def rules(puzzle=puzzle) -> Environment:
            made = environment(task, settings, "test")
            made.load([puzzle])
            return made

        walks = {}
        for arm, _ in product(range(3), range(1)):
            start = other.begin(rules())
            first = np.flatnonzero(start.rules.legal()[0])[arm : arm + 1]
            total = float(start.scores[0, first[0]])
            start.rules.step(first)
            second = np.flatnonzero(start.rules.legal()[0])
            walks[(int(first[0]), int(second[0]))] = total
        found = plugins.load(FAMILY, "beam").answer(other, rules(), 5, _generator())
        assert found.actions[0] == max(walks, key=lambda walk: walks[walk])


def test_more_samples_give_the_likelier_of_them(player: Player) -> None:
    few = plugins.load(FAMILY, "best_of_n").answer(player, _rules(), 1, _generator())
    many = plugins.load(FAMILY, "best_of_n").answer(player, _rules(), 24, _generator())
    assert many.likelihood.mean() > few.likelihood.mean()
    assert (many.likelihood >= few.likelihood - 1e-4).mean() > 0.5


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
    found = Exam(model, tokenizer, task, settings, "test", puzzles, 0).measure("random_legal", 8, done.append)
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
        return Exam(model, tokenizer, task, settings, "test", puzzles, 0).measure(arm, samples).tokens

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


def _answers(name: str, player: Player, kind: type = Positions, samples: int = 3) -> Answers:
    found: Answers = plugins.load(FAMILY, name).answer(player, _rules(kind), samples, _generator())
    return found


class _Lying:
    """Rules that say of every end that it is the other one."""

    def __init__(self, rules: Environment):
        self._rules = rules

    @property
    def actions(self) -> int:
        return self._rules.actions

    def prompts(self) -> np.ndarray:
        return self._rules.prompts()

    def legal(self) -> np.ndarray:
        return self._rules.legal()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ended, solved = self._rules.step(actions)
        return ended, ended & ~solved

    def rows(self, index: np.ndarray) -> "_Lying":
        return _Lying(self._rules.rows(index))

    def put(self, index: np.ndarray, others: "_Lying") -> None:
        self._rules.put(index, others._rules)


@pytest.mark.parametrize("name", ARMS)
def test_no_arm_acts_on_whether_a_puzzle_is_solved(name: str, player: Player) -> None:
    arm = plugins.load(FAMILY, name)
    honest = arm.answer(player, _rules(object), 3, _generator())
    lied_to = arm.answer(player, _Lying(_rules(object)), 3, _generator())
    assert honest.actions == lied_to.actions
    assert (honest.solved == 1 - lied_to.solved).all()


def test_identity_is_greedy_and_shuffled_values_are_not_the_search(player: Player) -> None:
    assert _answers("search_identity", player).actions == _answers("greedy", player).actions
    assert _answers("search", player).actions != _answers("greedy", player).actions
    assert _answers("search", player).actions != _answers("search_shuffled", player).actions


def test_the_larger_model_answers_by_itself(player: Player) -> None:
    one = player.other.tokens
    assert _answers("larger", player).actions == _answers("greedy", player).actions  # here it is the same model
    assert player.other.tokens > one


def _worths(player: Player, answers: Answers) -> np.ndarray:
    prompts = player.planned.world.opened(player.prompts(_rules()))
    return _judged.at_end(_judged.worth(player, prompts, answers))


@pytest.mark.parametrize("backbone", ["copy", "frozen"])
def test_the_critic_picks_what_it_likes_best_and_refining_never_loses_its_favour(backbone: str) -> None:
    player = _player(backbone)
    one, many = (_worths(player, _answers("best_by_critic", player, samples=n)) for n in (1, 12))
    assert many.mean() > one.mean()
    draft, refined = (_worths(player, _answers("refine", player, samples=n)) for n in (1, 6))
    assert (refined >= draft - 1e-6).all()
    assert (refined > draft + 1e-6).any()
    assert _answers("refine", player, samples=1).actions == _answers("greedy", player).actions


def test_a_judgement_is_what_a_search_finds_a_place_worth(player: Player) -> None:
    greedy = _answers("greedy", player)
    values = _judged.worth(player, player.planned.world.opened(player.prompts(_rules())), greedy)
    nodes = player.planned.root(player.prompts(_rules()), _rules())
    for step in range(min(map(len, greedy.actions))):
        assert values[:, step] == pytest.approx(player.planned.world.worth(nodes).numpy(), abs=1e-5)
        nodes = player.planned.world.after(nodes, torch.tensor([one[step] for one in greedy.actions]))


def test_a_revision_begins_where_value_falls_most_among_places_with_a_choice() -> None:
    from think.core.eval.reasoning.arms.refine import choices, weakest

    values = np.array([[0.9, 0.8, 0.1, 0.1, np.nan], [0.5, 0.1, 0.4, np.nan, np.nan], [0.9, 0.1, 0.1, 0.1, np.nan]])
    choice = np.array([[True, True, True], [True, True, False], [False, False, True]])
    assert weakest(values, choice).tolist() == [1, 0, 2]
    rules = _rules()
    greedy = random_play(rules.rows(np.arange(len(PUZZLES))), _generator())
    found = choices(rules.rows(np.arange(len(PUZZLES))), greedy)
    for row, puzzle in enumerate(PUZZLES):
        position = puzzle.start()
        for step, action in enumerate(greedy.actions[row]):
            assert found[row, step] == (len(position.legal()) > 1)
            position = position.play(action)


def test_operations_of_every_part_are_counted_and_matched() -> None:
    player = _player()
    planner = player.planned
    exam = Exam(player.model, _tokenizer(), TASK, SETTINGS, "test", PUZZLES, 0, planner=planner)
    sought, greedy = exam.measure("search", 1), exam.measure("greedy", 1)
    assert sought.flops > 2 * greedy.flops
    assert sought.parameters is not None
    assert sought.parameters["critic"] > sought.parameters["backbone"]
    for arm in ("best_by_critic", "refine", "best_of_n"):
        wanted = sought.flops / len(PUZZLES)
        samples = exam.matched(arm, wanted)
        assert samples > 1
        enough, few = (exam.measure(arm, n).flops / len(PUZZLES) for n in (samples, samples - 1))
        assert enough > 0.95 * wanted  # answers differ a little in length
        assert few < 1.05 * wanted
    assert exam.matched("greedy", 1e9) == 1


def test_where_an_answer_is_one_action_further_ones_cost_nothing_and_none_can_match() -> None:
    task: Task = plugins.load(TASKS, "pointer_chase")
    puzzles = distinct(task, task.Settings(), "test", 2, seed=0)
    tokenizer = train(CharacterSettings(), [one.prompt() + "".join(task.actions) for one in puzzles])
    exam = Exam(build(_model(tokenizer.size)).eval(), tokenizer, task, task.Settings(), "test", puzzles, 0)
    for arm in ("best_of_n", "beam"):
        with pytest.raises(UsageError, match="cost nothing"):
            exam.matched(arm, 1e9)
        assert exam.matched(arm, 1.0) == 1


def test_a_frozen_critic_costs_its_heads_alone() -> None:
    player = _player("frozen")
    costs_of = Exam(player.model, _tokenizer(), TASK, SETTINGS, "test", PUZZLES, 0, planner=player.planned)
    copied = Exam(player.model, _tokenizer(), TASK, SETTINGS, "test", PUZZLES, 0, planner=_player().planned)
    assert costs_of.measure("search", 1).flops < 0.7 * copied.measure("search", 1).flops
