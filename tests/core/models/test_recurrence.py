"""The hybrid's own promises: measured decay at the start, h0 at resets, StateNorm, gamma, fusion shares."""

import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from tests.core.models.examples import FUSIONS, MAMBA, MEMORY, MIXERS, RWKV, model, settings, tokens
from think.core.errors import BadData
from think.core.models import State, build
from think.core.models.fusion import scan

pytestmark = pytest.mark.model


def fresh(kind="hybrid", **changes):
    torch.manual_seed(0)
    return build(settings(kind, **changes))


@torch.no_grad()
def measured_retention(made, branch):
    """Multiply a state of ones by one step without input, through the model's own mixer, and read the factor."""
    mixer = made.blocks[0].mixer
    part = getattr(mixer, branch, mixer)
    before = part.initial_state(1)
    before[f"{branch}.matrix"] = torch.ones_like(before[f"{branch}.matrix"])
    if branch == "rwkv":
        for linear in (part.key, part.value):
            linear.weight.zero_()
    else:
        part.step_weight.zero_()
        part.project.weight.zero_()
    _, after = part(torch.zeros(1, 1, 16), before, None)
    return after[f"{branch}.matrix"][0].double()


def test_rwkv_channels_keep_what_was_asked():
    retention = measured_retention(fresh(), "rwkv")
    assert_close(-retention.log(), torch.full_like(retention, -math.log(0.9999)), rtol=0.01, atol=0)


def test_mamba_heads_are_spaced_as_asked():
    changes = {"mixer": {**MIXERS["hybrid"], "mamba": {**MAMBA, "head_width": 2}}}
    retention = measured_retention(fresh(**changes), "mamba")[:, 0, 0]
    asked = 1 - torch.exp(torch.linspace(math.log(1 - 0.98168), math.log(1 - 0.99988), 8, dtype=torch.float64))
    assert_close(-retention.log(), -asked.log(), rtol=0.01, atol=0)


def test_another_retention_is_honoured():
    spread = {"fastest": 0.5, "slowest": 0.99}
    changes = {"mixer": {**MIXERS["hybrid"], "rwkv": {**RWKV, "retention": spread}}}
    retention = measured_retention(fresh(**changes), "rwkv")[:, :, 0].flatten()
    assert_close(retention[[0, -1]], torch.tensor([0.5, 0.99], dtype=torch.float64), rtol=1e-4, atol=0)
    assert (retention.diff() > 0).all()


@pytest.mark.parametrize("place", ["start", "reset"])
def test_h0_gets_gradient_where_it_enters(place):
    made, seen = model(), tokens(1, 12)
    state, reset = None, None
    if place == "reset":
        with torch.no_grad():
            state = made(seen)[1].detach()
        reset = torch.zeros(1, 12, dtype=torch.bool)
        reset[0, 5] = True
    made(seen, state, reset)[0].square().sum().backward()
    for name, parameter in made.named_parameters():
        if name.endswith("h0"):
            assert parameter.grad.abs().sum() > 0, name


def test_h0_gets_none_in_mid_document():
    made, seen = model(), tokens(1, 12)
    with torch.no_grad():
        state = made(seen)[1].detach()
    made(seen, state)[0].square().sum().backward()
    assert all(p.grad is None for n, p in made.named_parameters() if n.endswith("h0"))


