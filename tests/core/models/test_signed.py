"""Decays between -1 and 1: signs folded into what is written and read are the recurrence with signed decays itself."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from tests.core.models.examples import MAMBA, RWKV, SIGNED, model, resets, settings, tokens
from think.core.models.memory import MemorySettings
from think.core.models.mixers.mamba2 import Branch as MambaBranch
from think.core.models.mixers.mamba2 import Mamba2
from think.core.models.mixers.rwkv6 import Branch as RwkvBranch
from think.core.models.mixers.rwkv6 import Rwkv6
from think.core.models.signed import EDGE, Signed, running_sign
from think.presets.digest import canonical

pytestmark = pytest.mark.model

LOW = {"retention": {"fastest": 0.05, "slowest": 0.9}, "negative_eigenvalues": True}


def loop_sign(negative: Tensor, reset: Tensor) -> Tensor:
    sign, rows = torch.ones_like(negative[:, 0], dtype=torch.float32), []
    for t in range(negative.shape[1]):
        sign = torch.where(reset[:, t, None], torch.ones_like(sign), sign)
        sign = torch.where(negative[:, t], -sign, sign)
        rows.append(sign)
    return torch.stack(rows, 1)


def test_a_running_sign_begins_anew_at_every_reset():
    source = torch.Generator().manual_seed(3)
    negative = torch.rand(4, 60, 5, generator=source) < 0.5
    reset = torch.rand(4, 60, generator=source) < 0.2
    assert torch.equal(running_sign(negative, reset), loop_sign(negative, reset))
    assert torch.equal(running_sign(negative, None), loop_sign(negative, torch.zeros_like(reset)))
    taken = Signed.of(torch.where(negative, -3.0, -0.1), reset)
    before = loop_sign(negative, reset).roll(1, 1)
    before[:, 0] = 1
    assert torch.equal(taken.before(reset), torch.where(reset.unsqueeze(-1), 1.0, before))


def test_decays_reach_both_ends_and_stay_inside():
    decay = Signed.of(torch.tensor([[[-1e9], [-50.0], [-1e-9], [0.0]]]), None).log_decay.exp()
    assert (decay < 1).all()
    assert_close(decay.flatten(), torch.full((4,), 1 - 2 * EDGE), rtol=0, atol=1e-6)
    assert torch.isfinite(Signed.of(torch.tensor([[[-0.6931471805599453]]]), None).log_decay).all(), "a = 0"


def mamba(kind: torch.dtype = torch.float64) -> Mamba2:
    torch.manual_seed(1)
    made = Mamba2(MambaBranch.model_validate({**MAMBA, **LOW}), MemorySettings(h0=True, h0_deviation=0.5), 16, 1.0)
    with torch.no_grad():
        made.step_weight.mul_(4)
    return made.to(kind)


def rwkv(kind: torch.dtype = torch.float64) -> Rwkv6:
    torch.manual_seed(1)
    made = Rwkv6(RwkvBranch.model_validate({**RWKV, **LOW}), MemorySettings(h0=True, h0_deviation=0.5), 16, 1.0)
    with torch.no_grad():
        for parameter in made.decay.parameters():
            parameter.add_(torch.randn_like(parameter))
    return made.to(kind)


def signed_ssd(values, step, rate, write, read, matrix, reset, fresh, skip):
    """S_t = a_t S_{t-1} + dt_t x_t B_t^T,  y_t = S_t C_t + D x_t,  a_t = 2 exp(dt_t A) - 1: the formula, in a loop."""
    out, flips = [], 0
    for t in range(values.shape[1]):
        if reset is not None:
            matrix = torch.where(reset[:, t, None, None, None], fresh, matrix)
        decay = 2 * (step[:, t] * rate).exp().clamp(EDGE, 1 - EDGE) - 1
        flips += int((decay < 0).sum())
        matrix = (
            decay[..., None, None] * matrix
            + (step[:, t, :, None] * values[:, t])[..., None] * write[:, t, None, None, :]
        )
        out.append((matrix * read[:, t, None, None, :]).sum(-1) + skip[:, None] * values[:, t])
    assert 0 < flips < step.numel(), "the example has decays of both signs"
    return torch.stack(out, 1), matrix


def signed_rwkv6(r, k, v, log_retention, matrix, reset, fresh, bonus):
    """S_t = diag(a_t) S_{t-1} + k_t v_t^T,  o_t = r_t (S_{t-1} + diag(u) k_t v_t^T): the formula, in a loop."""
    out = []
    for t in range(r.shape[1]):
        if reset is not None:
            matrix = torch.where(reset[:, t, None, None, None], fresh, matrix)
        enters = k[:, t, :, :, None] * v[:, t, :, None, :]
        out.append((r[:, t, :, :, None] * (matrix + bonus[:, :, None] * enters)).sum(-2))
        matrix = (2 * log_retention[:, t].exp().clamp(EDGE, 1 - EDGE) - 1)[..., None] * matrix + enters
    return torch.stack(out, 1), matrix


def compare(found, expected, inputs: list[Tensor]) -> None:
    """Outputs, last state, and the gradients of all inputs."""
    source = torch.Generator().manual_seed(5)
    weights = [torch.randn(part.shape, generator=source, dtype=part.dtype) for part in expected]
    gradients = []
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-5)
    for parts in (found, expected):
        total = sum((part * weight).sum() for part, weight in zip(parts, weights, strict=True))
        gradients.append(torch.autograd.grad(total, inputs, retain_graph=True))
    for one, other in zip(*gradients, strict=True):
        assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
@pytest.mark.parametrize("T", [1, 63, 100])
def test_mamba_with_signs_is_the_formula_with_every_gradient(implementation, T):
    made, source = mamba(), torch.Generator().manual_seed(2)
    made.implementation = implementation

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64).requires_grad_()

    heads, width, size = made.heads, 8, made.state
    values, write, read = drawn(2, T, heads, width), drawn(2, T, size), drawn(2, T, size)
    matrix, raw = drawn(2, heads, width, size), drawn(2, T, heads)
    step = torch.nn.functional.softplus(2 * raw) + 0.05
    rate = -torch.exp(drawn(heads) * 0.3)
    reset = resets(2, T) if T > 1 else torch.tensor([[True], [False]])
    found = made._signed(values, step, rate, write, read, matrix, reset)
    expected = signed_ssd(values, step, rate, write, read, matrix, reset, made.memory.fresh, made.skip)
    inputs = [values, write, read, matrix, raw, made.skip, made.memory.h0]
    compare(found, expected, inputs)


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
@pytest.mark.parametrize("T", [1, 63, 100])
def test_rwkv_with_signs_is_the_formula_with_every_gradient(implementation, T):
    made, source = rwkv(), torch.Generator().manual_seed(2)
    made.implementation = implementation

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64).requires_grad_()

    heads, width = made.heads, made.head_width
    r, k, v, raw = (drawn(2, T, heads, width) for _ in range(4))
    matrix = drawn(2, heads, width, width)
    log_retention = -torch.exp(raw - 0.4)
    reset = resets(2, T) if T > 1 else torch.tensor([[True], [False]])
    found = made._signed(r, k, v, log_retention, matrix, reset)
    expected = signed_rwkv6(r, k, v, log_retention, matrix, reset, made.memory.fresh, made.bonus)
    compare(found, expected, [r, k, v, raw, matrix, made.bonus, made.memory.h0])


@torch.no_grad()
def test_the_requested_retention_is_what_a_silent_input_gives():
    branch = MambaBranch.model_validate({**MAMBA, "negative_eigenvalues": True})
    torch.manual_seed(0)
    made = Mamba2(branch, MemorySettings(), 16, 1.0)
    step = torch.nn.functional.softplus(made.step_bias)
    decay = Signed.of((step * -made.decay_log.exp())[None, None], None)
    assert (decay.sign == 1).all()
    found = decay.log_decay.exp().flatten().sort().values
    assert abs(float(found[0]) - branch.retention.fastest) < 1e-4
    assert abs(float(found[-1]) - branch.retention.slowest) < 1e-4


@torch.no_grad()
def test_signed_models_meet_decays_of_both_signs():
    made = model("hybrid", mixer=SIGNED["hybrid"])
    seen: list[float] = []
    hooked = Signed.of

    def watch(log_retention, reset):
        found = hooked(log_retention, reset)
        seen.append(float((log_retention.exp() < 0.5).float().mean()))
        return found

    Signed.of = watch
    try:
        made(tokens(2, 40), None, resets(2, 40))
    finally:
        Signed.of = hooked
    assert len(seen) == 12, "two layers of two branches, which StateNorm cuts at 16 and 32 tokens"
    assert all(0 < share < 1 for share in seen)


def test_what_is_off_is_not_hashed_so_that_earlier_digests_hold():
    off, on = settings("mamba2"), settings("mamba2", mixer={"kind": "mamba2", **MAMBA, "negative_eigenvalues": True})
    assert "negative_eigenvalues" not in canonical(off)
    assert canonical(settings("mamba2", mixer={**off.mixer.model_dump(), "negative_eigenvalues": False})) == canonical(
        off
    )
    assert "negative_eigenvalues" in canonical(on)
