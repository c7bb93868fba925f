"""Heads on every layer: what they read, what they learn, and what calibration makes of it."""

import math
from dataclasses import replace

import pytest
import torch

from tests.core.planning.test_exact import model
from think.core.errors import BadData
from think.core.models.roles import roles
from think.core.planning.confidence import LEAST, Trust
from think.core.planning.critic import Critic, CriticSettings, LinearHead, MlpHead
from think.core.planning.lessons import examine, judged, loss, residuals, scores
from think.core.planning.trajectories import Trajectories
from think.core.training.weights import load_weights, weights


def critic(backbone: str = "copy", head: LinearHead | MlpHead | None = None, caution: float = 0.0) -> Critic:
    torch.manual_seed(1)
    settings = CriticSettings(backbone=backbone, head=head or MlpHead(inner=8), caution=caution)
    made = Critic(settings, model().settings)
    made.copy(model())
    return made


def games(rows: int = 6, beside: int = 2) -> Trajectories:
    """Games of 3 actions after 5 tokens, of which every third ends after 2; the last token decides: 7 is success."""
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(20, (rows, 8), generator=random)
    tokens[:, :5] = tokens[torch.arange(rows) // beside * beside, :5]
    steps = torch.where(torch.arange(rows) % 3 == 0, 2, 3)
    tokens[torch.arange(rows), 4 + steps] = torch.where(torch.arange(rows) % 2 == 0, 7, 3)
    value = (torch.arange(rows) % 2 == 0).float().unsqueeze(1).expand(rows, 4)
    value = value.masked_fill(torch.arange(4) > steps.unsqueeze(1), math.nan)
    ended = torch.ones(rows, dtype=torch.bool)
    return Trajectories(tokens, 5, tokens[:, 5:] * 0, steps, ended, value, None, torch.zeros(rows, dtype=torch.int64))


@pytest.mark.parametrize("backbone", ["copy", "frozen"])
def test_a_prompt_read_once_gives_what_reading_it_for_each_game_gives(backbone: str) -> None:
    judge = critic(backbone)
    once, each = scores(judge, model(), games(), 2), scores(judge, model(), games(), 1)
    assert torch.allclose(once, each, atol=1e-5)
    whole = judge.reader(model()).residuals(games().tokens)[0][:, 4:]
    assert torch.allclose(residuals(judge, model(), games(), 1), whole, atol=1e-5)


def test_a_copy_begins_as_the_backbone_and_leaves_it_alone() -> None:
    policy = model()
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    copied, frozen = critic("copy"), critic("frozen")
    heads = {name: value for name, value in copied.state_dict().items() if not name.startswith("backbone.")}
    frozen.load_state_dict(heads)
    assert torch.equal(scores(copied, policy, games(), 2), scores(frozen, policy, games(), 2))
    loss(copied, scores(copied, policy, games(), 2), games(), 0.5).backward()
    with torch.no_grad():
        for parameter in copied.parameters():
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0
            parameter -= 0.1 * parameter.grad
    assert not torch.equal(scores(copied, policy, games(), 2), scores(frozen, policy, games(), 2))
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    assert set(roles(copied)) == {name for name, _ in copied.named_parameters()}


def test_frozen_heads_alone_are_trained() -> None:
    judge, policy = critic("frozen"), model()
    assert all(name.startswith("heads.") for name, _ in judge.named_parameters())
    loss(judge, scores(judge, policy, games(), 2), games(), 0.0).backward()
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_the_loss_is_that_of_known_places_and_its_share_at_ends() -> None:
    played, judge = games(), critic()
    given = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(3))

    def by_hand(rows: torch.Tensor) -> float:
        entries = [
            math.log1p(math.exp(-float(z) if played.value[place] > 0.5 else float(z)))
            for place in map(tuple, rows.nonzero().tolist())
            for z in given[place]
        ]
        return sum(entries) / len(entries)

    everywhere, at_ends = by_hand(played.value.isfinite()), by_hand(played.over)
    assert float(loss(judge, given, played, 0.0)) == pytest.approx(everywhere, rel=1e-5)
    assert float(loss(judge, given, played, 1.0)) == pytest.approx(at_ends, rel=1e-5)
    assert float(loss(judge, given, played, 0.25)) == pytest.approx(0.75 * everywhere + 0.25 * at_ends, rel=1e-5)


def test_games_without_an_end_are_learned_from_all_the_same() -> None:
    played, judge = games(), critic()
    given = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(3))
    going = replace(played, ended=torch.zeros(6, dtype=torch.bool))
    assert float(loss(judge, given, going, 0.5)) == float(loss(judge, given, played, 0.0))
    found = judged(judge, given, going, 2, resamples=5)
    assert "auroc_at_ends" not in found.figures()


