"""No lying knobs: every setting does what it says; and a knob that is made to lie is caught."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch

from think.core import plugins
from think.core.effects import Case, Laboratory, cases, concerning, fixtures, try_case
from think.core.effects.laboratory import settings_of
from think.core.gates.checks import FAMILY as GATES
from think.core.models import thinking
from think.core.settings import RunSettings
from think.core.training import evaluate, gradients, health, ledger, loop, optimizer, parallel, schedule
from think.presets.fields import choices, leaves
from think.presets.literals import dotted

NOWHERE = cases(Path("workspace"))
"Every case, in a place that does not exist: enough to name them."


def name(case: Case) -> str:
    kinds = ",".join(kind for table, kind in case.kinds.items() if case.key.startswith(table))
    return f"{case.channel}-{case.key}" + (f"[{kinds}]" if kinds else "") + ("=none" if case.others == [None] else "")


def takes_runs(case: Case) -> bool:
    return case.channel not in ("graph", "judge")


EVERY = [
    pytest.param(at, id=name(case), marks=[pytest.mark.slow, pytest.mark.train] if takes_runs(case) else [])
    for at, case in enumerate(NOWHERE)
]


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Laboratory:
    return Laboratory(tmp_path_factory.mktemp("laboratory"))


def case_of(laboratory: Laboratory, key: str) -> Case:
    """The first case of a setting."""
    return next(case for case in cases(laboratory.workspace) if case.key == key and case.others != [None])


@pytest.mark.parametrize("at", EVERY)
def test_the_setting_moves_its_channel_and_nothing_that_it_must_leave_alone(laboratory, at):
    effect = try_case(laboratory, cases(laboratory.workspace)[at])
    assert effect.moved, f"{effect.case.key} acts on {effect.case.channel}: {effect.why}"


def test_every_leaf_has_a_case_and_says_what_it_acts_on():
    covered = {(case.key, *sorted(case.kinds.items())) for case in NOWHERE}
    for leaf in leaves(RunSettings):
        assert (leaf.dotted, *sorted((dotted(table), kind) for table, kind in leaf.kinds.items())) in covered
        assert leaf.channel is not None


def test_every_kind_of_every_choice_has_a_fixture():
    for choice in choices(RunSettings):
        if choice.shape.tagged:
            assert set(fixtures.VARIANTS[dotted(choice.path)]) == set(choice.shape.variants)
    assert set(fixtures.sources(Path("workspace"))) == set(plugins.names("think.core.data.sources"))


def test_every_gate_setting_has_its_evidence():
    judged = {case.key.removeprefix("gates.") for case in NOWHERE if case.channel == "judge" and "kind" not in case.key}
    assert judged == {f"{gate}.{leaf}" for gate in plugins.names(GATES) for leaf in plugins.load(GATES, gate).turns}


def test_the_tiny_run_is_tiny():
    model = thinking.build(settings_of(fixtures.tree(Path("workspace"))).model)
    assert sum(parameter.numel() for parameter in model.parameters()) < 20_000


def test_a_preset_is_asked_only_about_what_it_has():
    tree = fixtures.tree(Path("workspace"))
    tree["model"]["anchors"] = None
    keys = {case.key for case in concerning(NOWHERE, settings_of(tree))}
    assert "model.mixer.fusion.rwkv_gain" in keys
    assert "data.sources.encoding" in keys
    assert (
        not {"model.anchors", "model.anchors.attention.heads", "model.mixer.context", "stage1.optimizer.momentum"}
        & keys
    )
    assert not {"data.sources.fields", "stage1.curriculum.length", "model.mixer.kind"} & keys
    everything = {
        key for leaf in leaves(RunSettings) if (key := leaf.dotted).startswith(("runtime.", "stage1.schedule."))
    }
    assert everything - {"runtime.parallel.backend"} <= keys
    assert "runtime.parallel" in {case.key for case in NOWHERE}
    assert "runtime.parallel.backend" not in keys


def keeps(settings, **fixed):
    """The settings with some values that no change can reach."""
    return settings.model_copy(update=fixed)


LIES = {
    "a model that ignores the soft bound of its logits": (
        "model.logit_cap",
        lambda patch, build=thinking.Thinking.__init__: patch.setattr(
            thinking.Thinking, "__init__", lambda self, settings: build(self, keeps(settings, logit_cap=5.0))
        ),
    ),
    "a loop that never clips": (
        "stage1.max_gradient_norm",
        lambda patch, clip=gradients.clip_gradients: patch.setattr(
            loop, "clip_gradients", lambda parameters, limit, group: clip(parameters, None, group)
        ),
    ),
    "a schedule that falls to zero whatever its floor": (
        "stage1.schedule.floor",
        lambda patch, factor=schedule.factor: patch.setattr(
            schedule, "factor", lambda settings, *rest: factor(keeps(settings, floor=0.0), *rest)
        ),
    ),
    "an optimizer with a second decay of its own": (
        "stage1.optimizer.beta2",
        lambda patch, build=optimizer.build_optimizer: patch.setattr(
            "think.core.training.stages._conduct.build_optimizer",
            lambda settings, *rest, section: build(keeps(settings, beta2=0.999), *rest, section),
        ),
    ),
    "telemetry that writes gradients when it likes": (
        "stage1.telemetry.gradients_every",
        lambda patch: patch.setattr(ledger.Ledger, "wants_gradients", lambda self, step: step % 3 == 0),
    ),
    "held-out text that is always read in two rows": (
        "stage1.evaluation.rows",
        lambda patch, measure=evaluate.evaluate: patch.setattr(
            parallel,
            "evaluate",
            lambda model, split, rows, length, tokens, **rest: measure(model, split, 2, length, tokens, **rest),
        ),
    ),
    "an evaluation that disturbs the training it watches": (
        "stage1.evaluation.every",
        lambda patch, hold_out=loop.hold_out: patch.setattr(loop, "hold_out", disturbing(hold_out)),
    ),
    "a run that takes the threads that it finds": (
        "runtime.threads",
        lambda patch: patch.setattr("think.core.training.stages._conduct.prepare", lambda machine: None),
    ),
    "kernels that are named and not used": (
        "runtime.kernels",
        lambda patch: patch.setattr(thinking.Thinking, "use_kernels", lambda self, name: None),
    ),
    "gates whose saturation is measured at a fixed point": (
        "stage1.telemetry.saturation",
        lambda patch, start=health.Gates.__init__: patch.setattr(
            health.Gates,
            "__init__",
            lambda self, model, saturation, *, listens: start(self, model, 1e-6, listens=listens),
        ),
    ),
}


def disturbing(hold_out):
    def look(run, step, *, whole):
        with torch.no_grad():
            next(iter(run.work.parameters().values())).add_(1e-3)
        return hold_out(run, step, whole=whole)

    return look


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_caught(laboratory, monkeypatch, lie):
    """The sweep itself is tested: broken on purpose, each of these settings must be found out."""
    key, tell = LIES[lie]
    case = case_of(laboratory, key)
    tell(monkeypatch)
    assert not try_case(laboratory.without_memory(), case).moved


def test_a_run_that_is_not_the_same_twice_shows_nothing(laboratory, monkeypatch):
    """Differences count only where equal runs are equal."""
    build, count = thinking.build, iter(range(100))

    def restless(settings):
        torch.manual_seed(next(count))
        return build(settings)

    monkeypatch.setattr("think.core.effects.laboratory.build", restless)
    case = case_of(laboratory, "model.layers")
    effect = try_case(laboratory.without_memory(), case)
    assert not effect.moved
    assert effect.why == "two equal runs differ in graph"


@pytest.mark.slow
@pytest.mark.train
def test_a_compiled_run_has_the_same_losses(tmp_path):
    """On the model that compiles soonest: recurrent ones take minutes, which is what the sweep spares itself."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("torch.compile needs a C++ compiler")
    laboratory = Laboratory(tmp_path)
    tree = fixtures.tree(laboratory.workspace)
    tree["model"] |= {"mixer": {"kind": "attention", "heads": 2, "context": 6}, "anchors": None, "layers": 1}
    tree["stage1"] |= {"steps": 2, "evaluation": {"every": None, "rows": 4}}
    plain = laboratory.result(settings_of(tree))
    tree["runtime"]["compile"] = "default"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own, about what it does not trace
        assert laboratory.result(settings_of(tree)) == pytest.approx(plain, rel=1e-4)
