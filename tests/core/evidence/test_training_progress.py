"""g3's evidence: a run that only looks finished, looks like another one, or was touched afterwards is no evidence."""

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from think.core.data.pack import pack, texts
from think.core.data.store import Packed
from think.core.data.tokenizer import BOS, train
from think.core.evidence import Subject, training_progress
from think.core.evidence._telemetry import UNFINISHED, course, read, spans
from think.core.evidence._unigram import fit
from think.core.gates import run as engine
from think.core.gates import store
from think.core.gates.checks import Gate, g3
from think.core.gates.evidence import Absent, Exhibit, Source, TrainingProgress
from think.core.gates.run import Question
from think.core.gates.verdict import Status
from think.core.models import build
from think.core.runs import RunFolder
from think.core.settings import RunSettings
from think.core.telemetry.writer import Writer
from think.core.training.checkpoint import Checkpoints
from think.core.training.evaluate import evaluate
from think.core.training.weights import weights
from think.presets.decode import decode
from think.presets.sources import read as read_preset

STEPS = 40
TINY = [
    "model.width=16", "model.layers=1", "model.vocabulary=300", "model.feed_forward.inner=32", "model.anchors=none",
    "model.mixer.memory.norm=none", "model.mixer.mamba.head_width=8", "model.mixer.mamba.state=8",
    "model.mixer.rwkv.mix_rank=4", "model.mixer.rwkv.decay_rank=4",
    "tokenizer.size=300", 'data.sources=[{kind="stories",count=40}]',
    f"stage1.steps={STEPS}", "stage1.rows=2", "stage1.evaluation.rows=2", "stage1.schedule.warmup=1",
]  # fmt: skip


@dataclass(frozen=True)
class World:
    """A packed corpus, a run folder that looks like a finished run, and what is asked about it."""

    subject: Subject
    loss: float
    tokens: int

    @property
    def run(self) -> RunFolder:
        assert self.subject.run is not None
        return self.subject.run

    def produce(self) -> Exhibit | Absent:
        return training_progress.produce(self.subject)

    def why(self) -> str:
        found = self.produce()
        assert isinstance(found, Absent)
        return found.why


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    resolved = decode(read_preset("cpu_smoke", [*TINY, f"data.path={json.dumps(str(root / 'data'))}"]), RunSettings)
    settings = resolved.settings
    tokenizer = train(settings.tokenizer, texts(settings.data.sources, settings.data))
    pack(settings.data.sources, settings.data, tokenizer, root / "data")
    packed = Packed.open(root / "data")
    digests = {**resolved.digests, "pack": packed.digest}
    folder = RunFolder.create(root / "runs", "tiny-0001")
    torch.manual_seed(0)
    model = build(settings.model)
    score = evaluate(model, packed.split("validation"), 2, 64)
    Checkpoints(folder.checkpoints).save(STEPS, {"model": weights(model)}, {"step": STEPS})
    with Writer(folder.path, heartbeat_seconds=None) as telemetry:
        telemetry.write("run_start", stage="stage1", steps=STEPS, digests=digests, resumed_from_step=None)
        record_steps(telemetry, 1, STEPS)
        telemetry.write("eval", STEPS, split="validation", loss=score.loss, tokens=score.tokens, whole=True)
    return World(Subject(settings, digests, root / "data", folder, "--run tiny-0001"), score.loss, score.tokens)


def record_steps(telemetry: Writer, first: int, last: int, norm: float = 1.0) -> None:
    for step in range(first, last + 1):
        telemetry.write("step", step, loss=5.0, gradient_norm=norm)
        if step % 2 == 0 and step < STEPS:
            telemetry.write("eval", step, split="validation", loss=6 - step / STEPS, tokens=512, whole=False)


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """A copy that a test may damage."""
    shutil.copytree(made.run.path, tmp_path / "runs" / made.run.name)
    folder = RunFolder(tmp_path / "runs" / made.run.name)
    return replace(made, subject=replace(made.subject, run=folder))


def add(world: World) -> Writer:
    """A second process of the same run."""
    return Writer(world.run.path, heartbeat_seconds=None)


def test_a_finished_run_gives_its_figures(world: World) -> None:
    shown = world.produce()
    assert isinstance(shown, Exhibit)
    seen = shown.evidence
    assert isinstance(seen, TrainingProgress)
    assert (seen.state, seen.steps_done, seen.steps_planned, seen.resumed) == ("finished", STEPS, STEPS, 0)
    assert len(seen.gradient_norms) == STEPS
    assert sum(seen.block_tokens) == world.tokens
    weighted = sum(nats * count for nats, count in zip(seen.model_blocks, seen.block_tokens, strict=True))
    assert weighted / world.tokens == pytest.approx(world.loss, rel=1e-4)
    assert shown.source.checkpoint
    assert shown.source.spans[0].stop == (world.run.path / shown.source.spans[0].file).stat().st_size


