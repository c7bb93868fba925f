"""Stage 2: batches are functions of the step, held-out games are held out, and a world model comes out of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.core.planning.games import PUZZLES, known
from tests.core.training.path_stars import Surroundings, path_stars
from think.core.errors import BadSettings
from think.core.runs import RunFolder
from think.core.telemetry.tail import read
from think.core.training.stages.stage2 import SPEC, Foreseeing, Stage2Settings, module

pytestmark = pytest.mark.train

SECTION: dict[str, Any] = {
    "steps": 6,
    "rows": 8,
    "learning_rate": 0.01,
    "pool": 16,
    "passes": 2,
    "dynamics": {"latent": 6, "embedding": 5},
    "unroll": {"steps": 2, "starts": 2},
    "games": {"kind": "puzzles"},
    "schedule": {"kind": "wsd", "warmup": 2, "fall": 0.5},
    "evaluation": {"every": 3, "rows": 8, "rows_at_end": 24},
    "checkpoint": {"every": 4},
}


Around = Surroundings[Stage2Settings]


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Around:
    return path_stars(tmp_path_factory.mktemp("around"), Stage2Settings, SECTION)


def objective(around: Around, **changes: Any) -> Foreseeing:
    torch.manual_seed(0)
    request = around.ask(**changes)
    return Foreseeing(request, around.packed, module(request))


def test_a_run_leaves_a_world_model_and_says_what_it_foresees(around: Around, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in known("path_star")[2].state_dict().items()}
    folder = RunFolder.create(tmp_path, "dynamics")
    finished = SPEC.run(around.ask(), folder, lambda _: None)
    assert (finished.step, finished.total) == (6, 48)
    records = read(folder.path)
    steps = [record.fields for record in records if record.kind == "step"]
    assert set(steps[0]) >= {"policy_loss", "value_loss", "terminal_loss", "consistency_loss"}
    evaluations = [record.fields for record in records if record.kind == "eval"]
    assert [found["rows"] for found in evaluations] == [8, 24]
    assert evaluations[-1]["games_3"] == 24
    assert evaluations[-1]["skill_3_low"] <= evaluations[-1]["skill_3"] <= evaluations[-1]["skill_3_high"]
    held = objective(around).model.state_dict()
    assert all(torch.equal(held[name], value) for name, value in before.items())


def test_a_step_is_the_same_whatever_came_before(around: Around) -> None:
    """Steps 1 to 4 learn from the first pool of 16 games, in two passes of two steps; 5 begins the second one."""
    through, fresh = objective(around), objective(around)
    seen = {step: through._rows(step - 1)[0].tokens for step in range(1, 7)}
    assert torch.equal(fresh._rows(4)[0].tokens, seen[5])
    assert torch.equal(fresh._rows(1)[0].tokens, seen[2])
    first, second = (torch.cat([seen[step] for step in pair]) for pair in ((1, 2), (3, 4)))
    assert not torch.equal(first, second)
    assert {tuple(row) for row in first.tolist()} == {tuple(row) for row in second.tolist()}
    assert not {tuple(row) for row in seen[5].tolist()} & {tuple(row) for row in first.tolist()}
    assert torch.equal(through.losses(3).total, fresh.losses(3).total)
    assert not torch.equal(through.losses(3).total, through.losses(4).total)


def test_what_is_judged_is_held_out_and_always_the_same(around: Around) -> None:
    made = objective(around)
    assert made.judge(12) == made.judge(12)
    assert made.judge(12) != objective(around, seed=1).judge(12)
    splits = {}
    for name, by in (("train", made.train), ("validation", made.held_out)):
        games = made._play(by, 3, 20)[0]
        prompts = games.tokens[:, 2 : games.prompt - 2].tolist()
        splits[name] = {PUZZLES["path_star"](around.packed.tokenizer.decode(prompt)).split() for prompt in prompts}
    assert splits == {"train": {"train"}, "validation": {"validation"}}


def test_texts_are_foreseen_too(around: Around) -> None:
    made = objective(around, games={"kind": "texts", "prompt": 6, "steps": 4})
    assert len(made.train.actions) == around.request.model.vocabulary
    assert made.losses(1).total > 0
    assert made.judge(16).figures["nodes_1"] > 0


def test_settings_that_contradict_each_other_are_refused(around: Around) -> None:
    with pytest.raises(ValueError, match="pool = 20 must be a multiple of rows = 8; nearest: 16"):
        around.ask(pool=20)
    request = around.ask(games={"kind": "puzzles"})
    texts = replace(request, data=around.request.data.model_copy(update={"sources": ()}))
    with pytest.raises(BadSettings, match="no puzzles"):
        module(texts)
