"""Every implementation against its reference: outputs, final state and all gradients, float32 and bfloat16."""

import pytest
import torch

from tests.kernels.cases import FAST, IMPLEMENTATIONS, best_kind
from think.kernels import choose
from think.kernels.compare import CASES, OPERATORS, STATELESS, Case, Inputs, compare, differences, evaluate, inputs

pytestmark = pytest.mark.kernel


ODD = (
    Case("two tokens", 2, batch=1, heads=1, key=2, value=1),
    Case("three tokens, all reset", 3, resets=(0, 1, 2)),
    Case("just one chunk of 32", 32, key=3, value=3),
    Case("one token beyond a chunk of 64", 65, heads=4, groups=4, resets=(64,)),
    Case("one token short of two chunks", 127, heads=6, groups=3, key=2, value=9, resets=(1, 2, 126)),
    Case("reset at the first token only", 70, resets=(0,)),
    Case("window of two taps, narrow heads", 33, key=2, value=1, resets=(5, 6)),
    Case("strong decay, no resets", 63, decay="strong"),
    Case("no decay, resets", 130, decay="none", resets=(40, 96)),
)


def test_all_operators_are_compared() -> None:
    assert {*OPERATORS, *STATELESS} == set(choose.operators())


@pytest.mark.parametrize("case", CASES + ODD, ids=lambda case: case.name)
@pytest.mark.parametrize(("operator", "name"), FAST)
def test_matches_reference(operator: str, name: str, case: Case) -> None:
    found = compare(operator, name, case)
    assert found.agrees, found.errors


def test_comparison_notices_an_error() -> None:
    given = inputs("rwkv6", CASES[2])
    right = evaluate("rwkv6", "reference", given)
    wrong = dict(right, state=right["state"] * 1.001)
    assert differences(right, right)["state"] == 0.0
    assert differences(right, wrong)["state"] == pytest.approx(1e-3, rel=1e-2)


def rounded(given: Inputs) -> Inputs:
    return given.to(torch.bfloat16)


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_bfloat16_is_hardly_worse_than_rounding(operator: str, name: str) -> None:
    """The error against exact arithmetic is at most 1.5 times that of the exact result rounded to bfloat16."""
    low = rounded(inputs(operator, Case("bf16", 100, key=16, value=8, resets=(40,))))
    exact = evaluate(operator, "reference", low.to(torch.float64))
    found = evaluate(operator, name, low)
    for tensor, value in exact.items():
        rounding = (value.float().to(found[tensor].dtype).double() - value).abs().max().item()
        slack = 1e-4 * value.abs().max().item() if found[tensor].dtype == torch.float32 else 0.0
        error = (found[tensor].double() - value).abs().max().item()
        assert error <= 1.5 * rounding + slack, tensor


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_types_of_results(operator: str, name: str) -> None:
    call = OPERATORS[operator]
    for kind, state_kind in ((torch.bfloat16, torch.float32), (torch.float32,) * 2, (best_kind(operator, name),) * 2):
        given = inputs(operator, Case("types", 40), kind=kind)
        out, state = call(**given.tensors, implementation=name, **given.options)
        assert (out.dtype, state.dtype) == (kind, state_kind)


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_autocast_changes_nothing(operator: str, name: str) -> None:
    given = inputs(operator, CASES[3])
    plain = evaluate(operator, name, given)
    with torch.autocast("cpu", torch.bfloat16):
        automatic = evaluate(operator, name, given)
    for tensor, value in plain.items():
        assert torch.equal(value, automatic[tensor]), tensor


@pytest.mark.parametrize(("operator", "name"), FAST)
def test_same_bits_twice(operator: str, name: str) -> None:
    given = inputs(operator, CASES[3])
    first, second = evaluate(operator, name, given), evaluate(operator, name, given)
    assert all(torch.equal(first[tensor], second[tensor]) for tensor in first)
