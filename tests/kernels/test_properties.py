"""What every implementation must obey whatever the numbers: cuts, resets, causality, rows, strong decay."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from tests.kernels.cases import FAST, IMPLEMENTATIONS, best_kind, closeness
from think.kernels import choose
from think.kernels.compare import OPERATORS, Case, Inputs, compare, differences, evaluate, inputs

pytestmark = pytest.mark.kernel

IN_TIME = {"r", "q", "k", "v", "beta", "log_decay", "x", "dt", "B", "C"}
"Inputs with a time axis, of any operator."

cases = st.builds(
    Case,
    name=st.just("random"),
    time=st.integers(1, 140),
    batch=st.integers(1, 3),
    heads=st.sampled_from([1, 2, 4]),
    key=st.integers(2, 6),
    value=st.integers(1, 6),
    groups=st.just(1),
    decay=st.sampled_from(["mixed", "strong", "none"]),
    resets=st.lists(st.integers(0, 139), max_size=6).map(tuple),
)


def call(operator: str, name: str, given: Inputs, **changes: Any) -> tuple[Tensor, Tensor]:
    arguments = {**given.tensors, "reset": given.reset, **given.options, **changes}
    return OPERATORS[operator](**arguments, implementation=name)


def part(given: Inputs, begin: int, end: int) -> dict[str, Tensor | None]:
    cut = {name: tensor[:, begin:end] for name, tensor in given.tensors.items() if name in IN_TIME}
    return {**cut, "reset": None if given.reset is None else given.reset[:, begin:end]}


@pytest.mark.parametrize(("operator", "name"), FAST)
@hypothesis_given(case=cases, seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_random_shapes_and_resets_match_the_reference(operator: str, name: str, case: Case, seed: int) -> None:
    case = replace(case, resets=tuple(token % case.time for token in case.resets))
    found = compare(operator, name, case, seed=seed)
    assert found.agrees, found.errors


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
@hypothesis_given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_cut_anywhere(operator: str, name: str, data: st.DataObject) -> None:
    """A sequence cut anywhere, the state handed on, gives the same outputs, state and gradients."""
    time = data.draw(st.integers(2, 100), label="time")
    at = data.draw(st.integers(1, time - 1), label="cut")
    resets = tuple(data.draw(st.lists(st.integers(0, time - 1), max_size=3), label="resets"))
    given = inputs(operator, Case("cut", time, key=3, value=2, resets=resets), kind=best_kind(operator, name))
    close = closeness(operator, name)
    leaves = list(given.tensors.values())
    whole, last = call(operator, name, given)
    left, between = call(operator, name, given, **part(given, 0, at))
    right, end = call(operator, name, given, **part(given, at, time), state=between)
    joined = torch.cat([left, right], 1)
    torch.testing.assert_close(joined, whole, **close)
    torch.testing.assert_close(end, last, **close)
    one = torch.autograd.grad(whole.square().sum() + last.sum(), leaves, allow_unused=True)
    two = torch.autograd.grad(joined.square().sum() + end.sum(), leaves, allow_unused=True)
    for first, second in zip(one, two, strict=True):
        if first is None or second is None:  # not every tensor has a part in both
            assert all(gradient is None or not gradient.any() for gradient in (first, second))
        else:
            torch.testing.assert_close(first, second, **close)


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
@pytest.mark.parametrize("at", [0, 1, 31, 32, 63, 64, 69])
def test_reset_is_a_new_beginning(operator: str, name: str, at: int) -> None:
    """From a reset on, all is as if `fresh` had entered there; before it, nothing has changed."""
    given = inputs(operator, Case("reset", 70, batch=1, key=3, value=2, resets=(at,)), kind=best_kind(operator, name))
    close = closeness(operator, name)
    out, last = call(operator, name, given)
    alone, end = call(operator, name, given, **part(given, at, 70) | {"reset": None, "state": None})
    torch.testing.assert_close(out[:, at:], alone, **close)
    torch.testing.assert_close(last, end, **close)
    without, _ = call(operator, name, given, reset=None)
    torch.testing.assert_close(out[:, :at], without[:, :at], **close)


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_reset_without_fresh_begins_at_zero(operator: str, name: str) -> None:
    given = inputs(operator, Case("reset", 70, resets=(0, 20, 66)))
    nothing = torch.zeros_like(given.tensors["fresh"])
    for with_zeros, without in zip(
        call(operator, name, given, fresh=nothing), call(operator, name, given, fresh=None), strict=True
    ):
        torch.testing.assert_close(with_zeros, without)


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_state_that_is_not_given_is_fresh(operator: str, name: str) -> None:
    given = inputs(operator, Case("default", 40))
    fresh = given.tensors["fresh"]
    begun, _ = call(operator, name, given, state=None)
    spelt, _ = call(operator, name, given, state=fresh.expand(2, *fresh.shape))
    assert torch.equal(begun, spelt)
    empty, _ = call(operator, name, given, state=None, fresh=None)
    zeros, _ = call(operator, name, given, state=torch.zeros(2, *fresh.shape), fresh=None)
    assert torch.equal(empty, zeros)


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_reset_that_never_comes_costs_and_changes_nothing(operator: str, name: str) -> None:
    given = inputs(operator, Case("never", 70))
    never = Inputs(given.tensors, torch.zeros(2, 70, dtype=torch.bool), given.options)
    first, second = evaluate(operator, name, given), evaluate(operator, name, never)
    assert all(torch.equal(first[tensor], second[tensor]) for tensor in first)


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
@pytest.mark.parametrize("at", [1, 32, 40, 68])
def test_later_tokens_change_no_bit_of_earlier_outputs(operator: str, name: str, at: int) -> None:
    given = inputs(operator, Case("causal", 70, resets=(20, 50)))
    out, _ = call(operator, name, given)
    changed = {}
    for tensor, value in given.tensors.items():
        if tensor in IN_TIME:
            changed[tensor] = value.detach().clone()
            changed[tensor][:, at:] *= 3.0
    again, _ = call(operator, name, given, **changed)
    assert torch.equal(out[:, :at], again[:, :at])
    assert not torch.equal(out[:, at:], again[:, at:])


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_other_rows_change_no_bit_of_a_row(operator: str, name: str) -> None:
    given = inputs(operator, Case("rows", 70, batch=3, resets=(20, 50)))
    out, last = call(operator, name, given)
    changed = {}
    for tensor, value in given.tensors.items():
        if tensor in IN_TIME | {"state"}:
            changed[tensor] = value.detach().clone()
            changed[tensor][1:] *= 2.0
    again, end = call(operator, name, given, **changed)
    assert torch.equal(out[0], again[0])
    assert torch.equal(last[0], end[0])
    assert not torch.equal(out[1], again[1])


@pytest.mark.parametrize("operator", ["rwkv6", "ssd", "delta_rule"])
@pytest.mark.parametrize("log_decay", [-50.0, -1e3, -1e5])
def test_any_decay_is_finite(operator: str, log_decay: float) -> None:
    """Alone, and in between weak decays, where a difference of running sums would lose all digits."""
    for every in (1, 7):
        given = inputs(operator, Case("strong", 100, decay="none", resets=(30,)))
        tensors = {name: tensor.detach().clone() for name, tensor in given.tensors.items()}
        if operator != "ssd":
            tensors["log_decay"] -= 1e-3
            tensors["log_decay"][:, ::every] = log_decay
        else:
            tensors["A"] = torch.full_like(tensors["A"], -1.0)
            tensors["dt"] = torch.full_like(tensors["dt"], 1e-3)
            tensors["dt"][:, ::every] = -log_decay
        strong = Inputs(tensors, given.reset, given.options).to(torch.float32)
        expected = evaluate(operator, "reference", strong)
        for name in choose.usable(operator):
            found = evaluate(operator, name, strong)
            assert all(tensor.isfinite().all() for tensor in found.values())
            assert max(differences(expected, found).values()) < 1e-4
