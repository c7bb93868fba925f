"""No setting of deliberation beside a text is idle: each, changed alone, changes what is searched or done with it."""

import json
from typing import Any

import pytest
import torch

from tests.core.planning.models import LAYERS, VOCABULARY, model_of
from tests.core.planning.test_deliberate import opened, write
from think.core.generation import Limits
from think.core.models.thinking import Thinking
from think.core.planning.beside import BesideSettings, planner_of
from think.core.planning.critic import Critic, CriticSettings
from think.core.planning.deliberate import Deliberation
from think.core.planning.dynamics import Dynamics, DynamicsSettings
from think.presets.fields import leaves

USUAL: dict[str, Any] = {
    "search.simulations": 12,
    "search.rule.kind": "gumbel",
    "search.rule.considered": 4,
    "search.rule.noise": 0.0,
    "plan.longest": 4,
    "deliberation.every": 4,
    "deliberation.lag": 2,
    "injection.rate": 0.5,
}
PUCT = {name: value for name, value in USUAL.items() if not name.startswith("search.rule.")} | {
    "search.rule.kind": "puct"
}

OTHERS: dict[str, tuple[dict[str, Any], Any]] = {
    "search.simulations": (USUAL, 3),
    "search.discount": (USUAL, 0.1),
    "search.depth": (USUAL, 1),
    "search.rule.kind": (PUCT, "gumbel"),
    "search.rule.considered": (USUAL, 2),
    "search.rule.noise": (USUAL, 5.0),
    "search.rule.visit_offset": (USUAL, 5000.0),
    "search.rule.value_scale": (USUAL, 20.0),
    "search.rule.exploration": (PUCT, 0.0),
    "search.rule.growth": (PUCT, 0.01),
    "plan.longest": (USUAL, 1),
    "deliberation.every": (USUAL, 7),
    "deliberation.ahead": (USUAL, 2),
    "deliberation.queue": (USUAL | {"deliberation.every": 1}, 3),
    "deliberation.lag": (USUAL, 1),
    "injection.rate": (USUAL, 0.1),
    "injection.decay": (USUAL, 0.2),
    "injection.longest_lag": (USUAL, 1),
    "injection.crossing": (USUAL | {"deliberation.every": 1}, "drop"),
    "injection.diverged": (USUAL | {"deliberation.ahead": 2}, "apply"),
}
"Around what each setting is changed, and to what. Every second token of the model stands before a StateNorm."

ELSEWHERE = {"deliberation.busy"}
"It is about searches in a thread of their own, which tests/core/planning/test_deliberate.py lets go one by one."


@pytest.fixture(scope="module")
def model() -> Thinking:
    return model_of("hybrid", period=4)


def done(model: Thinking, told: dict[str, Any]) -> list[Any]:
    """What is written under these settings, and all that is recorded but the times."""
    tree: dict[str, Any] = {}
    for name, value in told.items():
        *tables, leaf = name.split(".")
        table = tree
        for each in tables:
            table = table.setdefault(each, {})
        table[leaf] = value
    settings = BesideSettings.model_validate_json(json.dumps(tree))
    torch.manual_seed(3)
    dynamics = Dynamics(DynamicsSettings(latent=8, embedding=8), LAYERS, model.settings.width, VOCABULARY)
    critic = Critic(CriticSettings(backbone="frozen"), model.settings).requires_grad_(False)
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter.mul_(3.0)
        critic.skill.fill_(1.0)
    seen: list[Any] = []
    untimed = ("seconds", "waited", "milliseconds")

    def note(kind: str, fields: dict[str, Any]) -> None:
        seen.append((kind, {name: value for name, value in fields.items() if name not in untimed}))

    planner = planner_of(
        model, dynamics.eval(), critic.eval(), torch.arange(VOCABULARY), settings, allowed=VOCABULARY, seed=1
    )
    with Deliberation(model, planner, settings.deliberation, settings.injection, note=note) as deliberation:
        written = write(deliberation, opened(model), Limits(tokens=20, temperature=1.0), seed=2)
    return [written, seen, deliberation.counts.as_json()]


def test_equal_settings_do_the_same(model: Thinking) -> None:
    one, other = (done(model, USUAL) for _ in range(2))
    assert one == other
    assert one[2]["injections"] > 0


@pytest.mark.parametrize("name", OTHERS)
def test_a_setting_that_is_changed_changes_what_is_done(model: Thinking, name: str) -> None:
    around, other = OTHERS[name]
    changed = USUAL if name == "search.rule.kind" else around | {name: other}
    assert done(model, changed) != done(model, around)


def test_no_setting_is_left_out() -> None:
    assert {leaf.dotted for leaf in leaves(BesideSettings)} == set(OTHERS) - {"search.rule.kind"} | ELSEWHERE