@torch.no_grad()
def test_state_norm_gives_each_group_a_root_mean_square_of_one():
    memory = build(settings()).blocks[0].mixer.rwkv.memory
    state = 100 * torch.randn(3, 2, 8, 8) * torch.rand(3, 2, 1, 1)
    groups = memory.normalise(state).flatten(2).unflatten(2, (4, -1))
    assert_close(groups.square().mean(-1).sqrt(), torch.ones(3, 2, 4), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_state_norm_acts_at_its_period_whatever_the_resets():
    made = model()
    state = made.initial_state(1)
    for index in range(40):
        logits, after = made.step(tokens(1, 40)[:, index], state)
        scaled = State(
            state.position,
            tuple({n: 3 * t if n.endswith("matrix") else t for n, t in layer.items()} for layer in state.layers),
        )
        with_scaled, _ = made.step(tokens(1, 40)[:, index], scaled)
        ignores_scale = torch.allclose(logits, with_scaled, rtol=1e-3, atol=1e-3)
        assert ignores_scale == (index > 0 and index % 16 == 0), index
        state = after


def test_state_is_shown_before_the_norm():
    made = model()
    _, state = made(tokens(1, 16))
    matrices = {branch: matrix for layer, branch, matrix in state.matrices() if layer == 0}
    assert set(matrices) == {"rwkv", "mamba"}
    groups = matrices["rwkv"].flatten(2).unflatten(2, (4, -1)).square().mean(-1).sqrt()
    assert (groups - 1).abs().max() > 0.01


def test_full_attention_refuses_a_document_that_it_would_forget():
    full = model("attention", mixer={**MIXERS["attention"], "sliding": False})
    full(tokens(1, 12))
    with pytest.raises(BadData, match="13 tokens"):
        full(tokens(1, 13))
    with pytest.raises(BadData, match="13 tokens"):
        full(tokens(1, 1), full(tokens(1, 12))[1])
    reset = torch.zeros(1, 20, dtype=torch.bool)
    reset[0, 10] = True
    full(tokens(1, 20), None, reset)
    model("attention")(tokens(1, 20))


@torch.no_grad()
def test_attention_sees_exactly_its_context():
    made = model("attention", layers=1, feed_forward={"kind": "gelu", "inner": 8})
    seen = tokens(1, 30)
    changed = seen.clone()
    changed[0, 10] = (changed[0, 10] + 1) % 40
    differs = (made(seen)[0] != made(changed)[0]).any(-1)[0].nonzero().flatten().tolist()
    assert differs == list(range(10, 22))


@torch.no_grad()
@pytest.mark.parametrize("name", ["weighted", "gated_token", "gated_channel", "hybrid_norm"])
def test_fusion_starts_at_the_requested_share(name):
    made = fresh(mixer={**MIXERS["hybrid"], "fusion": FUSIONS[name]})
    r, m = torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    fused, _ = made.blocks[0].mixer.fusion(r, m, {}, None)
    share = FUSIONS[name].get("rwkv_share", 0.5)
    assert_close(fused, share * r + (1 - share) * m)


@torch.no_grad()
def test_arbiter_starts_even_and_remembers():
    fusion = fresh(mixer={**MIXERS["hybrid"], "fusion": FUSIONS["arbiter"]}).blocks[0].mixer.fusion
    r, m = torch.randn(1, 6, 16), torch.randn(1, 6, 16)
    fused, state = fusion(r, m, fusion.initial_state(1), None)
    assert_close(fused, (r + m) / 2)
    assert (state["fusion.hidden"] > 0).all()


def test_scan_is_the_loop():
    keep, add, first = torch.rand(2, 13, 3), torch.randn(2, 13, 3), torch.randn(2, 3)
    keep[0, 4] = 0
    hidden, expected = first, []
    for index in range(13):
        hidden = keep[:, index] * hidden + add[:, index]
        expected.append(hidden)
    assert_close(scan(keep, add, first), torch.stack(expected, 1))


def test_gamma_scales_the_branches():
    loud, quiet = fresh(gamma=1.0), fresh(gamma=1e-6)
    seen = tokens(1, 8)
    assert_close(quiet(seen)[0], quiet.logits(quiet.norm(quiet.embedding(seen))), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(loud(seen)[0], quiet(seen)[0], atol=1e-3)


def test_logit_cap_bounds():
    made = model(logit_cap=2.0)
    assert made(tokens(1, 8))[0].abs().max() <= 2.0


@torch.no_grad()
def test_first_entropy_is_near_uniform():
    logits, _ = fresh()(tokens(4, 32))
    probability = functional.softmax(logits, -1)
    entropy = -(probability * probability.log()).sum(-1).mean()
    assert entropy / math.log(40) > 0.98


def test_memory_settings_without_norm_or_h0():
    bare = model(mixer={**MIXERS["hybrid"], "memory": {"h0": False}})
    assert bare.norm_period is None
    assert not any(name.endswith(("h0", "gain")) and "memory" in name for name, _ in bare.named_parameters())
    assert MEMORY["norm"]["period"] == model().norm_period


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"width": 15}, "multiple of 2 RWKV-6 heads; nearest: 16"),
        ({"mixer": {**MIXERS["hybrid"], "mamba": {**MAMBA, "head_width": 5}}}, "head_width = 5"),
        ({"mixer": {**MIXERS["hybrid"], "memory": {"norm": {"groups": 5}}}}, "groups = 5 must divide"),
        ({"mixer": {**MIXERS["attention"], "heads": 3}}, "twice 3 attention heads"),
        ({"anchors": {"where": {"kind": "at", "layers": [7]}, "attention": {"heads": 2, "context": 4}}}, "lie outside"),
    ],
)
def test_sizes_that_do_not_fit_are_settings_errors(changes, says):
    with pytest.raises(ValueError, match=says):
        settings(**changes)
