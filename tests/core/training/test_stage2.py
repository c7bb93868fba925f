"""Stage 2: batches are functions of the step, held-out games are held out, and a world model comes out of it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.core.planning.games import PUZZLES, known
from think.core.data.pack import pack
from think.core.data.settings import DataSettings
from think.core.data.store import Packed
from think.core.data.tokenizer import CharacterSettings
from think.core.device import RuntimeSettings, resolve
from think.core.errors import BadSettings
from think.core.runs import RunFolder
from think.core.telemetry.tail import read
from think.core.training.checkpoint import Checkpoints
from think.core.training.predecessor import WEIGHTS, Predecessor, weights_digest
from think.core.training.stages import Request
from think.core.training.stages.stage2 import SPEC, Foreseeing, Stage2Settings, module
from think.core.training.weights import weights

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


@dataclass(frozen=True)
class Around:
    """What stage 2 finds: a pack of path-stars, and a checkpoint of a backbone that was never trained."""

    request: Request[Stage2Settings]
    packed: Packed

    def ask(self, **changes: Any) -> Request[Stage2Settings]:
        """The request with other values in its section."""
        return replace(self.request, settings=Stage2Settings.model_validate_json(json.dumps({**SECTION, **changes})))

    def objective(self, **changes: Any) -> Foreseeing:
        torch.manual_seed(0)
        request = self.ask(**changes)
        return Foreseeing(request, self.packed, module(request))


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Around:
    folder = tmp_path_factory.mktemp("around")
    tokenizer, backbone = known("path_star")[1:]
    star = {"kind": "path_star", "arms": 3, "length": 3}
    source = {"kind": "puzzles", "task": star, "count": 60}
    data = DataSettings.model_validate_json(
        json.dumps({"path": str(folder / "pack"), "validation": 0.2, "sources": [source]})
    )
    pack(data.sources, data, tokenizer, folder / "pack")
    packed = Packed.open(folder / "pack")
    path = Checkpoints(folder / "checkpoints").save(7, {WEIGHTS: weights(backbone)}, {"step": 7})
    request = Request(
        settings=Stage2Settings.model_validate_json(json.dumps(SECTION)),
        model=backbone.settings,
        tokenizer=CharacterSettings(),
        data=data,
        pack_command="think data pack",
        machine=resolve(RuntimeSettings(device="cpu", threads=1)),
        preset="test",
        digests={"pack": packed.digest},
        predecessor=Predecessor("stage1", "first", path, 7, weights_digest(path)),
    )
    return Around(request, packed)


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
    held = around.objective().model.state_dict()
    assert all(torch.equal(held[name], value) for name, value in before.items())


def test_a_step_is_the_same_whatever_came_before(around: Around) -> None:
    """Steps 1 to 4 learn from the first pool of 16 games, in two passes of two steps; 5 begins the second one."""
    through, fresh = around.objective(), around.objective()
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
    objective = around.objective()
    assert objective.judge(12) == objective.judge(12)
    assert objective.judge(12) != around.objective(seed=1).judge(12)
    splits = {}
    for name, by in (("train", objective.train), ("validation", objective.held_out)):
        games = objective._play(by, 3, 20)[0]
        prompts = games.tokens[:, 2 : games.prompt - 2].tolist()
        splits[name] = {PUZZLES["path_star"](around.packed.tokenizer.decode(prompt)).split() for prompt in prompts}
    assert splits == {"train": {"train"}, "validation": {"validation"}}


def test_texts_are_foreseen_too(around: Around) -> None:
    objective = around.objective(games={"kind": "texts", "prompt": 6, "steps": 4})
    assert len(objective.train.actions) == around.request.model.vocabulary
    assert objective.losses(1).total > 0
    assert objective.judge(16).figures["nodes_1"] > 0


def test_settings_that_contradict_each_other_are_refused(around: Around) -> None:
    with pytest.raises(ValueError, match="pool = 20 must be a multiple of rows = 8; nearest: 16"):
        around.ask(pool=20)
    request = around.ask(games={"kind": "puzzles"})
    texts = replace(request, data=around.request.data.model_copy(update={"sources": ()}))
    with pytest.raises(BadSettings, match="no puzzles"):
        module(texts)
