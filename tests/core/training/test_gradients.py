"""Clipping records what was there before, and components add up to the whole."""

import math

import pytest
import torch
from torch.nn import Parameter

from think.core.training.gradients import clip_gradients, component_norms, component_ratio, start_state_norm


def parameter(*gradient: float) -> Parameter:
    made = Parameter(torch.zeros(len(gradient)))
    made.grad = torch.tensor(gradient)
    return made


def test_clipping_scales_all_and_returns_the_norm_before() -> None:
    one, other = parameter(3.0, 0.0), parameter(4.0)
    assert clip_gradients([one, other, Parameter(torch.zeros(2))], 1.0) == pytest.approx(5.0)
    assert one.grad is not None
    assert other.grad is not None
    assert one.grad.tolist() == pytest.approx([0.6, 0.0])
    assert other.grad.tolist() == pytest.approx([0.8])


@pytest.mark.parametrize("limit", [None, 5.0, 6.0])
def test_small_gradients_stay_as_they_are(limit: float | None) -> None:
    one = parameter(3.0, 4.0)
    assert clip_gradients([one], limit) == pytest.approx(5.0)
    assert one.grad is not None
    assert one.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_reported_and_nothing_is_scaled(bad: float) -> None:
    one = parameter(bad, 4.0)
    assert not math.isfinite(clip_gradients([one], 1.0))
    assert one.grad is not None
    assert one.grad[1] == 4.0


def test_components_add_up_to_the_whole() -> None:
    parameters = {"a": parameter(3.0), "b": parameter(4.0), "c": parameter(12.0), "d": Parameter(torch.zeros(1))}
    norms = component_norms(parameters, {"a": "rwkv", "b": "rwkv", "c": "mamba", "d": "ffn"})
    assert norms == pytest.approx({"ffn": 0.0, "mamba": 12.0, "rwkv": 5.0})
    assert component_ratio(norms) == pytest.approx(5 / 12)
    assert math.hypot(*norms.values()) == pytest.approx(clip_gradients(parameters.values(), None))


def test_a_ratio_needs_both_branches() -> None:
    assert component_ratio({"rwkv": 1.0, "ffn": 1.0}) is None
    assert component_ratio({"rwkv": 1.0, "mamba": 0.0}) == math.inf


def test_start_states_are_told_by_their_name() -> None:
    assert start_state_norm({"a.weight": parameter(1.0)}) is None
    assert start_state_norm({"a.h0": Parameter(torch.zeros(1)), "b.h0": parameter(0.0)}) == 0.0
    assert start_state_norm({"a.h0": parameter(3.0), "b.h0": parameter(4.0), "c": parameter(9.0)}) == pytest.approx(5.0)
