"""What the delta rule promises of memory: exact recall, overwriting, reflections, and that beta = 0 writes nothing."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from think.kernels import choose
from think.kernels.compare import Case, inputs
from think.kernels.delta_rule import delta_rule

pytestmark = pytest.mark.kernel

NAMES = choose.usable("delta_rule")
TIME, KEY, VALUE = 70, 70, 6


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_orthonormal_keys_are_recalled_exactly(name: str) -> None:
    keys = torch.linalg.qr(random(2, 3, KEY, KEY)).Q.transpose(1, 2)[:, :TIME].contiguous()
    values, ones = random(2, TIME, 3, VALUE), torch.ones(2, TIME, 3)
    out, state = delta_rule(keys, keys, values, ones, implementation=name)
    torch.testing.assert_close(out, values, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.einsum("bthk,bhkv->bthv", keys, state), values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_latest_value_replaces_earlier_ones(name: str) -> None:
    """beta = 1 leaves nothing of what stood under a key; only a decay afterwards touches it."""
    keys = normalize(random(1, 1, 1, 9), dim=-1).expand(1, 65, 1, 9).contiguous()
    values, ones = random(1, 65, 1, VALUE), torch.ones(1, 65, 1)
    entering = random(1, 1, 9, VALUE)
    out, _ = delta_rule(keys, keys, values, ones, -0.1 * ones, entering, implementation=name)
    torch.testing.assert_close(out, values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", choose.usable("delta_rule", "cpu", torch.float64))
def test_a_reflection_twice_is_nothing(name: str) -> None:
    """beta = 2 reflects (an eigenvalue of -1): the same key twice, with nothing to write, gives the state back."""
    keys = normalize(random(2, 1, 3, 5), dim=-1).expand(2, 64, 3, 5).contiguous()
    nothing, twos, entering = torch.zeros(2, 64, 3, VALUE), torch.full((2, 64, 3), 2.0), random(2, 3, 5, VALUE)
    keys, entering = keys.double(), entering.double()  # 64 reflections enlarge what a rounded key is too long
    keys = normalize(keys, dim=-1)
    out, state = delta_rule(keys, keys, nothing, twos, state=entering, implementation=name)
    torch.testing.assert_close(state, entering, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out[:, 1:], -out[:, :-1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_beta_of_zero_leaves_the_state(name: str) -> None:
    given = {key: tensor.detach() for key, tensor in inputs("delta_rule", Case("zero", 70)).tensors.items()}
    zero, state = torch.zeros_like(given["beta"]), given["state"]
    out, last = delta_rule(given["q"], given["k"], given["v"], zero, state=state, implementation=name)
    assert torch.equal(last, state)
    torch.testing.assert_close(out, torch.einsum("bthk,bhkv->bthv", given["q"], state), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_tokens_with_beta_of_zero_might_as_well_not_be_there(name: str) -> None:
    given = {
        key: tensor.detach() for key, tensor in inputs("delta_rule", Case("gaps", 90, decay="none")).tensors.items()
    }
    given["beta"][:, 1::3] = 0.0
    there = [t for t in range(90) if t % 3 != 1]
    _, whole = delta_rule(**given, implementation=name)
    short = {key: tensor[:, there] if tensor.shape[:2] == (2, 90) else tensor for key, tensor in given.items()}
    _, without = delta_rule(**short, implementation=name)
    torch.testing.assert_close(whole, without, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_orthonormal_writes_commute(name: str) -> None:
    """A permutation of tokens with orthogonal keys changes no state, and moves the outputs that see all of them."""
    keys = torch.linalg.qr(random(1, 2, KEY, KEY)).Q.transpose(1, 2)[:, :40].contiguous()
    values, beta = random(1, 40, 2, VALUE), torch.rand(1, 40, 2, generator=torch.Generator().manual_seed(1)) * 2
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    _, first = delta_rule(keys, keys, values, beta, implementation=name)
    _, second = delta_rule(keys[:, order], keys[:, order], values[:, order], beta[:, order], implementation=name)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_heads_and_rows_may_be_permuted(name: str) -> None:
    given = {key: tensor.detach() for key, tensor in inputs("delta_rule", Case("swap", 65)).tensors.items()}
    out, state = delta_rule(**given, implementation=name)
    swapped = {key: tensor.flip(0, 2) if tensor.shape[:2] == (2, 65) else tensor for key, tensor in given.items()}
    swapped |= {"state": given["state"].flip(0, 1), "fresh": given["fresh"].flip(0)}
    again, end = delta_rule(**swapped, implementation=name)
    torch.testing.assert_close(again.flip(0, 2), out)
    torch.testing.assert_close(end.flip(0, 1), state)


@pytest.mark.parametrize("name", NAMES)
def test_token_by_token_is_the_sequence(name: str) -> None:
    given = {key: tensor.detach() for key, tensor in inputs("delta_rule", Case("steps", 67)).tensors.items()}
    whole, last = delta_rule(**given, implementation=name)
    state, steps = given["state"], []
    for t in range(67):
        now = {key: given[key][:, t : t + 1] for key in ("q", "k", "v", "beta", "log_decay")}
        out, state = delta_rule(**now, state=state, implementation=name)
        steps.append(out)
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(state, last, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_no_decay_is_a_decay_of_one(name: str) -> None:
    given = {
        key: tensor.detach() for key, tensor in inputs("delta_rule", Case("plain", 40, decay="none")).tensors.items()
    }
    spelt = delta_rule(**given, implementation=name)
    del given["log_decay"]
    default = delta_rule(**given, implementation=name)
    assert all(torch.equal(one, other) for one, other in zip(spelt, default, strict=True))
