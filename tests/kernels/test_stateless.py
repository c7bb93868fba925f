"""Operators without a state: every implementation against its reference, its derivatives, and its memory."""

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from think.kernels import choose
from think.kernels.compare import CASES, STATELESS, TOLERANCE, Case, call, compare, differences, evaluate, inputs
from think.kernels.cross_entropy import _chunks, cross_entropy
from think.kernels.rms_norm import rms_norm
from think.kernels.scaled_sum import scaled_sum
from think.kernels.sigmoid_gate import sigmoid_gate
from think.kernels.squared_relu import squared_relu
from think.kernels.token_mix import token_mix

pytestmark = pytest.mark.kernel

IMPLEMENTATIONS = [(operator, name) for operator in STATELESS for name in choose.usable(operator)]
FAST = [(operator, name) for operator, name in IMPLEMENTATIONS if name != "reference"]
ODD = (
    Case("one row, five channels", 1, batch=1, heads=1, value=5),
    Case("fewer channels than a vector", 5, heads=1, value=3),
    Case("whole vectors", 33, heads=4, value=16),
    Case("more channels than a block", 9, heads=5, value=71),
)


@pytest.mark.parametrize("case", CASES + ODD, ids=lambda case: case.name)
@pytest.mark.parametrize(("operator", "name"), FAST)
def test_matches_reference(operator: str, name: str, case: Case) -> None:
    found = compare(operator, name, case)
    assert found.agrees, found.errors


@pytest.mark.parametrize(("operator", "name"), FAST)
def test_bfloat16_is_hardly_worse_than_the_reference(operator: str, name: str) -> None:
    """Against exact arithmetic on the same rounded inputs, at most 1.5 times the error of the reference."""
    low = inputs(operator, Case("bf16", 100, heads=4, value=16)).to(torch.bfloat16)
    exact = evaluate(operator, "reference", low.to(torch.float64))
    usual = differences(exact, evaluate(operator, "reference", low))
    found = evaluate(operator, name, low)
    for tensor, error in differences(exact, found).items():
        assert error <= 1.5 * usual[tensor] + TOLERANCE, tensor


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_gradient_and_gradient_of_the_gradient(operator: str, name: str) -> None:
    if choose.lacking(operator, name, "cpu", torch.float64) is not None:
        pytest.skip("float32 only: the comparison with the reference stands for it")
    given = inputs(operator, Case("tiny", 2, batch=1, heads=1, value=3), kind=torch.float64)

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        results = call(operator, name, type(given)(dict(zip(given.tensors, tensors, strict=True)), None, given.options))
        return tuple(result for result in results.values() if result.requires_grad)

    leaves = tuple(given.tensors.values())
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize(("operator", "name"), FAST)
def test_same_bits_twice_and_for_any_number_of_threads(operator: str, name: str) -> None:
    given = inputs(operator, CASES[3])
    first, before = evaluate(operator, name, given), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        second = evaluate(operator, name, given)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(first[tensor], second[tensor]) for tensor in first)


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_backward_twice_through_a_retained_graph(operator: str, name: str) -> None:
    given = inputs(operator, CASES[3])
    leaves = list(given.tensors.values())
    score = sum(result.square().sum() for result in call(operator, name, given).values() if result.requires_grad)
    first = torch.autograd.grad(score, leaves, retain_graph=True)
    second = torch.autograd.grad(score, leaves)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(("operator", "name"), IMPLEMENTATIONS)
