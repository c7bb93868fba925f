"""What every mixer must obey; parametrised over the folder, so a new file is tested at birth."""

import json

import pytest
import torch
from torch.testing import assert_close

from tests.core.models.examples import FUSIONS, MIXERS, SIGNED, VOCABULARY, model, resets, tokens
from think.core import plugins
from think.core.models import State
from think.core.models.thinking import MIXERS as FAMILY

pytestmark = pytest.mark.model

CASES = [(name, {}) for name in plugins.names(FAMILY)] + [
    ("hybrid", {"mixer": {**MIXERS["hybrid"], "fusion": fusion}}) for fusion in FUSIONS.values()
]
CASES += [(name, {"mixer": mixer}) for name, mixer in SIGNED.items()]
CASES += [
    ("hybrid", {"anchors": {"where": {"kind": "every", "period": 2}, "attention": {"heads": 2, "context": 9}}}),
    ("hybrid", {"feed_forward": {"kind": "gelu", "inner": 20}, "gamma": None, "tied": False, "logit_cap": 5.0}),
]


@pytest.fixture(params=CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)])
def thinking(request):
    name, changes = request.param
    return model(name, **changes)


@pytest.mark.parametrize("name", plugins.names(FAMILY))
def test_what_a_mixer_offers_for_trial_is_legal_and_names_all_it_needs(name):
    spec = plugins.load(FAMILY, name)
    assert "kind" not in spec.tiny
    assert spec.Settings.model_validate_json(json.dumps({"kind": name, **spec.tiny})).kind == name


def test_shapes_and_finite(thinking):
    logits, state = thinking(tokens(3, 21))
    assert logits.shape == (3, 21, VOCABULARY)
    assert torch.isfinite(logits).all()
    assert state.position == 21
    assert state.batch == 3


@torch.no_grad()
def test_no_token_changes_an_earlier_output(thinking):
    seen = tokens(2, 40)
    changed = seen.clone()
    changed[:, 23] = (changed[:, 23] + 1) % VOCABULARY
    before, after = thinking(seen)[0], thinking(changed)[0]
    assert torch.equal(before[:, :23], after[:, :23])
    assert not torch.equal(before[:, 23], after[:, 23])
    assert not torch.equal(before[:, 24], after[:, 24]), "the past must reach the next token"


@torch.no_grad()
@pytest.mark.parametrize("cuts", [(1,) * 37, (7, 16, 14), (16, 16, 5), (36, 1)])
def test_any_cut_gives_the_same_function(thinking, cuts):
    seen, reset = tokens(2, 37), resets(2, 37)
    whole, last = thinking(seen, None, reset)
    state, parts, start = None, [], 0
    for length in cuts:
        part, state = thinking(seen[:, start : start + length], state, reset[:, start : start + length])
        parts.append(part)
        start += length
    assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-4)
    assert state.position == last.position
    for name, tensor in last.tensors().items():
        assert_close(state.tensors()[name], tensor, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_step_is_forward_of_one_token(thinking):
    seen = tokens(2, 20)
    whole = thinking(seen)[0]
    state = thinking.initial_state(2)
    for index in range(20):
        logits, state = thinking.step(seen[:, index], state)
        assert_close(logits, whole[:, index], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_reset_hides_everything_before_it(thinking):
    # up to the next multiple of the StateNorm period, which counts from the start of the stream and not from the reset
    seen, reset = tokens(2, 32), torch.zeros(2, 32, dtype=torch.bool)
    reset[:, 16] = True
    after_reset = thinking(seen, None, reset)[0][:, 16:]
    assert_close(after_reset, thinking(seen[:, 16:])[0], rtol=1e-4, atol=1e-4)
    other_past = torch.cat([tokens(2, 16, seed=9), seen[:, 16:]], 1)
    assert torch.equal(thinking(other_past, None, reset)[0][:, 16:], after_reset)


@torch.no_grad()
def test_rows_do_not_see_each_other(thinking):
    seen, reset = tokens(3, 24), resets(3, 24)
    together, state = thinking(seen, None, reset)
    alone, own = thinking(seen[1:2], None, reset[1:2])
    assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)
    for name, tensor in own.tensors().items():
        assert_close(state.rows(slice(1, 2)).tensors()[name], tensor, rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient(thinking):
    seen, reset = tokens(2, 40), resets(2, 40)
    logits, _ = thinking(seen, None, reset)
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens(2, 40, seed=5).flatten()).backward()
    silent = [n for n, p in thinking.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_every_parameter_has_one_role_and_one_component(thinking):
    names = {name for name, _ in thinking.named_parameters()}
    assert set(thinking.roles()) == names
    assert set(thinking.components()) == names
    assert all(p.ndim == 2 for n, p in thinking.named_parameters() if thinking.roles()[n] == "matrix")


@torch.no_grad()
def test_state_survives_a_checkpoint_and_a_split(thinking):
    _, state = thinking(tokens(4, 19))
    again = State.from_tensors(state.tensors(), state.position)
    halves = State.join([again.rows(slice(0, 2)), again.rows(slice(2, 4))])
    following = tokens(4, 11, seed=3)
    assert torch.equal(thinking(following, state)[0], thinking(following, halves)[0])


def test_state_does_not_grow(thinking):
    _, short = thinking(tokens(1, 5))
    _, long = thinking(tokens(1, 60))
    assert {n: t.shape for n, t in short.tensors().items()} == {n: t.shape for n, t in long.tensors().items()}


def test_meta_device_builds_the_same_shapes(thinking):
    from think.core.models.count import on_meta

    shapes = {name: p.shape for name, p in on_meta(thinking.settings).named_parameters()}
    assert shapes == {name: p.shape for name, p in thinking.named_parameters()}
