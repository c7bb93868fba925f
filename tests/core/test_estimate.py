"""The time that a plan promises, against clocks that are known."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from think.core import estimate as estimates
from think.core.data.store import Packed
from think.core.derive import RunPlan, derive
from think.core.device import Machine, RuntimeSettings, resolve
from think.core.models.thinking import Settings as ModelSettings
from think.core.training.language import LanguageSettings

MODEL = ModelSettings.model_validate(
    {
        "vocabulary": 32,
        "width": 16,
        "layers": 1,
        "mixer": {"kind": "rwkv6", "heads": 2, "mix_rank": 2, "decay_rank": 2},
        "feed_forward": {"kind": "gelu", "inner": 32},
    }
)


def settings(**changes: Any) -> LanguageSettings:
    told = {"steps": 10, "rows": 4, "length": 8, "learning_rate": 0.01, "schedule": {"kind": "wsd", "warmup": 0}}
    return LanguageSettings.model_validate_json(json.dumps({**told, **changes}))


@pytest.fixture
def machine() -> Machine:
    return resolve(RuntimeSettings(device="cpu", threads=1))


def planned(stage: LanguageSettings, machine: Machine) -> RunPlan:
    splits = {"train": SimpleNamespace(tokens=240, documents=3), "validation": SimpleNamespace(tokens=60, documents=1)}
    tokenizer = SimpleNamespace(kind="character", size=30)
    pack = SimpleNamespace(path=Path("p"), manifest=SimpleNamespace(splits=splits, tokenizer=tokenizer))
    return derive("stage1", stage, MODEL, cast(Packed, pack), machine, {})


@pytest.mark.parametrize(
    ("evaluation", "expected"),
    [
        ({"every": None}, 60),
        ({"every": 3}, 4 * 60),  # after steps 3, 6 and 9, and at the end
        ({"every": 5, "tokens": 16}, 16 + 60),  # the one after step 10 is the last, and reads all
        ({"every": 1, "tokens": 1000}, 10 * 60),
    ],
)
def test_evaluations_are_counted(evaluation: dict[str, Any], expected: int, machine: Machine) -> None:
    stage = settings(evaluation=evaluation)
    assert estimates.held_out_tokens(planned(stage, machine), stage) == expected


def test_a_small_model_is_timed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = settings(evaluation={"every": None}, micro_batches=2)
    plan, state = planned(stage, machine), torch.get_rng_state()
    found = estimates.estimate(plan, stage, MODEL, machine)
    assert 0 < found.least < found.likely < found.most
    assert torch.equal(torch.get_rng_state(), state)
    took = iter([100.0, 2.0, 1.0, 4.0])  # the first one warms up
    monkeypatch.setattr(estimates, "_timed_step", lambda *_: next(took))
    found = estimates.estimate(plan, stage, MODEL, machine)
    passes = (10 * 4 * 8 + 60 / 3) / (2 * 8)  # of a micro-batch of two rows
    assert found.likely == pytest.approx(2.0 * passes)
    assert found.least == pytest.approx(0.9 * passes)
    assert found.most == pytest.approx(1.3 * 4.0 * passes)


def test_the_precision_of_the_run_is_what_is_timed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = estimates.language_loss_of

    def spied(network: Any, tokens: torch.Tensor) -> torch.Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return real(network, tokens)

    monkeypatch.setattr(estimates, "language_loss_of", spied)
    for precision, expected in (("float32", False), ("bfloat16", True)):
        stage = settings(precision=precision)
        estimates.estimate(planned(stage, machine), stage, MODEL, machine)
        assert set(seen) == {expected}
        seen.clear()


def test_a_large_model_is_reckoned(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = settings(evaluation={"every": None})
    plan = planned(stage, machine)
    operations = plan.flops_per_token * (plan.tokens + 60 / 3)
    monkeypatch.setattr(estimates, "SMALL_ENOUGH_TO_TIME", 0)
    monkeypatch.setattr(estimates, "multiply_rate", lambda machine: operations / 60)
    found = estimates.estimate(plan, stage, MODEL, machine)
    assert found.least == pytest.approx(60 / estimates.MOST_SHARE)
    assert found.most == pytest.approx(60 / estimates.LEAST_SHARE)
    assert found.likely**2 == pytest.approx(found.least * found.most)