def test_calibration_makes_overconfident_heads_mean_what_they_say_and_keeps_their_order() -> None:
    judge, random = critic("frozen"), torch.Generator().manual_seed(0)
    true = torch.randn(4000, generator=random)
    outcome = torch.rand(4000, generator=random) < true.sigmoid()
    given = torch.stack([5 * true, 0.2 * true + 1, -true], dim=1)
    judge.calibrate(given, outcome)
    assert judge.scale.tolist() == pytest.approx([0.2, 5.0, 0.0], rel=0.1)
    assert judge.bias.tolist() == pytest.approx([0.0, -5.0, 0.0], abs=0.5)
    assert (judge.scale[:2] > 0).all()


def test_caution_takes_off_disagreement() -> None:
    values = torch.tensor([[0.5, 0.5, 0.5], [0.2, 0.5, 0.8]])
    assert critic("frozen").worth(values).tolist() == pytest.approx([0.5, 0.5])
    assert critic("frozen", caution=1.0).worth(values).tolist() == pytest.approx([0.5, 0.2])


def test_a_critic_learns_what_ends_mean_and_says_so() -> None:
    judge, policy = critic("frozen", LinearHead()), model()
    played = games(30)
    before = judged(judge, scores(judge, policy, played, 2).detach(), played, 2, resamples=20)
    optimizer = torch.optim.Adam(judge.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss(judge, scores(judge, policy, played, 2), played, 0.8).backward()
        optimizer.step()
    after = judged(judge, scores(judge, policy, played, 2).detach(), played, 2, resamples=20)
    assert after.loss < before.loss
    assert after.ends is not None
    assert after.ends.value > 0.99
    assert after.auroc.count == 15  # puzzles, not places
    assert set(after.figures()) >= {"auroc", "auroc_0", "auroc_2", "calibration_error", "auroc_at_ends"}


def test_where_nothing_is_known_there_is_nothing_to_learn() -> None:
    judge = critic()
    given = torch.randn(3, judge.layers, requires_grad=True)
    nothing = judge.loss(given, torch.full((3,), math.nan))
    nothing.backward()
    assert (nothing.item(), given.grad.abs().sum().item()) == (0.0, 0.0)


def test_a_critic_that_nobody_examined_is_trusted_in_nothing_and_says_so() -> None:
    judge = critic()
    assert judge.trust == Trust((0.0,) * judge.layers, (0.0,) * judge.layers)
    assert judge.doubt is not None
    assert "never examined" in judge.doubt


def test_an_examination_tells_heads_that_know_from_heads_that_do_not() -> None:
    """The first head says what comes true, all others say what they like."""
    judge = critic()
    outcomes = torch.arange(400) % 2 == 0
    given = torch.randn(400, judge.layers, generator=torch.Generator().manual_seed(0))
    given[:, 0] = torch.where(outcomes, 2.0, -2.0)
    judge.examine(given, outcomes)
    trust = judge.trust
    assert trust.skill[0] == 1.0
    assert max(trust.skill[1:]) < 0.2
    assert trust.base == pytest.approx(given.sigmoid().mean(0).tolist(), abs=1e-5)
    assert judge.examined.tolist() == [200, 200]
    assert judge.doubt is None


@pytest.mark.parametrize(("positions", "says"), [(LEAST, "fewer than"), (2 * LEAST + 2, "from chance")])
def test_heads_that_know_nothing_and_a_handful_of_positions_are_doubted(positions: int, says: str) -> None:
    judge = critic()
    outcomes = torch.arange(positions) % 2 == 0
    judge.examine(torch.zeros(positions, judge.layers), outcomes)
    assert judge.doubt is not None
    assert says in judge.doubt
    assert not any(judge.trust.skill)


def test_the_first_place_of_a_game_and_what_is_not_known_are_not_examined() -> None:
    judge, played = critic(), games(rows=6)
    given = scores(judge, model(), played, 2).detach()
    examine(judge, given, played, 2, resamples=10)
    wanted = played.value[:, 1:]
    wanted = wanted[wanted.isfinite()]
    assert judge.examined.tolist() == [int((wanted == 0).sum()), int((wanted == 1).sum())]


def test_a_checkpoint_from_before_examinations_is_read_as_one_without() -> None:
    judge, fresh = critic(), critic()
    judge.examine(torch.tensor([[9.0], [-9.0]]).repeat(LEAST, judge.layers), torch.tensor([True, False]).repeat(LEAST))
    assert judge.doubt is None
    whole = {name: value.clone() for name, value in weights(judge).items()}
    load_weights(fresh, whole, "here")
    assert fresh.trust == judge.trust
    fresh = critic()
    older = {name: value for name, value in whole.items() if name not in Critic.CAME_LATER}
    assert len(whole) == len(older) + 3
    load_weights(fresh, older, "here")
    assert fresh.doubt is not None
    holder = torch.nn.Sequential(critic())  # as a part of something larger
    load_weights(holder, {f"0.{name}": value for name, value in older.items()}, "here")
    with pytest.raises(BadData, match="bias"):
        load_weights(critic(), {name: value for name, value in older.items() if name != "bias"}, "here")
