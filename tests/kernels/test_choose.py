"""Names of operators and implementations, and what is refused."""

from typing import Any

import pytest
import torch

from think.kernels import choose
from think.kernels.bench import measure
from think.kernels.causal_conv import causal_conv
from think.kernels.compare import OPERATORS, Case, inputs

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("operator", OPERATORS)
def test_names(operator: str) -> None:
    assert {"reference", "chunked"} <= set(choose.implementations(operator))
    assert choose.resolve(operator, "auto") in {"native", "chunked"}
    assert choose.resolve(operator, "auto", "cpu", torch.float64) == "chunked"
    assert choose.resolve(operator, "auto", "meta") == "chunked"
    assert choose.resolve(operator, "reference") == "reference"


def test_what_has_no_recurrence_has_one_form_in_torch() -> None:
    assert "chunked" not in choose.implementations("rms_norm")
    assert choose.resolve("rms_norm", "chunked") == "reference"
    assert "chunked" in choose.names("rms_norm")


@pytest.mark.parametrize("operator", OPERATORS)
def test_unknown_implementation_names_the_nearest_and_all(operator: str) -> None:
    given = inputs(operator, Case("any", 3))
    with pytest.raises(ValueError, match=r"chunkd.*did you mean 'chunked'.*auto, chunked, (native, )?reference"):
        OPERATORS[operator](**given.tensors, implementation="chunkd")


def test_unknown_operator() -> None:
    with pytest.raises(ValueError, match=r"causal_conv, .*delta_rule, .*rwkv6, .*ssd"):
        choose.implementations("rwkv5")


@pytest.mark.parametrize("operator", OPERATORS)
def test_wrong_shapes_and_types_are_named(operator: str) -> None:
    given = inputs(operator, Case("any", 6)).tensors
    first = next(iter(given))
    call = OPERATORS[operator]
    for name, tensor in given.items():
        if name == first or (operator == "causal_conv" and name == "weight"):
            continue  # the others are measured against these
        with pytest.raises(ValueError, match=rf"{operator}: \w+ has shape"):
            call(**given | {name: tensor.unsqueeze(0).expand(2, *tensor.shape).flatten(0, 1)})
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"reset": torch.zeros(2, 5, dtype=torch.bool)}, ValueError, "reset has shape"),
        ({"reset": torch.zeros(2, 6)}, TypeError, "reset must be bool"),
        ({first: given[first].long()}, TypeError, "floating point"),
    ]
    for change, error, words in refused:
        with pytest.raises(error, match=words):
            call(**given | change)
    with pytest.raises(ValueError, match="at least one token"):
        call(**{name: tensor[:, :0] if tensor.shape[:2] == (2, 6) else tensor for name, tensor in given.items()})


def test_unknown_activation() -> None:
    given = inputs("causal_conv", Case("any", 3)).tensors
    with pytest.raises(ValueError, match="gelu"):
        causal_conv(**given, activation="gelu")  # type: ignore[arg-type]


def test_convolution_without_bias_activation_or_past() -> None:
    """A window of one tap has no state, and is a product."""
    x, weight = torch.randn(2, 5, 3), torch.randn(3, 1)
    for name in choose.usable("causal_conv"):
        out, state = causal_conv(x, weight, implementation=name, reset=torch.ones(2, 5, dtype=torch.bool))
        torch.testing.assert_close(out, x * weight[:, 0])
        assert state.shape == (2, 3, 0)


def test_inputs_are_left_as_they_were() -> None:
    for operator, call in OPERATORS.items():
        given = inputs(operator, Case("any", 70, resets=(3,)))
        before = {name: tensor.detach().clone() for name, tensor in given.tensors.items()}
        out, state = call(**given.tensors, reset=given.reset, **given.options)
        (out.sum() + state.sum()).backward()
        assert all(torch.equal(before[name], tensor) for name, tensor in given.tensors.items())


def test_timing_alternates_and_counts() -> None:
    rows = measure("causal_conv", Case("small", 8, heads=1, value=2), rounds=7)
    assert [row.implementation for row in rows] == list(choose.usable("causal_conv"))
    assert all(row.rounds == 7 and 0 < row.both_least <= row.both <= row.both_most for row in rows)
    assert next(row.speed_up for row in rows if row.implementation == "reference") == 1.0
    with pytest.raises(ValueError, match="too few"):
        measure("causal_conv", Case("small", 8), rounds=3)
