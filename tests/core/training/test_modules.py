"""Stages that train a module on a backbone: exact resume, records, judgement, and whose weights they stand on."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from think.core import seeding
from think.core.data.manifest import SplitName
from think.core.data.settings import DataSettings
from think.core.data.store import Packed
from think.core.data.tokenizer import CharacterSettings
from think.core.device import RuntimeSettings, resolve
from think.core.errors import BadSettings, Interrupted
from think.core.models.thinking import Settings as ModelSettings
from think.core.processes import Parallel
from think.core.runs import RunFolder
from think.core.telemetry.tail import read as read_records
from think.core.training.checkpoint import Checkpoints
from think.core.training.modules import Judgement, Losses, ModuleSettings, ModuleWork, Objective
from think.core.training.predecessor import Predecessor, weights_digest
from think.core.training.sealed import facts
from think.core.training.stages import Request, Stage
from think.core.training.stages import stage1 as first
from think.core.training.stages._modules import backbone, module_stage

pytestmark = pytest.mark.train

NAME = "probe"
TEACHING: dict[str, Any] = {
    "steps": 6,
    "rows": 32,
    "learning_rate": 0.02,
    "seed": 2,
    "evaluation": {"every": 3, "rows": 4, "rows_at_end": 8},
    "checkpoint": {"every": 2, "keep": 5},
}
STILL: dict[str, Any] = {"steps": 1, "learning_rate": 1e-9}


class Probe(nn.Module):
    """Tells from the hidden state of the backbone which token comes next, with a temperature fitted at the end."""

    def __init__(self, width: int, vocabulary: int):
        super().__init__()
        self.read = nn.Linear(width, vocabulary)
        self.drop = nn.Dropout(0.2)
        self.register_buffer("fitted", torch.zeros(()))
        self.fitted: torch.Tensor


class Reading(Objective):
    """Learns from windows of the text at places drawn anew in each step, and remembers the losses that it had."""

    def __init__(self, request: Request[ModuleSettings], packed: Packed, module: Probe):
        self.module: Probe = module
        self.model, self.settings = backbone(request), request.settings
        names: tuple[SplitName, ...] = ("train", "validation")
        self.texts = {name: torch.from_numpy(packed.split(name).read(0, 320)) for name in names}
        self.losses_seen = torch.zeros(0)

    def losses(self, step: int) -> Losses:
        draw = seeding.generator(self.settings.seed, NAME, step)
        loss = self._loss("train", torch.randint(300, (self.settings.rows,), generator=draw))
        self.losses_seen = torch.cat([self.losses_seen, loss.detach()[None]])
        return Losses(loss, {"double": 2 * float(loss.detach())})

    def judge(self, rows: int) -> Judgement:
        with torch.no_grad():
            loss = self._loss("validation", torch.arange(rows))
        return Judgement(float(loss), rows, {"remembered": float(len(self.losses_seen))})

    def settle(self) -> None:
        self.module.fitted.fill_(3.0)

    def memory(self) -> dict[str, torch.Tensor]:
        return {"losses": self.losses_seen}

    def recall(self, held: Any) -> None:
        self.losses_seen = held["losses"]

    def _loss(self, split: SplitName, starts: torch.Tensor) -> torch.Tensor:
        windows = self.texts[split][starts[:, None] + torch.arange(9)]
        hidden, _ = self.model.hidden(windows[:, :-1])
        logits = self.module.read(self.module.drop(hidden[:, -1]))
        return nn.functional.cross_entropy(logits, windows[:, -1])


def stage() -> Stage:
    def module(request: Request[ModuleSettings]) -> Probe:
        return Probe(request.model.width, request.model.vocabulary)

    return module_stage(NAME, ModuleSettings, module, Reading, after="stage1", tiny={})


@pytest.fixture(scope="module")
def request_for(packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> Request[Any]:
    """A request for the stage under test, which stands on a finished stage 1 of two steps."""
    model = {
        "vocabulary": 48,
        "width": 16,
        "layers": 1,
        "mixer": {"kind": "mamba2", "expand": 1, "head_width": 8, "state": 4},
        "feed_forward": {"kind": "gelu", "inner": 16},
    }
    told = {"steps": 2, "rows": 2, "length": 8, "learning_rate": 0.01, "evaluation": {"rows": 2}}
    made = Request(
        settings=first.Stage1Settings.model_validate_json(json.dumps(told)),
        model=ModelSettings.model_validate_json(json.dumps(model)),
        tokenizer=CharacterSettings(),
        data=DataSettings(path=str(packed.path), split_on="record", validation=0.2),
        pack_command="think data pack",
        machine=resolve(RuntimeSettings(device="cpu", threads=1)),
        preset="test",
        digests={"pack": packed.digest},
    )
    folder = RunFolder.create(tmp_path_factory.mktemp("runs"), "first")
    with seeding.untouched():
        assert first.SPEC.run(made, folder, silent).step == 2
    checkpoint = Checkpoints(folder.checkpoints).latest()
    assert checkpoint is not None
    stands_on = Predecessor(
        "stage1", folder.name, checkpoint, 2, weights_digest(checkpoint), facts(checkpoint)["digests"]
    )
    return replace(made, settings=ModuleSettings.model_validate_json(json.dumps(TEACHING)), predecessor=stands_on)


def silent(_: object) -> None:
    return None


def trained(request: Request[Any], folder: Path, name: str, stop_after: int | None = None, resume: bool = False) -> Any:
    """The run's folder, stopped after a step if so asked."""
    run = RunFolder(folder / name) if resume else RunFolder.create(folder, name)

    def watch(seen: Any) -> None:
        if seen.step == stop_after:
            signal.raise_signal(signal.SIGINT)

    stage().run(replace(request, resume=resume), run, watch)
    return run


