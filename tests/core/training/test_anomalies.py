"""The rules cross their limits, speak once, keep quiet, and remember across a resume."""

import json

import pytest

from think.core.training.anomalies import AnomalySettings, Watch


def watch(**changes: float | int) -> Watch:
    return Watch(AnomalySettings(**{"window": 4, "detail_steps": 3, **changes}))  # type: ignore[arg-type]


def test_a_spike_is_measured_against_the_running_median() -> None:
    rules = watch(spike=5.0)
    for step, norm in enumerate([1.0, 2.0, 1.0, 2.0], start=1):
        assert rules.look(step, gradient_norm=norm) == []
    assert rules.look(5, gradient_norm=7.4) == []
    (found,) = rules.look(6, gradient_norm=10.1)
    assert (found.rule, found.value, found.limit) == ("gradient_spike", 10.1, pytest.approx(10.0))


def test_no_spike_is_called_before_there_is_a_median() -> None:
    rules = watch()
    assert [rules.look(step, gradient_norm=10.0**step) for step in (1, 2, 3, 4)] == [[], [], [], []]


@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        ({"top_probability": 0.96, "distinct_share": 0.2}, "mode_collapse"),
        ({"top_probability": 0.96, "distinct_share": 0.4}, None),
        ({"top_probability": 0.9, "distinct_share": 0.2}, None),
        ({"saturation": {"layer 0 rwkv": 0.31}}, "saturated"),
        ({"saturation": {"layer 0 rwkv": 0.3}}, None),
        ({"component_ratio": 10.5}, "component_ratio"),
        ({"component_ratio": 0.09}, "component_ratio"),
        ({"component_ratio": 0.11}, None),
    ],
)
def test_limits(seen: dict[str, object], rule: str | None) -> None:
    found = watch().look(1, gradient_norm=1.0, **seen)  # type: ignore[arg-type]
    assert [anomaly.rule for anomaly in found] == ([] if rule is None else [rule])


def test_detail_is_raised_for_a_set_number_of_steps_however_many_rules_spoke() -> None:
    rules = watch(detail_steps=3)
    assert not rules.detailed(1)
    assert len(rules.look(1, gradient_norm=1.0, component_ratio=99.0, saturation={"a": 1.0, "b": 1.0})) == 3
    assert [rules.detailed(step) for step in (2, 3, 4, 5)] == [True, True, True, False]


def test_a_rule_speaks_when_its_condition_begins_and_keeps_quiet_while_detail_lasts() -> None:
    rules = watch(detail_steps=3)
    spoken = [bool(rules.look(step, gradient_norm=1.0, component_ratio=ratio)) for step, ratio in enumerate(
        [99.0, 99.0, 1.0, 99.0, 1.0, 99.0, 99.0], start=1
    )]  # fmt: skip
    assert spoken == [True, False, False, False, False, True, False]


def test_what_was_not_looked_at_ends_nothing() -> None:
    rules = watch(detail_steps=0)
    assert rules.look(1, gradient_norm=1.0, component_ratio=99.0)
    assert not rules.look(2, gradient_norm=1.0)
    assert not rules.look(3, gradient_norm=1.0, component_ratio=99.0)


def test_rules_go_on_noticing_after_a_resume() -> None:
    one, other = watch(), watch()
    for step in range(1, 8):
        one.look(step, gradient_norm=float(step), component_ratio=99.0 if step == 5 else 1.0)
    other.load(json.loads(json.dumps(one.as_json())))
    for step in range(8, 12):
        seen = {"gradient_norm": 30.0 if step == 9 else 6.0, "component_ratio": 99.0}
        assert one.look(step, **seen) == other.look(step, **seen)  # type: ignore[arg-type]
    assert one.as_json() == other.as_json()