def test_vmap(operator: str, name: str) -> None:
    given = inputs(operator, Case("mapped", 3, heads=1, value=4))
    first, *others = given.tensors
    stacked = torch.stack([given.tensors[first], 2 * given.tensors[first]]).detach()

    def function(one: Tensor) -> tuple[Tensor, ...]:
        tensors = {first: one} | {other: given.tensors[other].detach() for other in others}
        return tuple(call(operator, name, type(given)(tensors, None, given.options)).values())

    mapped = torch.vmap(function)(stacked)
    for each in range(2):
        for together, alone in zip(mapped, function(stacked[each]), strict=True):
            torch.testing.assert_close(together[each], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", choose.usable("cross_entropy"))
@pytest.mark.parametrize("bonus", [0.0, 0.2])
@pytest.mark.parametrize("cap", [None, 3.0])
@pytest.mark.parametrize("vocabulary", [8, 29])
def test_cross_entropy_is_the_formula(
    name: str, bonus: float, cap: float | None, vocabulary: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Value within 1e-6; with chunks of a few rows too."""
    monkeypatch.setattr(_chunks, "LARGEST", 100)
    monkeypatch.setattr(_chunks, "FEWEST_ROWS", 3)
    random = torch.Generator().manual_seed(0)
    hidden, table = torch.randn(20, 6, generator=random), torch.randn(vocabulary, 6, generator=random)
    targets, weights = torch.randint(vocabulary, (20,), generator=random), torch.rand(20, generator=random)
    weights[3] = 0.0
    leaves = hidden.clone().requires_grad_(), table.clone().requires_grad_()
    objective, losses, entropies = cross_entropy(
        *leaves, targets, weights, entropy_bonus=bonus, cap=cap, implementation=name
    )
    exact = hidden.double().requires_grad_(), table.double().requires_grad_()
    logits = exact[0] @ exact[1].T
    probability = (logits if cap is None else cap * torch.tanh(logits / cap)).softmax(-1)
    loss = -probability[torch.arange(20), targets].log()
    entropy = -(probability * probability.log()).sum(-1)
    whole = ((loss - bonus * entropy) * weights).sum()
    torch.testing.assert_close(losses.double(), loss, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(entropies.double(), entropy, rtol=1e-6, atol=1e-6)
    assert objective.item() == pytest.approx(whole.item(), rel=1e-6)
    for leaf, found in zip(exact, torch.autograd.grad(objective * 0.5, leaves), strict=True):
        (expected,) = torch.autograd.grad(whole * 0.5, leaf, retain_graph=True)
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", choose.usable("cross_entropy"))
def test_cross_entropy_far_from_uniform(name: str) -> None:
    """Scores that would over- and underflow, and a certain prediction."""
    hidden = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).requires_grad_()
    table = torch.tensor([[500.0, -300.0], [0.0, 400.0], [-700.0, 0.0]])
    targets = torch.tensor([2, 1])
    objective, losses, entropies = cross_entropy(hidden, table, targets, torch.ones(2), implementation=name)
    assert losses.tolist() == [1200.0, 0.0]
    assert entropies.tolist() == pytest.approx([0.0, 0.0])
    (gradient,) = torch.autograd.grad(objective, hidden)
    torch.testing.assert_close(gradient[0], table[0] - table[2])
    torch.testing.assert_close(gradient[1], torch.zeros(2))


@pytest.mark.parametrize("name", [name for name in choose.usable("cross_entropy") if name != "reference"])
@pytest.mark.parametrize("trained", [True, False])
def test_cross_entropy_never_holds_all_logits(name: str, trained: bool) -> None:
    rows, vocabulary = 1024, 8192
    hidden = torch.randn(rows, 8, requires_grad=trained)
    table = torch.randn(vocabulary, 8, requires_grad=trained)
    targets = torch.zeros(rows, dtype=torch.long)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        objective, _, _ = cross_entropy(hidden, table, targets, torch.ones(rows), implementation=name)
        if trained:
            objective.backward()
    events = seen.profiler.kineto_results.events()  # type: ignore[union-attr]
    largest = max(event.nbytes() for event in events if event.name() == "[memory]")
    assert 0 < largest <= 4 * _chunks.LARGEST < 4 * rows * vocabulary


@pytest.mark.parametrize("name", choose.usable("cross_entropy"))
def test_cross_entropy_refuses_what_does_not_fit(name: str) -> None:
    hidden, table, targets = torch.randn(4, 3), torch.randn(5, 3), torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match="weights has shape"):
        cross_entropy(hidden, table, targets, torch.ones(3), implementation=name)
    with pytest.raises(TypeError, match="targets must be int64"):
        cross_entropy(hidden, table, targets.int(), torch.ones(4), implementation=name)
    with pytest.raises((IndexError, RuntimeError)):
        cross_entropy(hidden, table, targets + 5, torch.ones(4), implementation=name)


@pytest.mark.parametrize("name", choose.usable("rms_norm"))
def test_rms_norm_without_a_gate(name: str) -> None:
    x, weight = torch.randn(5, 2, 11).requires_grad_(), torch.randn(11).requires_grad_()
    found = rms_norm(x, weight, epsilon=1e-3, implementation=name)
    expected = x * (x.square().mean(-1, keepdim=True) + 1e-3).rsqrt() * weight
    torch.testing.assert_close(found, expected)
    cotangent = torch.randn_like(x)
    for one, other in zip(
        torch.autograd.grad(found, (x, weight), cotangent),
        torch.autograd.grad(expected, (x, weight), cotangent),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", choose.usable("scaled_sum"))
def test_scaled_sum_with_one_gain(name: str) -> None:
    x, z, b = (torch.randn(shape).requires_grad_() for shape in ((3, 7, 5), (3, 7, 5), (5,)))
    found = scaled_sum(x, z, b, implementation=name)
    torch.testing.assert_close(found, x + z * b)
    d_x, d_z, d_b = torch.autograd.grad(found.sum(), (x, z, b))
    torch.testing.assert_close(d_x, torch.ones_like(x))
    torch.testing.assert_close(d_z, b.expand_as(z))
    torch.testing.assert_close(d_b, z.sum((0, 1)))


@pytest.mark.parametrize("name", choose.usable("token_mix"))
@pytest.mark.parametrize("time", [1, 32, 33, 70])
def test_token_mix_with_fixed_shares(name: str, time: int) -> None:
    """Token by token, with documents that begin at the edges of what one thread works on."""
    x, last, share = (torch.randn(shape).requires_grad_() for shape in ((2, time, 9), (2, 9), (2, 9)))
    reset = torch.zeros(2, time, dtype=torch.bool)
    reset[0, [t for t in (0, 31, 32, 64) if t < time]] = True
    found = torch.stack(token_mix(x, last, share, reset=reset, implementation=name))
    expected = []
    for t in range(time):
        before = torch.where(reset[:, t, None], 0.0, last if t == 0 else x[:, t - 1])
        expected.append(x[:, t] * (1 - share[:, None]) + before * share[:, None])
    torch.testing.assert_close(found, torch.stack(expected, 2))
    cotangent = torch.randn_like(found)
    leaves = x, last, share
    for one, other in zip(
        torch.autograd.grad(found, leaves, cotangent),
        torch.autograd.grad(torch.stack(expected, 2), leaves, cotangent),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", choose.usable("squared_relu"))
def test_what_is_not_a_number_stays_so(name: str) -> None:
    x = torch.tensor([float("nan"), -1.0, 2.0] * 7)
    assert squared_relu(x, implementation=name).isnan().tolist() == x.isnan().tolist()
    assert sigmoid_gate(x, x, implementation=name).isnan().tolist() == x.isnan().tolist()
