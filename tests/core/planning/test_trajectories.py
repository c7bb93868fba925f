"""Games against the scalar rules: what was played, what was legal, what it was worth, and who played it."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tests.core.planning.games import known, play, puzzle
from think.core.data.puzzles import Position
from think.core.data.puzzles.encoding import Encoding
from think.core.errors import BadSettings
from think.core.planning.trajectories import GOLD, KINDS, NOISY, OWN, RANDOM, MixtureSettings, Play, drawn_from

TASKS = ("path_star", "countdown", "sudoku4")


def only(kind: int, **changes: float) -> MixtureSettings:
    """One kind of games."""
    shares = {name: float(other == kind) for name, other in zip(("gold", "own", "noisy", "random"), KINDS, strict=True)}
    return MixtureSettings(**shares, **changes)


def can_be_solved(position: Position) -> bool:
    """By trying everything."""
    return position.solved or any(can_be_solved(position.play(action)) for action in position.legal())


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("targets", ["solvable", "outcome"])
def test_every_game_is_one_by_the_rules(name: str, targets: str) -> None:
    games = play(name, targets=targets).batch(
        1, {"path_star": 16, "countdown": 6, "sudoku4": 3}[name], MixtureSettings(noise=0.5)
    )
    actions = play(name).actions
    for row in range(len(games)):
        asked = puzzle(name, games.tokens[row, : games.prompt])
        assert asked.split() == "train"
        place, steps = asked.start(), int(games.steps[row])
        values, first = [], 5 if name == "sudoku4" and targets == "solvable" else 0  # trying all takes long before
        for step, action in enumerate(games.actions[row].tolist()):
            assert games.legal is not None
            assert games.legal[row, step].nonzero().flatten().tolist() == list(place.legal())
            assert games.tokens[row, games.prompt + step] == actions[action]
            if step < steps:
                values.append(can_be_solved(place) if step >= first else None)
                place = place.play(action)
            else:
                assert action == games.actions[row, steps - 1]
        assert place.ended
        assert games.ended[row]
        assert games.over[row].nonzero().flatten().tolist() == [steps]
        values.append(place.solved)
        expected = [place.solved] * len(values) if targets == "outcome" else values
        assert games.value[row, first : steps + 1].tolist() == expected[first:]
        assert games.value[row, steps + 1 :].isnan().all()
        assert games.played[row].sum() == steps + 1


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_is_a_function_of_the_seed(name: str) -> None:
    one, same, other = (play(name).batch(seed, 12, MixtureSettings()) for seed in (3, 3, 4))
    for part in ("tokens", "actions", "steps", "ended", "legal", "kind"):
        assert torch.equal(getattr(one, part), getattr(same, part))
    assert_close(one.value, same.value, equal_nan=True)
    assert not torch.equal(one.tokens, other.tokens)
    some = one.rows(torch.tensor([5, 5, 0]))
    assert torch.equal(some.tokens[1], one.tokens[5])
    assert torch.equal(some.over[2], one.over[0])


def test_kinds_play_as_they_are_called() -> None:
    solved = {}
    for kind in KINDS:
        games = play("path_star").batch(0, 400, only(kind, noise=0.5))
        assert (games.kind == kind).all()
        solved[kind] = games.value[:, -1].mean().item()
    assert solved[GOLD] == 1
    assert solved[RANDOM] == pytest.approx(0.2, abs=0.06)
    assert solved[NOISY] == pytest.approx(0.5 + 0.5 * 0.2, abs=0.08)
    assert play("path_star").batch(0, 50, only(NOISY, noise=0.0)).value.min() == 1


def test_shares_are_kept() -> None:
    games = play("countdown").batch(0, 2000, MixtureSettings(gold=0.2, own=0.0, noisy=0.1, random=0.1))
    assert torch.bincount(games.kind, minlength=4).tolist() == pytest.approx([1000, 0, 500, 500], abs=90)
    with pytest.raises(BadSettings, match="no kind of games"):
        play("countdown").batch(0, 2, MixtureSettings(gold=0, own=0, noisy=0, random=0))


@torch.no_grad()
def test_its_own_games_are_drawn_from_the_model() -> None:
    """Log-probabilities of what was played have the mean that the entropies of the distributions promise."""
    games = play("sudoku4").batch(0, 600, only(OWN))
    _, _, made = known("sudoku4")
    logits = made(games.tokens)[0][:, games.prompt - 1 : -1][:, :, play("sudoku4").actions]
    assert games.legal is not None
    legal, chosen = games.legal[:, :-1], games.played[:, 1:]
    log = logits.masked_fill(~legal, -torch.inf).log_softmax(-1)
    played = log.gather(2, games.actions.unsqueeze(2)).squeeze(2)[chosen]
    entropy = -(log.exp() * log.nan_to_num(neginf=0)).sum(-1)[chosen]
    spread = (played + entropy).std() / len(played) ** 0.5
    assert abs((played + entropy).mean()) < 4 * spread
    assert entropy.mean() < 0.95 * legal.sum(-1)[chosen].log().mean()  # the model has preferences


def test_other_weights_move_only_the_models_own_games() -> None:
    name = "sudoku4"
    made = known(name)[2]
    before = play(name).batch(0, 64, MixtureSettings())
    kept = made.head.weight.clone()
    with torch.no_grad():
        made.head.weight.copy_(10 * torch.randn(kept.shape, generator=torch.Generator().manual_seed(0)))
        after = play(name).batch(0, 64, MixtureSettings())
        made.head.weight.copy_(kept)
    own = before.kind == OWN
    wide = min(before.most, after.most)
    same = (before.actions[:, :wide] == after.actions[:, :wide]).all(1)
    assert same[~own].all()
    assert not same[own].all()


def test_what_nothing_can_tell_is_refused() -> None:
    task, tokenizer, made = known("pointer_chase")
    with pytest.raises(BadSettings, match="no exact solver"):
        Play(made, Encoding(task, tokenizer), task, task.Settings(), "train", "solvable")
    games = play("pointer_chase", targets="outcome").batch(0, 40, MixtureSettings())
    assert games.most == 1
    assert (games.value[games.kind == GOLD] == 1).all()


def test_an_action_without_probability_is_never_drawn() -> None:
    probability = np.array([[0.0, 0.4, 0.0, 0.6, 0.0]] * 4)
    assert drawn_from(probability, np.array([0.0, 0.39, 0.41, 1 - 2**-53])).tolist() == [1, 1, 3, 3]
