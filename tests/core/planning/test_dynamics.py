"""The latent world model: its states, its losses and what the report says of it."""

import pytest
import torch
from torch.testing import assert_close

from tests.core.planning.games import known, play
from tests.core.planning.test_trajectories import only
from think.core.models.roles import roles
from think.core.planning import native
from think.core.planning.dynamics import Dynamics, DynamicsSettings
from think.core.planning.foresight import foresee, identity
from think.core.planning.rules import Gumbel, SearchSettings
from think.core.planning.trajectories import GOLD, RANDOM, MixtureSettings, Trajectories
from think.core.planning.unroll import Course, Read, UnrollSettings, courses, losses, read

NAME = "sudoku4"


def made(name: str = NAME, seed: int = 0, **changes: int) -> Dynamics:
    task, _, backbone = known(name)
    torch.manual_seed(seed)
    settings = DynamicsSettings(**{"latent": 6, "embedding": 5, **changes})
    return Dynamics(settings, backbone.settings.layers, backbone.settings.width, len(task.actions))


def lesson(rows: int = 24, seed: int = 0, name: str = NAME) -> tuple[Trajectories, Read]:
    games = play(name).batch(seed, rows, MixtureSettings())
    return games, read(known(name)[2], games, play(name).actions)


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def test_what_is_read_is_what_the_backbone_holds_at_each_node() -> None:
    games, seen = lesson()
    backbone = known(NAME)[2]
    logits, _ = backbone(games.tokens)
    assert games.legal is not None
    for row, node in ((0, 0), (3, 2), (5, 1)):
        at = games.prompt - 1 + node
        assert_close(seen.residuals[row, node], backbone.residuals(games.tokens[row : row + 1])[0][0, at])
        expected = logits[row, at, play(NAME).actions].masked_fill(~games.legal[row, node], -torch.inf).softmax(0)
        assert_close(seen.policy[row, node], expected)


def test_a_state_holds_the_layers_apart() -> None:
    dynamics = made()
    residuals = torch.randn(3, 2, 16)
    states = dynamics.root(residuals)
    assert states.shape == (3, 12)
    assert states.abs().max() < 1
    assert_close(dynamics.root(7 * residuals), states, rtol=1e-4, atol=1e-5)  # sizes of residuals do not matter
    other = residuals.clone()
    other[:, 1] = torch.randn(3, 16)
    moved = dynamics.layers(dynamics.root(other)) != dynamics.layers(states)
    assert not moved[:, 0].any()
    assert moved[:, 1].all()
    assert set(roles(dynamics)) == {name for name, _ in dynamics.named_parameters()}


@torch.no_grad()
def test_a_search_takes_its_states() -> None:
    dynamics = made()
    games, seen = lesson(6)
    assert games.legal is not None
    settings = SearchSettings(simulations=8, rule=Gumbel(considered=4, noise=0.0))
    roots = dynamics.root(seen.residuals[:, 0])
    found = native.search(roots, dynamics.world, settings, legal=games.legal[:, 0])
    assert games.legal[torch.arange(6), 0, found.action].all()


def course_of(games: Trajectories, start: int) -> Course:
    return Course(games, torch.full((len(games), 1), start))


def test_the_loss_is_what_the_equations_say() -> None:
    """A game by itself, unrolled by the world's own step and evaluation."""
    dynamics, (games, seen) = made(values=2), lesson()
    settings = UnrollSettings(steps=3, gradient=1.0)
    found = losses(dynamics, seen, course_of(games, 1), settings)
    real = dynamics.root(seen.residuals)
    variance = real[games.played].var(0, correction=0).clamp(min=1e-4)
    sums: dict[str, list[list[float]]] = {"policy": [], "value": [], "terminal": [], "consistency": []}
    for step in range(1, 4):
        parts: dict[str, list[float]] = {name: [] for name in sums}
        for row in range(len(games)):
            if int(games.steps[row]) < 1 + step:
                continue
            state = real[row, 1:2]
            for action in games.actions[row, 1 : 1 + step].tolist():
                state = dynamics.world.step(state, torch.tensor([action])).states
            node, world = 1 + step, dynamics.world
            over = node == int(games.steps[row])
            if not over:
                parts["policy"].append(-(seen.policy[row, node] * world.policy(state)[0].log_softmax(0)).sum().item())
            worth = world.value(state)[0].sigmoid()
            parts["value"].append(-(worth if games.value[row, node] else 1 - worth).log().mean().item())
            ends = world.end(state).sigmoid().item()
            parts["terminal"].append(-torch.tensor(ends if over else 1 - ends).log().item())
            parts["consistency"].append(((state[0] - real[row, node]) ** 2 / variance).mean().item())
        for name in sums:
            sums[name].append(parts[name])
    for name, parts_of in sums.items():
        means = [sum(part) / len(part) for part in parts_of if part]
        assert getattr(found, name).item() == pytest.approx(sum(means) / len(parts_of), rel=1e-4), name


