"""Injection: what moves, how far, and what is never touched."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.core.planning.models import LAYERS, MIXERS, after, model_of, tokens
from think.core.models.state import State
from think.core.planning.injection import InjectionSettings, gates, inject, matrices_of, moves


@pytest.fixture(scope="module", params=["rwkv6", "mamba2", "hybrid, signed"])
def states(request: pytest.FixtureRequest) -> tuple[State, State]:
    """A state, and that of a copy which has read on."""
    model = model_of(request.param, anchor=True)
    start = after(model, tokens(9))
    return start, after(model, tokens(5, seed=2), start)


def test_a_gate_of_zero_gives_the_very_tensors(states: tuple[State, State]) -> None:
    state, target = states
    found = inject(state, target, [0.0] * LAYERS)
    for name, tensor in found.tensors().items():
        assert tensor is state.tensors()[name]
    assert found.position == state.position


def test_a_gate_of_one_gives_the_true_matrices(states: tuple[State, State]) -> None:
    state, target = states
    found = inject(state, target, [1.0] * LAYERS)
    for (*where, matrix), (*_, true) in zip(found.matrices(), target.matrices(), strict=True):
        assert torch.equal(matrix, true), where


def test_only_matrices_move(states: tuple[State, State]) -> None:
    state, target = states
    found, before = inject(state, target, [0.7] * LAYERS).tensors(), state.tensors()
    for name, tensor in found.items():
        if name.endswith(".matrix"):
            assert not torch.equal(tensor, before[name]), name
        else:
            assert tensor is before[name], name
    assert any(name.endswith(("conv", "shift", "keys")) for name in found)


def test_each_layer_has_its_own_gate(states: tuple[State, State]) -> None:
    state, target = states
    found = inject(state, target, [0.0, 0.5, 0.0])
    assert found.layers[0] is state.layers[0]
    assert found.layers[2] is state.layers[2]
    went = moves(state, found)
    assert went[0] == went[2] == 0.0
    assert went[1] > 0.0
    assert went[1] == pytest.approx(0.5 * moves(state, inject(state, target, [1.0] * LAYERS))[1], rel=1e-5)


@given(alpha=st.lists(st.floats(0, 1), min_size=LAYERS, max_size=LAYERS), seed=st.integers(0, 5))
def test_no_norm_grows_beyond_the_larger_one(alpha: list[float], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def drawn() -> State:
        scale = 10 ** (4 * torch.rand((), generator=generator) - 2)
        layers = ({"mixer.matrix": scale * torch.randn(1, 2, 3, 4, generator=generator)} for _ in range(LAYERS))
        return State(3, tuple(layers))

    state, target = drawn(), drawn()
    found = inject(state, target, alpha)
    for (*_, new), (*_, old), (*_, goal) in zip(found.matrices(), state.matrices(), target.matrices(), strict=True):
        assert float(new.norm()) <= max(float(old.norm()), float(goal.norm())) * (1 + 1e-6)


def test_a_thousand_injections_stay_bounded(states: tuple[State, State]) -> None:
    state, target = states
    most = max(float(matrix.norm()) for one in states for *_, matrix in one.matrices())
    generator, now = torch.Generator().manual_seed(0), state
    for _ in range(1000):
        now = inject(now, target, torch.rand(LAYERS, generator=generator).tolist())
    assert all(float(matrix.norm()) <= most * (1 + 1e-4) for *_, matrix in now.matrices())


def test_gates_by_rate_confidence_and_lag() -> None:
    settings = InjectionSettings(rate=0.2, decay=0.5)
    assert gates(settings, (1.0, 0.5, 0.0), 0) == pytest.approx((0.2, 0.1, 0.0))
    assert gates(settings, (1.0, 0.5, 0.0), 2) == pytest.approx((0.05, 0.025, 0.0))
    assert gates(InjectionSettings(rate=0.0), (1.0,), 0) == (0.0,)
    assert gates(InjectionSettings(rate=0.2, decay=0.0), (1.0,), 0) == (0.2,)
    assert gates(InjectionSettings(rate=0.2, decay=0.0), (1.0,), 1) == (0.0,)


@pytest.mark.parametrize(("confidence", "lag"), [((1.1,), 0), ((float("nan"),), 0), ((0.5,), -1)])
def test_a_confidence_is_a_share_and_a_lag_a_number_of_tokens(confidence: tuple[float, ...], lag: int) -> None:
    with pytest.raises(ValueError, match="expected shares"):
        gates(InjectionSettings(), confidence, lag)


def test_gates_must_fit_the_layers(states: tuple[State, State]) -> None:
    state, target = states
    with pytest.raises(ValueError, match="2 gates for 3 layers"):
        inject(state, target, [0.1, 0.1])
    with pytest.raises(ValueError, match="expected shares"):
        inject(state, target, [0.1, 0.1, 1.5])


def test_attention_has_no_matrix() -> None:
    model = model_of("rwkv6", anchor=True)
    layer = model.initial_state(1).layers[LAYERS - 1]
    assert layer
    assert not matrices_of(layer)
    assert all(matrices_of(model_of(kind).initial_state(1).layers[0]) for kind in MIXERS)
