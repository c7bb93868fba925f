"""First and second derivatives against finite differences; vmap, torch.func, retained graphs, memory."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels.cases import IMPLEMENTATIONS, best_kind, closeness
from think.kernels.compare import OPERATORS, Case, Inputs, inputs

pytestmark = pytest.mark.kernel

DOUBLE = [pair for pair in IMPLEMENTATIONS if best_kind(*pair) == torch.float64]
"Those that finite differences can judge."
SMALL = Case("small", 5, key=3, value=2, resets=(2, 3))
TINY = Case("tiny", 3, batch=1, heads=1, key=2, value=1, resets=(1,))


def function(operator: str, name: str, given: Inputs, **changes: Any) -> Callable[..., tuple[Tensor, Tensor]]:
    """The operator as a function of its tensors alone, in their order."""
    options = {"reset": given.reset, **given.options, "implementation": name, **changes}
    return lambda *tensors: OPERATORS[operator](**dict(zip(given.tensors, tensors, strict=True)), **options)


@pytest.mark.parametrize("resets", [True, False])
@pytest.mark.parametrize(("operator", "name"), DOUBLE)
def test_gradient(operator: str, name: str, resets: bool) -> None:
    given = inputs(operator, SMALL if resets else Case("small", 5, key=3, value=2), kind=torch.float64)
    assert torch.autograd.gradcheck(function(operator, name, given), tuple(given.tensors.values()))


@pytest.mark.parametrize(("operator", "name"), DOUBLE)
def test_gradient_of_the_gradient(operator: str, name: str) -> None:
    given = inputs(operator, TINY, kind=torch.float64)
    assert torch.autograd.gradgradcheck(function(operator, name, given), tuple(given.tensors.values()))


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_gradient_with_create_graph_is_the_gradient(operator: str, name: str) -> None:
    given = inputs(operator, Case("long", 70, resets=(33,)), kind=best_kind(operator, name))
    leaves = list(given.tensors.values())
    score = function(operator, name, given)(*leaves)[0].square().sum()
    twice = torch.autograd.grad(score, leaves, create_graph=True)
    once = torch.autograd.grad(score, leaves)
    for first, second in zip(once, twice, strict=True):
        torch.testing.assert_close(first, second.detach(), **closeness(operator, name))


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_vmap(operator: str, name: str) -> None:
    given = inputs(operator, Case("mapped", 40, resets=(33,)), kind=best_kind(operator, name))
    call = function(operator, name, given)
    stacked = [torch.stack([tensor, tensor * 0.5, tensor * 1.5]).detach() for tensor in given.tensors.values()]
    mapped = torch.vmap(call)(*stacked)
    for each in range(3):
        for together, alone in zip(mapped, call(*(tensor[each] for tensor in stacked)), strict=True):
            torch.testing.assert_close(together[each], alone, **closeness(operator, name))


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_vmap_over_one_input_and_over_resets(operator: str, name: str) -> None:
    given = inputs(operator, SMALL, kind=best_kind(operator, name))
    assert given.reset is not None
    tensors = [tensor.detach() for tensor in given.tensors.values()]
    resets = torch.stack([given.reset, ~given.reset, torch.zeros_like(given.reset)])
    mapped = torch.vmap(lambda reset: function(operator, name, given, reset=reset)(*tensors))(resets)
    for each in range(3):
        alone = function(operator, name, given, reset=resets[each])(*tensors)
        torch.testing.assert_close(mapped[0][each], alone[0], **closeness(operator, name))
        torch.testing.assert_close(mapped[1][each], alone[1], **closeness(operator, name))


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_gradients_per_sample(operator: str, name: str) -> None:
    """vmap over torch.func.grad, as used for per-sample gradients and for learning at test time."""
    given = inputs(operator, SMALL, kind=best_kind(operator, name))
    call = function(operator, name, given)
    tensors = [tensor.detach() for tensor in given.tensors.values()]
    stacked = torch.stack([tensors[0], tensors[0] * 2])
    slope = torch.func.grad(lambda first: call(first, *tensors[1:])[0].square().sum())
    for each, found in enumerate(torch.vmap(slope)(stacked)):
        leaf = stacked[each].clone().requires_grad_()
        (expected,) = torch.autograd.grad(call(leaf, *tensors[1:])[0].square().sum(), leaf)
        torch.testing.assert_close(found, expected, **closeness(operator, name))


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_backward_twice_through_a_retained_graph(operator: str, name: str) -> None:
    given = inputs(operator, Case("long", 70, resets=(33,)))
    leaves = list(given.tensors.values())
    score = function(operator, name, given)(*leaves)[0].square().sum()
    first = torch.autograd.grad(score, leaves, retain_graph=True)
    second = torch.autograd.grad(score, leaves)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("operator", OPERATORS)
def test_only_the_inputs_that_ask_get_gradients(operator: str) -> None:
    given = inputs(operator, Case("one leaf", 40, resets=(33,)))
    tensors = [tensor.detach() for tensor in given.tensors.values()]
    tensors[0].requires_grad_()
    out, _ = function(operator, "chunked", given)(*tensors)
    out.sum().backward()
    assert tensors[0].grad is not None
    assert all(tensor.grad is None for tensor in tensors[1:])


@pytest.mark.parametrize("operator", OPERATORS)
def test_backward_frees_what_forward_kept(operator: str) -> None:
    """A loss that somebody logs must not hold a step's memory."""
    given = inputs(operator, Case("memory", 70))
    out, _ = function(operator, "chunked", given)(*given.tensors.values())
    node: Any = out.grad_fn
    while node is not None and not hasattr(node, "tape"):
        node = node.next_functions[0][0] if node.next_functions else None
    if node is None:
        pytest.skip("keeps its inputs only")
    kept = weakref.ref(node.tape.kept)
    del node
    loss = out.sum()
    loss.backward()
    gc.collect()
    assert kept() is None
    assert loss.grad_fn is not None
