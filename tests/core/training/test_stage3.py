"""Stage 3: what a critic learns from, that it is calibrated on games it was never trained on, and what is refused."""

import json
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.core.planning.games import known
from tests.core.training.path_stars import Surroundings, path_stars
from think.core.errors import BadSettings
from think.core.runs import RunFolder
from think.core.telemetry.tail import read
from think.core.training.checkpoint import Checkpoints
from think.core.training.predecessor import WEIGHTS
from think.core.training.sealed import read as read_sealed
from think.core.training.stages.stage3 import SPEC, Judging, Stage3Settings, module

pytestmark = pytest.mark.train

SECTION: dict[str, Any] = {
    "steps": 4,
    "rows": 8,
    "beside": 4,
    "learning_rate": 0.01,
    "critic": {"head": {"kind": "mlp", "inner": 8}},
    "games": {"kind": "puzzles", "targets": "outcome"},
    "schedule": {"kind": "wsd", "warmup": 1, "fall": 0.5},
    "evaluation": {"every": 2, "rows": 8, "rows_at_end": 24},
    "checkpoint": {"every": 2},
}


Around = Surroundings[Stage3Settings]


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Around:
    return path_stars(tmp_path_factory.mktemp("around"), Stage3Settings, SECTION)


def objective(around: Around, **changes: Any) -> Judging:
    torch.manual_seed(0)
    request = around.ask(**changes)
    return Judging(request, around.packed, module(request))


def test_a_run_leaves_a_calibrated_critic_and_says_how_well_it_ranks(
    around: Around, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = RunFolder.create(tmp_path_factory.mktemp("runs"), "critic")
    assert SPEC.run(around.ask(), folder, lambda _: None).step == 4
    checkpoint = Checkpoints(folder.checkpoints).latest()
    assert checkpoint is not None
    held = read_sealed(checkpoint, (WEIGHTS,))[WEIGHTS]
    assert (held["scale"] != 1).all(), "the heads were not calibrated at the end"
    assert (held["examined"] > 30).all(), "the heads were not examined at the end"
    assert ((held["base"] > 0) & (held["base"] < 1)).all()
    records = read(folder.path)
    whole = [record.fields for record in records if record.kind == "eval"][-1]
    assert {"auroc", "auroc_0", "calibration_error", "auroc_at_ends", "prompts"} <= set(whole)
    assert whole["prompts"] == 6
    assert all("value_loss" in record.fields for record in records if record.kind == "step")
    fresh = module(around.ask())
    fresh.load_state_dict(held)


def test_a_copied_backbone_is_trained_and_a_frozen_one_has_no_weights_here(around: Around) -> None:
    policy = known("path_star")[2].state_dict()
    copied, frozen = objective(around), objective(around, critic={"backbone": "frozen"})
    backbone = copied.module.backbone
    assert backbone is not None
    assert all(torch.equal(value, policy[name]) for name, value in backbone.state_dict().items())
    assert frozen.module.backbone is None
    copied.losses(1).total.backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
    assert all(parameter.grad is None for parameter in copied.model.parameters())


def test_easier_puzzles_come_first_and_then_the_tasks_own(around: Around) -> None:
    teaching = objective(around, easier=["length=2", "arms=2"], easier_until=0.5)
    seen: list[int] = []
    original = teaching._played

    def watched(by: Any, seed: int, rows: int) -> Any:
        games = original(by, seed, rows)
        seen.append(games.most)
        return games

    teaching._played = watched  # type: ignore[method-assign]
    for step in (1, 2, 3, 4):
        teaching.losses(step)
    assert seen == [2, 2, 3, 3]


def test_calibration_examination_and_judgement_use_other_held_out_games(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    teaching = objective(around, calibration=24)
    seen: list[set[tuple[int, ...]]] = []
    original = teaching._held_out

    def watched(name: str, rows: int) -> Any:
        games, given = original(name, rows)
        seen.append({tuple(row[: games.prompt]) for row in games.tokens.tolist()})
        return games, given

    monkeypatch.setattr(teaching, "_held_out", watched)
    teaching.settle()
    teaching.judge(24)
    assert [len(prompts) for prompts in seen] == [6, 6, 6]  # four games stand beside each other
    assert len(set().union(*seen)) == 18, "one game was used twice"


def test_batches_are_functions_of_the_step(around: Around) -> None:
    one, other = objective(around), objective(around)
    one.losses(1)
    assert float(one.losses(2).total.detach()) == float(other.losses(2).total.detach())
    assert float(one.losses(3).total.detach()) != float(other.losses(2).total.detach())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": 6}, "multiple of beside"),
        ({"games": {"kind": "texts"}}, "one continuation"),
        ({"games": {"kind": "texts"}, "beside": 1, "easier": ["arms=2"], "easier_until": 0.5}, "continuations"),
        ({"easier": ["arms=2"]}, "both or neither"),
        ({"easier_until": 0.5}, "both or neither"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Stage3Settings.model_validate_json(json.dumps({**SECTION, **changes}))


@pytest.mark.parametrize("easier", ["arms", "arms=two", "legs=2", "arms=99"])
def test_easier_puzzles_that_do_not_exist_are_refused(around: Around, easier: str) -> None:
    with pytest.raises(BadSettings):
        objective(around, easier=[easier], easier_until=0.5)