@pytest.mark.parametrize("stopped_at", [1, 2, 5])
def test_a_resumed_run_ends_byte_for_byte_as_the_uninterrupted_one(
    request_for: Request[Any], tmp_path: Path, same_bytes: Any, stopped_at: int
) -> None:
    whole = trained(request_for, tmp_path, "whole")
    with pytest.raises(Interrupted):
        trained(request_for, tmp_path, "parts", stop_after=stopped_at - 1 or 1)
    torch.manual_seed(99)  # a new process knows nothing of the old one's generators
    parts = trained(request_for, tmp_path, "parts", resume=True)
    held = [Checkpoints(run.checkpoints).load() for run in (whole, parts)]
    assert held[0].tensors.keys() == {"model", "optimizer", "random", "memory"}
    for group in held[0].tensors:
        assert same_bytes(held[0].tensors[group], held[1].tensors[group]), group
    assert held[0].facts == held[1].facts


def test_what_a_run_leaves_behind(request_for: Request[Any], tmp_path: Path) -> None:
    run = trained(request_for, tmp_path, "run")
    records = read_records(run.path)
    steps = [record for record in records if record.kind == "step"]
    assert [record.step for record in steps] == [1, 2, 3, 4, 5, 6]
    assert [record.fields["rows"] for record in steps] == [32, 64, 96, 128, 160, 192]
    assert all(record.fields["double"] == 2 * record.fields["loss"] for record in steps)
    assert not {"tokens", "tokens_per_second", "length"} & steps[0].fields.keys()
    judged = [record for record in records if record.kind == "eval"]
    assert [(one.step, one.fields["rows"], one.fields["whole"]) for one in judged] == [(3, 4, False), (6, 8, True)]
    assert [one.fields["remembered"] for one in judged] == [3.0, 6.0]
    still = replace(request_for, settings=ModuleSettings.model_validate_json(json.dumps({**TEACHING, **STILL})))
    (fresh,) = [one for one in read_records(trained(still, tmp_path, "still").path) if one.kind == "eval"]
    assert judged[1].fields["loss"] < fresh.fields["loss"], "it learns"
    (start,) = [record for record in records if record.kind == "run_start"]
    assert (start.fields["stage"], start.fields["rows_per_step"]) == (NAME, 32)
    held = Checkpoints(run.checkpoints).load()
    assert held.tensors["model"]["fitted"] == 3.0, "what is fitted at the end is saved"
    assert held.facts["predecessor"]["sha256"] == request_for.predecessor.sha256  # type: ignore[union-attr]


def test_judging_and_saving_change_nothing_that_is_trained(
    request_for: Request[Any], tmp_path: Path, same_bytes: Any
) -> None:
    quiet = {**TEACHING, "evaluation": {"every": None, "rows": 1, "rows_at_end": 8}, "checkpoint": {"every": None}}
    other = replace(request_for, settings=ModuleSettings.model_validate_json(json.dumps(quiet)))
    loud, calm = (trained(each, tmp_path, name) for each, name in ((request_for, "loud"), (other, "calm")))
    held = [Checkpoints(run.checkpoints).load().tensors["model"] for run in (loud, calm)]
    assert same_bytes(*held)


def test_the_backbone_is_that_of_the_predecessor_and_stays_as_it_is(request_for: Request[Any], tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in backbone(request_for).state_dict().items()}
    run = trained(request_for, tmp_path, "run")
    assert set(Checkpoints(run.checkpoints).load().tensors["model"]) == {"read.weight", "read.bias", "fitted"}
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone(request_for).state_dict().items())


def test_another_predecessor_is_refused_on_resume(request_for: Request[Any], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(request_for, tmp_path, "run", stop_after=2)
    assert request_for.predecessor is not None
    other = replace(request_for, predecessor=replace(request_for.predecessor, run="other", sha256="0" * 64))
    with pytest.raises(BadSettings, match="another predecessor") as caught:
        trained(other, tmp_path, "run", resume=True)
    assert "first at step 2" in str(caught.value.expected)
    assert "other at step 2" in str(caught.value.expected)


def test_several_processes_and_a_compiler_are_refused_by_name(request_for: Request[Any]) -> None:
    machine = request_for.machine
    several = replace(machine, parallel=Parallel("ddp", "gloo", 2, 2))
    with pytest.raises(BadSettings, match="one process"):
        stage().check(replace(request_for, machine=several))
    with pytest.raises(BadSettings, match="not compiled"):
        stage().check(replace(request_for, machine=replace(machine, compile="default")))


def test_what_is_not_trained_has_no_share_in_the_gradients() -> None:
    class Half(Objective):
        def __init__(self) -> None:
            self.module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))

        def losses(self, step: int) -> Losses:
            raise NotImplementedError

        def judge(self, rows: int) -> Judgement:
            raise NotImplementedError

    work = ModuleWork(Half(), ModuleSettings.model_validate_json(json.dumps(TEACHING)))
    assert set(work.parameters()) == set(work.components()) == set(work.roles()) == {"0.weight", "0.bias"}