def test_every_parameter_learns_and_the_target_does_not_move() -> None:
    dynamics, (games, seen) = made(), lesson()
    course = courses(games, UnrollSettings(), drawn())
    losses(dynamics, seen, course, UnrollSettings()).objective.backward()
    for name, parameter in dynamics.named_parameters():
        if not name.startswith("world.reward"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("part", ["policy", "value", "terminal", "consistency"])
def test_weights_weigh(part: str) -> None:
    dynamics, (games, seen) = made(), lesson()
    course = courses(games, UnrollSettings(), drawn())
    zero = dict.fromkeys(("policy", "value", "terminal", "consistency"), 0.0)
    one = losses(dynamics, seen, course, UnrollSettings(**{**zero, part: 1.0}))
    two = losses(dynamics, seen, course, UnrollSettings(**{**zero, part: 2.0}))
    assert one.objective > 0
    assert_close(two.objective, 2 * one.objective)
    if part in ("terminal", "consistency"):
        assert_close(one.objective.detach(), getattr(one, part))


def test_the_gradient_shrinks_on_its_way_back() -> None:
    """Only the end of the third step is asked for: what reaches the root has gone back through three steps."""
    norms = {}
    games, seen = lesson()
    for factor in (1.0, 0.5, 0.0):
        dynamics = made()
        settings = UnrollSettings(steps=1, policy=0, value=0, consistency=0, gradient=factor)
        losses(dynamics, seen, course_of(games, 0), settings).objective.backward()
        norms[factor] = dynamics.projections[0].weight.grad.norm().item()
    assert norms[0.5] == pytest.approx(norms[1.0] / 2, rel=1e-4)
    assert norms[0.0] == 0


def test_gold_moves_the_target_of_solutions_only() -> None:
    dynamics = made()
    for kind in (GOLD, RANDOM):
        games = play(NAME).batch(0, 12, only(kind))
        seen = read(known(NAME)[2], games, play(NAME).actions)
        parts = [
            losses(dynamics, seen, course_of(games, 0), UnrollSettings(gold=share)).policy.item() for share in (0, 1)
        ]
        assert (parts[0] == parts[1]) == (kind == RANDOM)


def test_standing_still_has_no_skill_and_the_shuffle_does_not_matter_to_it() -> None:
    dynamics = made()
    report = foresee(dynamics, [lesson(16, seed) for seed in (1, 2)], identity)
    assert [row.step for row in report.rows] == list(range(9))
    for row in report.rows[1:]:
        assert row.skill.value == pytest.approx(0, abs=1e-12)
        assert row.skill.low == pytest.approx(0, abs=1e-12)
        assert row.shuffle.value == pytest.approx(1, abs=1e-12)
        assert row.games <= 32
        assert row.skill.count == row.games
    figures = report.figures()
    assert figures["skill_3"] == report.rows[3].skill.value
    assert figures["policy_0_low"] == report.rows[0].policy.low
    assert figures["nodes_1"] == report.rows[1].nodes
    assert "skill_0" not in figures
    assert report.as_json()["steps"][3]["skill"]["value"] == figures["skill_3"]


def test_perfect_foresight_has_all_skill() -> None:
    """Dynamics that look up what the backbone holds after the actions: a table of the games themselves."""
    dynamics, (games, seen) = made(), lesson(10)
    real = dynamics.root(seen.residuals).detach()
    table = {
        (state.numpy().tobytes(), int(action)): after
        for row in range(len(games))
        for state, after, action in zip(real[row], real[row, 1:], games.actions[row], strict=False)
    }

    def known_steps(states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        pairs = zip(states, actions.tolist(), strict=True)
        return torch.stack([table.get((state.numpy().tobytes(), action), 9 + state) for state, action in pairs])

    for row in foresee(dynamics, [(games, seen)], known_steps).rows[1:]:
        assert row.skill.value == pytest.approx(1, abs=1e-6)
        assert row.shuffle is None or row.shuffle.value > 100


@pytest.mark.slow
def test_it_learns_what_actions_do() -> None:
    """Sudoku with an untrained backbone: soon the model foresees better than standing still, by the actions."""
    dynamics, settings = made(latent=16, embedding=16), UnrollSettings(steps=3)
    optimizer = torch.optim.AdamW(dynamics.parameters(), lr=1e-2)
    lessons = [lesson(32, seed) for seed in range(3)]
    for step in range(50):
        games, seen = lessons[step % len(lessons)]
        loss = losses(dynamics, seen, courses(games, settings, drawn(step)), settings)
        optimizer.zero_grad()
        loss.objective.backward()
        optimizer.step()
    held_out = play(NAME, "validation").batch(0, 64, MixtureSettings())
    report = foresee(dynamics, [(held_out, read(known(NAME)[2], held_out, play(NAME).actions))])
    for row in report.rows[1:4]:
        assert row.skill.low > 0.2, row
        assert row.shuffle.low > 1.2, row
        assert row.terminal.value > max(row.over, 1 - row.over) - 0.02
    assert 1 < report.dimensions < 32