def judged(world: World) -> store.Stored:
    """The stored verdict of g3 about this world, all gates before it passing by their examples."""

    def produce(name: str, gate: Gate) -> Exhibit | Absent:
        if name == "g3":
            return world.produce()
        return Exhibit(evidence=gate.examples[0].evidence, source=Source(digests=asked.digests))

    digests = {**world.subject.digests, "code": "c", "vocabulary": "v"}
    asked = Question(digests, {name: engine.load(name).Settings() for name in engine.gates()})
    record = engine.run(["g0", "g1", "g2", "g3"], asked, produce, [])[-1]
    return store.Stored.from_json(json.loads(json.dumps(record.as_json())))


def test_the_evidence_verifies_and_every_touch_afterwards_is_found(world: World) -> None:
    stored = judged(world)
    assert training_progress.recheck(stored, world.run) == training_progress.Recheck()
    # A run that goes on afterwards leaves the bytes that were read as they were.
    with add(world) as telemetry:
        telemetry.write("run_start", steps=STEPS, resumed_from_step=STEPS)
    assert training_progress.recheck(stored, world.run) == training_progress.Recheck()
    first = world.run.path / stored.source.spans[0].file
    content = first.read_bytes()
    first.write_bytes(content.replace(b'"loss":5.0', b'"loss":1.0', 1))
    assert training_progress.recheck(stored, world.run).wrong
    first.write_bytes(content[: len(content) // 2])
    assert training_progress.recheck(stored, world.run).wrong
    first.unlink()
    assert training_progress.recheck(stored, world.run).gone
    first.write_bytes(content)
    weights_file = next(world.run.checkpoints.rglob("model.safetensors"))
    held = weights_file.read_bytes()
    weights_file.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    assert any("checkpoint" in what for what in training_progress.recheck(stored, world.run).wrong)
    shutil.rmtree(world.run.checkpoints)
    assert training_progress.recheck(stored, world.run).gone


def test_figures_that_the_telemetry_does_not_say_are_found(world: World) -> None:
    stored = judged(world)
    assert stored.evidence is not None
    forged = {**stored.evidence, "values": {**stored.evidence["values"], "steps_done": 5000}}
    wrong = training_progress.recheck(replace(stored, evidence=forged), world.run).wrong
    assert any("steps_done" in what for what in wrong)
    better = [nats / 2 for nats in stored.evidence["values"]["model_blocks"]]
    forged = {**stored.evidence, "values": {**stored.evidence["values"], "model_blocks": better}}
    wrong = training_progress.recheck(replace(stored, evidence=forged), world.run).wrong
    assert any("the run recorded" in what for what in wrong)


@pytest.mark.parametrize("name", ["model", "tokenizer", "data", "stage1", "pack"])
def test_a_run_of_other_settings_or_data_is_another_run(world: World, name: str) -> None:
    asked = replace(world.subject, digests={**world.subject.digests, name: "another"})
    assert "was trained with other" in replace(world, subject=asked).why()


def test_data_packed_anew_since_are_not_what_the_run_was_trained_on(world: World) -> None:
    without = {key: digest for key, digest in world.subject.digests.items() if key != "pack"}
    assert "no packed data" in replace(world, subject=replace(world.subject, digests=without)).why()


def test_a_run_that_changed_its_model_half_way_is_no_evidence(world: World) -> None:
    with add(world) as telemetry:
        telemetry.write("run_start", steps=STEPS, resumed_from_step=30, digests=dict(world.subject.digests))
        record_steps(telemetry, 31, STEPS)
    assert isinstance(world.produce(), Exhibit)
    with add(world) as telemetry:
        other = {**world.subject.digests, "pack": "another"}
        telemetry.write("run_start", steps=STEPS, resumed_from_step=30, digests=other)
    with add(world) as telemetry:
        telemetry.write("run_start", steps=STEPS, resumed_from_step=30, digests=dict(world.subject.digests))
        record_steps(telemetry, 31, STEPS)
    assert "other packed data" in world.why()


def test_a_run_without_recorded_digests_is_no_evidence(world: World) -> None:
    first = world.run.path / spans(world.run.path)[0].file
    first.write_bytes(first.read_bytes().replace(b'"digests"', b'"digest_"', 1))
    assert "did not record" in world.why()


def test_what_a_resumed_part_repeats_counts_once(world: World) -> None:
    with add(world) as telemetry:
        telemetry.write("run_start", steps=STEPS, resumed_from_step=30, digests=dict(world.subject.digests))
        record_steps(telemetry, 31, STEPS, norm=9.0)
    shown = world.produce()
    assert isinstance(shown, Exhibit)
    seen = shown.evidence
    assert seen.resumed == 1
    assert seen.gradient_steps == tuple(range(1, STEPS + 1))
    assert seen.gradient_norms == (1.0,) * 30 + (9.0,) * 10


@pytest.mark.parametrize("state", [None, "interrupted", "terminated", "failed"])
def test_a_run_that_did_not_finish_is_no_evidence(world: World, state: str | None) -> None:
    unfinished = world.run.path / "telemetry-0002.jsonl"
    start = json.dumps({"steps": STEPS, "resumed_from_step": 20, "digests": dict(world.subject.digests)})
    lines = [record("run_start", None, json.loads(start)), record("step", 21, {"gradient_norm": 1.0})]
    if state:
        lines.append(record("run_end", 21, {"status": state}))
    unfinished.write_text("".join(line + "\n" for line in lines))
    shown = world.produce()
    assert isinstance(shown, Exhibit)
    verdict = g3.judge(g3.Settings(steps=10), shown.evidence)
    assert verdict.status is Status.NO_EVIDENCE
    assert shown.evidence.state == (state or UNFINISHED)
    assert shown.evidence.steps_done == 21


def test_a_run_that_diverged_fails(world: World) -> None:
    lines = [
        record("run_start", None, {"steps": STEPS, "resumed_from_step": 20, "digests": dict(world.subject.digests)}),
        record("run_end", 21, {"status": "diverged"}),
    ]
    (world.run.path / "telemetry-0002.jsonl").write_text("".join(line + "\n" for line in lines))
    shown = world.produce()
    assert isinstance(shown, Exhibit)
    assert g3.judge(g3.Settings(), shown.evidence).status is Status.FAIL


def record(kind: str, step: int | None, fields: dict[str, Any]) -> str:
    return json.dumps({"v": 1, "run": "tiny", "seq": 0, "time": 1.0, "mono": 1.0, "kind": kind, "step": step, **fields})


def lose_the_checkpoint(world: World) -> None:
    shutil.rmtree(world.run.checkpoints)


def damage_the_checkpoint(world: World) -> None:
    file = next(world.run.checkpoints.rglob("model.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def leave_an_earlier_checkpoint(world: World) -> None:
    shutil.rmtree(world.run.checkpoints)
    model = build(world.subject.settings.model)
    Checkpoints(world.run.checkpoints).save(30, {"model": weights(model)}, {"step": 30})


def exchange_the_weights(world: World) -> None:
    """Better weights from elsewhere under the run's name: whole, of the right step, and not the run's."""
    model = build(world.subject.settings.model)
    with torch.no_grad():
        model.embedding.weight.mul_(30)
    shutil.rmtree(world.run.checkpoints)
    Checkpoints(world.run.checkpoints).save(STEPS, {"model": weights(model)}, {"step": STEPS})


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lose_the_checkpoint, "no checkpoint"),
        (damage_the_checkpoint, "sha256"),
        (leave_an_earlier_checkpoint, "of step 30"),
        (exchange_the_weights, "the run recorded"),
    ],
)
def test_a_checkpoint_that_is_not_the_end_of_the_run_is_no_evidence(
    world: World, harm: Callable[[World], None], said: str
) -> None:
    harm(world)
    assert said in world.why()


def test_without_a_run_the_command_that_makes_one_is_named(world: World) -> None:
    found = training_progress.produce(replace(world.subject, run=None, place="--preset cpu_smoke"))
    assert isinstance(found, Absent)
    assert found.remedy == "`think train stage1 --preset cpu_smoke`"


def test_spans_end_at_the_last_newline_and_a_changed_one_is_refused(world: World) -> None:
    file = world.run.path / "telemetry-0001.jsonl"
    whole = spans(world.run.path)
    file.write_bytes(file.read_bytes() + b'{"torn":')
    assert spans(world.run.path) == whole
    content = read(world.run.path, whole)
    assert course(content + b"not json\n") == course(content)
    with pytest.raises(ValueError, match="is no file"):
        read(world.run.path, (whole[0].model_copy(update={"file": "../../etc/passwd"}),))


def test_nan_in_telemetry_stays_nan() -> None:
    seen = course(record("step", 1, {"gradient_norm": "nan"}).encode() + b"\n")
    assert math.isnan(seen.gradient_norms[0])


def test_unigram_is_add_one_counting(made: World) -> None:
    packed = Packed.open(made.subject.data)
    split, size = packed.split("train"), packed.tokenizer.size
    model = fit(split, size)
    counts = Counter(token for token in split.read(0, split.tokens).tolist() if token != BOS)
    total = sum(counts.values())
    expected = [-math.log((counts[token] + 1) / (total + size)) for token in range(size)]
    np.testing.assert_allclose(model.nats, expected, rtol=1e-12)
    assert np.exp(-model.nats).sum() == pytest.approx(1.0)
    assert model.fitted_on == total


def test_unigram_is_scored_on_the_very_tokens_of_the_model(made: World) -> None:
    split = Packed.open(made.subject.data).split("validation")
    score = evaluate(build(made.subject.settings.model), split, 2, 64)
    blocks = fit(split, 300).blocks(split, 2, 64, len(score.blocks))
    assert [count for _, count in blocks] == [count for _, count in score.blocks]
