"""Transport against the recurrences themselves, token by token."""

from typing import cast

import pytest
import torch

from tests.core.planning.models import LAYERS, MIXERS, after, model_of, tokens
from think.core.models.decode import Decoder, obstacle
from think.core.models.state import LayerState, scope, under
from think.core.models.thinking import Block, Thinking
from think.core.planning.injection import inject, matrices_of
from think.core.planning.transport import carry, change, changed, crosses_norm, decayed


def layer_inputs(model: Thinking, read: torch.Tensor, state: object) -> list[list[torch.Tensor]]:
    """What each mixer reads at each token, the model stepping token by token."""
    seen: list[list[torch.Tensor]] = [[] for _ in model.blocks]
    hooks = [
        cast(Block, block).mixer.register_forward_pre_hook(lambda _, given, into=into: into.append(given[0]))
        for block, into in zip(model.blocks, seen, strict=True)
    ]
    for token in read.unbind(1):
        _, state = model.step(token, state)  # type: ignore[arg-type]
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("kind", MIXERS)
@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_a_transported_change_is_the_difference_of_two_runs(kind: str, count: int) -> None:
    model = model_of(kind)
    state = after(model, tokens(11))
    by = change(after(model, tokens(4, seed=3), state), state)
    read = tokens(count, seed=4)
    found, arrived = carry(model, state, read, by)
    assert arrived.position == state.position + count
    inputs, begun = layer_inputs(model, read, state), changed(state, by)
    for index in range(LAYERS):
        mixer = cast(Block, model.blocks[index]).mixer
        plain, moved = scope(state.layers[index], "mixer"), scope(begun.layers[index], "mixer")
        for x in inputs[index]:
            _, plain = mixer(x, plain, None)
            _, moved = mixer(x, moved, None)
        expected: LayerState = {name: moved[name] - tensor for name, tensor in matrices_of(plain).items()}
        assert expected
        assert set(under("mixer", expected)) == set(found[index])
        for name, tensor in expected.items():
            scale = float(plain[name].abs().max() + moved[name].abs().max())
            torch.testing.assert_close(found[index][f"mixer.{name}"], tensor, rtol=1e-4, atol=3e-6 * scale)
            assert float(tensor.abs().max()) > 0


@pytest.mark.parametrize("kind", MIXERS)
def test_the_stream_arrives_where_the_model_takes_it(kind: str) -> None:
    model = model_of(kind, anchor=True)
    state, read = after(model, tokens(9)), tokens(6, seed=5)
    _, arrived = carry(model, state, read, change(state, state))
    for name, tensor in after(model, read, state).tensors().items():
        torch.testing.assert_close(arrived.tensors()[name], tensor)


@pytest.mark.parametrize("kind", MIXERS)
def test_transport_is_linear_and_composes(kind: str) -> None:
    model = model_of(kind)
    state = after(model, tokens(9))
    by = change(after(model, tokens(3, seed=6), state), state)
    read = tokens(8, seed=7)
    whole, _ = carry(model, state, read, by)
    first, between = carry(model, state, read[:, :3], by)
    second, _ = carry(model, between, read[:, 3:], first)
    twice, _ = carry(model, state, read, tuple({name: 2 * part for name, part in layer.items()} for layer in by))
    nothing, _ = carry(model, state, read, change(state, state))
    for index in range(LAYERS):
        for name, part in whole[index].items():
            torch.testing.assert_close(second[index][name], part, rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(twice[index][name], 2 * part, rtol=1e-3, atol=1e-5)
            assert not nothing[index][name].any()


def test_what_is_carried_shrinks_with_the_decays_between() -> None:
    model = model_of("rwkv6")
    state = after(model, tokens(9))
    by = change(after(model, tokens(3, seed=6), state), state)
    norms = []
    for count in (1, 4, 16):
        found, _ = carry(model, state, tokens(count, seed=8), by)
        norms.append(sum(float(part.norm()) for layer in found for part in layer.values()))
    assert norms[0] > norms[1] > norms[2] > 0


def test_a_full_gate_at_once_equals_the_planned_rollout() -> None:
    """Without lag the target is the copy itself: adding its whole change gives its matrices."""
    model = model_of("hybrid")
    state = after(model, tokens(9))
    copy = after(model, tokens(4, seed=9), state)
    found = inject(state, changed(state, change(copy, state)), [1.0] * LAYERS)
    for (*_, matrix), (*_, true) in zip(found.matrices(), copy.matrices(), strict=True):
        torch.testing.assert_close(matrix, true)


@pytest.mark.parametrize(
    ("start", "stop", "crosses"),
    [(0, 8, False), (0, 9, True), (3, 8, False), (8, 9, True), (8, 8, False), (9, 16, False), (9, 17, True)],
)
def test_where_state_norm_acts(start: int, stop: int, crosses: bool) -> None:
    model = model_of("rwkv6", period=8)
    assert crosses_norm(model, start, stop) is crosses
    assert not crosses_norm(model_of("rwkv6"), start, stop)
    calls = 0

    def counted(state: LayerState) -> LayerState:
        nonlocal calls
        calls += 1
        return state

    begun = after(model, tokens(start)) if start else model.initial_state(1)
    cast(Block, model.blocks[0]).normalise = counted  # type: ignore[method-assign]
    if stop > start:
        after(model, tokens(stop - start), begun)
    assert bool(calls) is crosses


def test_nothing_is_carried_over_a_state_norm() -> None:
    model = model_of("rwkv6", period=8)
    state = after(model, tokens(6))
    with pytest.raises(ValueError, match="StateNorm acts between 6 and 10"):
        carry(model, state, tokens(4), change(state, state))


@pytest.mark.parametrize("kind", MIXERS)
@pytest.mark.parametrize("implementation", ["native", "interpreter"])
def test_the_decays_that_a_decoder_keeps_carry_a_change_as_far(kind: str, implementation: str) -> None:
    model = model_of(kind, anchor=True)
    if obstacle(model, implementation):
        pytest.skip("no native decoder here")
    state = after(model, tokens(9))
    by = change(after(model, tokens(4, seed=3), state), state)
    read = tokens(6, seed=4)
    traced, plain = (Decoder(model, 2, implementation, traced=traced) for traced in (True, False))
    for decoder in (traced, plain):
        decoder.load(state, [1])
    traced.step([11], [1])
    traced.load(state, [1])
    traced.mark(1)
    for token in read[0].tolist():
        assert torch.equal(traced.step([token], [1]), plain.step([token], [1]))
    expected, _ = carry(model, state, read, by)
    found = decayed(by, traced.shaped(traced.decays(1)))
    for index in range(LAYERS):
        for name, part in expected[index].items():
            torch.testing.assert_close(found[index][name], part, rtol=1e-3, atol=1e-5)
    assert bool((traced.decays(0) == 1).all())
