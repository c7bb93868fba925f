"""Decoding programs against the model's step: every mixer, fusion, feed-forward part and preset, whatever the cut."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from tests.core.models.examples import FUSIONS, MAMBA, MIXERS, SIGNED, VOCABULARY, model, resets, tokens
from think.core import plugins
from think.core.errors import BadData, MachineCannot, UsageError
from think.core.models import Settings, State, Thinking, build
from think.core.models.decode import IMPLEMENTATIONS, Decoder, obstacle
from think.core.models.eager import EagerDecoder, decoder_for
from think.core.models.mixers.attention import Attention
from think.core.models.thinking import MIXERS as FAMILY
from think.core.settings import RunSettings
from think.kernels.decode import native
from think.kernels.native import library
from think.presets import catalog
from think.presets.decode import decode
from think.presets.sources import read

pytestmark = pytest.mark.model

needs_native = pytest.mark.skipif(native.lacking() is not None, reason=str(native.lacking()))
BOTH = [pytest.param(name, marks=needs_native if name == "native" else []) for name in IMPLEMENTATIONS]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in plugins.names(FAMILY)},
    **{name: ("hybrid", {"mixer": {**MIXERS["hybrid"], "fusion": fusion}}) for name, fusion in FUSIONS.items()},
    "anchors": (
        "hybrid",
        {"anchors": {"where": {"kind": "every", "period": 2}, "attention": {"heads": 2, "context": 9}}},
    ),
    "plain": (
        "hybrid",
        {"feed_forward": {"kind": "gelu", "inner": 20}, "gamma": None, "tied": False, "logit_cap": 5.0},
    ),
    "no memory": ("hybrid", {"mixer": {**MIXERS["hybrid"], "memory": {"h0": False}}}),
    "signed": ("hybrid", {"mixer": SIGNED["hybrid"]}),
    "one tap": ("mamba2", {"mixer": {**MIXERS["mamba2"], "window": 1}}),
    "two taps, wide": ("mamba2", {"mixer": {"kind": "mamba2", **MAMBA, "expand": 3, "head_width": 3, "window": 2}}),
    "context of one": ("attention", {"mixer": {**MIXERS["attention"], "context": 1}}),
    "full attention": ("attention", {"mixer": {**MIXERS["attention"], "context": 64, "sliding": False}}),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def thinking(request: pytest.FixtureRequest) -> Thinking:
    name, changes = request.param
    return model(name, **changes)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, relative to the largest expected number."""
    if not expected.numel():
        return 0.0
    scale = expected.double().abs().max().clamp(min=1e-30)
    return float((found.double() - expected.double()).abs().max() / scale)


def assert_same_state(found: State, expected: State) -> None:
    assert found.position == expected.position
    assert found.tensors().keys() == expected.tensors().keys()
    for name, tensor in expected.tensors().items():
        other = found.tensors()[name]
        assert (other.shape, other.dtype) == (tensor.shape, tensor.dtype), name
        kind = name.rpartition(".")[2]
        if kind in ("known", "length"):
            assert torch.equal(other, tensor), name
        elif kind in ("keys", "values"):  # what is not known may be anything
            known = expected.tensors()[name.removesuffix(kind) + "known"]
            assert error(other[known], tensor[known]) < 1e-4, name
        else:
            assert error(other, tensor) < 1e-4, name


# ---- the same function -----------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("implementation", BOTH)
def test_logits_and_state_are_those_of_the_model(thinking: Thinking, implementation: str) -> None:
    seen, reset = tokens(2, 40), resets(2, 40)
    decoder, state = Decoder(thinking, 2, implementation), thinking.initial_state(2)
    for t in range(40):
        expected, state = thinking(seen[:, t : t + 1], state, reset[:, t : t + 1])
        found = decoder.step(seen[:, t].tolist(), reset=reset[:, t].tolist())
        assert error(found, expected[:, 0]) < 1e-4, t
    assert_same_state(decoder.state([0, 1]), state)


@torch.no_grad()
@pytest.mark.parametrize("implementation", BOTH)
@pytest.mark.parametrize("cut", [1, 5, 15, 16, 31])
def test_streams_go_from_the_model_to_the_decoder_and_back(thinking: Thinking, implementation: str, cut: int) -> None:
    seen = tokens(2, 48)
    whole = thinking(seen)[0]
    _, state = thinking(seen[:, :cut])
    decoder = Decoder(thinking, 3, implementation)
    decoder.load(state, [2, 0])
    for t in range(cut, cut + 8):
        found = decoder.step(seen[:, t].tolist(), rows=[2, 0])
        assert error(found, whole[:, t]) < 1e-4
    back = decoder.state([2, 0])
    assert back.position == cut + 8
    rest = thinking(seen[:, cut + 8 :], back)[0]
    assert error(rest, whole[:, cut + 8 :]) < 1e-4
    assert decoder.positions == [cut + 8, 0, cut + 8]


@torch.no_grad()
@pytest.mark.parametrize("implementation", BOTH)
def test_resets_of_one_stream_leave_the_other_alone(implementation: str) -> None:
    made = model("hybrid", anchors={"where": {"kind": "at", "layers": [1]}, "attention": {"heads": 2, "context": 9}})
    decoder, state = Decoder(made, 2, implementation), made.initial_state(2)
    for t in range(36):
        reset = torch.tensor([[t == 16], [t == 20]])  # the first one where StateNorm is due, too
        expected, state = made(tokens(2, 36)[:, t : t + 1], state, reset)
        found = decoder.step(tokens(2, 36)[:, t].tolist(), reset=reset[:, 0].tolist())
        assert error(found, expected[:, 0]) < 1e-4


SMALL = {
    "width": 32,
    "layers": 2,
    "vocabulary": 70,
    "heads": 2,
    "mix_rank": 3,
    "decay_rank": 5,
    "head_width": 16,
    "state": 6,
    "inner": 24,
    "context": 7,
    "period": 8,
}


def shrunk(tree: Any, key: str = "") -> Any:
    """The same model with small sizes; every choice stays."""
    if isinstance(tree, dict):
        return {name: shrunk(value, name) for name, value in tree.items()}
    if key == "layers" and isinstance(tree, list):
        return [1]
    return SMALL.get(key, tree) if isinstance(tree, int) and not isinstance(tree, bool) else tree


@needs_native
@torch.no_grad()
@pytest.mark.parametrize("preset", catalog.names())
def test_every_preset_decodes_natively(preset: str) -> None:
    tree = shrunk(decode(read(preset), RunSettings).settings.model.model_dump(mode="json"))
    torch.manual_seed(0)
    made = build(Settings.model_validate_json(json.dumps(tree)))
    for parameter in made.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    seen = torch.randint(70, (2, 20), generator=torch.Generator().manual_seed(1))
    whole, last = made(seen)
    decoder = Decoder(made, 2)
    for t in range(20):
        assert error(decoder.step(seen[:, t].tolist()), whole[:, t]) < 1e-4
    assert_same_state(decoder.state([0, 1]), last)


@needs_native
@torch.no_grad()
def test_angles_stay_exact_in_very_long_documents() -> None:
    made = model("attention")
    _, state = made(tokens(1, 20))
    layers = tuple({**layer, "mixer.attention.length": torch.tensor([3_000_000])} for layer in state.layers)
    moved = State(3_000_000, layers)
    decoder = Decoder(made)
    decoder.load(moved, [0])
    assert error(decoder.step([3]), made.step(torch.tensor([3]), moved)[0]) < 1e-4


# ---- streams do not touch --------------------------------------------------------------------------------------------


def larger() -> Thinking:
    """Large enough that threads share its operations; of sizes that fill no vector."""
    return model(
        "hybrid",
        vocabulary=611,
        width=72,
        mixer={
            "kind": "hybrid",
            "rwkv": {"heads": 3, "mix_rank": 5, "decay_rank": 7},
            "mamba": {"expand": 2, "head_width": 36, "state": 20},
            "memory": {"norm": {"groups": 4, "period": 8}},
        },
        feed_forward={"kind": "channel_mix", "inner": 250},
        anchors={"where": {"kind": "at", "layers": [1]}, "attention": {"heads": 2, "context": 33}},
    )


def _written(made: Thinking, seen: torch.Tensor, rows: list[int]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits [rows, T, V] and final state of some streams that are decoded side by side."""
    decoder = Decoder(made, len(rows))
    logits = [decoder.step(seen[rows, t].tolist()) for t in range(seen.shape[1])]
    return torch.stack(logits, 1), decoder.state(range(len(rows))).tensors()


@needs_native
@torch.no_grad()
@pytest.mark.parametrize("batch", [2, 3, 5, 8, 13])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_stream_gives_the_bytes_that_it_gives_alone(batch: int, count: int) -> None:
    made = larger()
    seen = torch.randint(611, (batch, 18), generator=torch.Generator().manual_seed(0))
    with threads(count):
        together, state = _written(made, seen, list(range(batch)))
    with threads(1):
        for row in range(batch):
            alone, own = _written(made, seen, [row])
            assert torch.equal(alone[0], together[row])
            assert all(torch.equal(tensor[0], state[name][row]) for name, tensor in own.items())


@needs_native
@torch.no_grad()
@pytest.mark.parametrize("level", library.levels())
def test_every_instruction_set_is_the_model(level: str) -> None:
    made = larger()
    seen = torch.randint(611, (7, 12), generator=torch.Generator().manual_seed(0))
    whole = made(seen)[0]
    with library.using(level):
        together, _ = _written(made, seen, list(range(7)))
        alone, _ = _written(made, seen, [4])
    assert error(together, whole) < 1e-4
    assert torch.equal(alone[0], together[4])


@needs_native
@torch.no_grad()
def test_streams_come_and_go() -> None:
    made, seen = larger(), torch.randint(611, (3, 20), generator=torch.Generator().manual_seed(0))
    alone = [_written(made, seen, [row])[0][0] for row in range(3)]
    decoder = Decoder(made, 2)
    assert torch.equal(decoder.step([int(seen[0, 0])], rows=[1])[0], alone[0][0])
    for t in range(10):
        found = decoder.step([int(seen[0, t + 1]), int(seen[1, t])], rows=[1, 0])
        assert torch.equal(found, torch.stack([alone[0][t + 1], alone[1][t]]))
    decoder.begin([0])
    for t in range(9):
        found = decoder.step([int(seen[2, t]), int(seen[0, t + 11])])
        assert torch.equal(found, torch.stack([alone[2][t], alone[0][t + 11]]))
    with pytest.raises(ValueError, match="different positions"):
        decoder.state([0, 1])


# ---- memory, weights -------------------------------------------------------------------------------------------------


@needs_native
@torch.no_grad()
def test_memory_does_not_grow_with_the_text() -> None:
    decoder = Decoder(larger())

    def held() -> tuple[int, dict[str, torch.Size]]:
        return decoder.bytes_of_state, {name: t.shape for name, t in decoder.state([0]).tensors().items()}

    before = held()
    for t in range(300):
        decoder.step([t])
    assert held() == before
    assert decoder.positions == [300]


@needs_native
@torch.no_grad()
def test_changed_weights_are_noticed_and_taken() -> None:
    made = model()
    decoder, other = Decoder(made), Decoder(made)
    decoder.step([1])
    state = decoder.state([0])
    assert not decoder.stale
    made.blocks[0].mixer.rwkv.key.weight.mul_(1.5)
    assert decoder.stale
    old = other.step([1])
    decoder.refresh()
    assert not decoder.stale
    assert other.stale, "a copy that was not told keeps the weights that it has"
    assert error(decoder.step([2]), made.step(torch.tensor([2]), state)[0]) < 1e-4
    assert error(old, made.step(torch.tensor([1]), made.initial_state(1))[0]) > 1e-4
    made.load_state_dict({name: tensor + 0.01 for name, tensor in made.state_dict().items()})
    assert decoder.stale


@needs_native
def test_an_optimizer_step_is_noticed() -> None:
    made = model()
    decoder = Decoder(made)
    made(tokens(1, 4))[0].sum().backward()
    for kind in (torch.optim.SGD, torch.optim.AdamW):
        kind(made.parameters(), lr=0.1).step()
        assert decoder.stale
        decoder.refresh()


@needs_native
def test_decoders_of_a_model_share_its_weights() -> None:
    made = model()
    assert Decoder(made)._machine is Decoder(made, 4)._machine


# ---- what cannot be decoded ------------------------------------------------------------------------------------------


class Doubled(Attention):
    """A mixer that computes something else than its parent, and has no program of its own."""

    def forward(self, x, state, reset):  # type: ignore[no-untyped-def]
        out, after = super().forward(x, state, reset)
        return 2 * out, after


def test_a_mixer_without_a_program_is_named_and_decoded_by_its_step() -> None:
    made = model("attention")
    made.blocks[1].mixer.__class__ = Doubled
    assert "Doubled (blocks.1.mixer)" in str(obstacle(made))
    with pytest.raises(MachineCannot, match="Doubled"):
        decoder_for(made, 1, "native")
    with pytest.raises(MachineCannot, match="Doubled"):
        Decoder(made)
    decoder = decoder_for(made, 2)
    assert isinstance(decoder, EagerDecoder)
    with torch.no_grad():
        assert error(decoder.step([3, 4]), made(torch.tensor([[3], [4]]))[0][:, 0]) < 1e-6


def test_a_map_that_was_exchanged_is_named() -> None:
    made = model("attention")
    made.blocks[0].mixer.output = torch.nn.Sequential(made.blocks[0].mixer.output, torch.nn.Tanh())
    assert "Sequential (blocks.0.mixer.output)" in str(obstacle(made))


def test_hooks_other_types_and_unknown_names_are_obstacles() -> None:
    made = model()
    handle = made.blocks[0].register_forward_hook(lambda *_: None)
    assert "hook" in str(obstacle(made, "interpreter"))
    handle.remove()
    assert obstacle(made, "interpreter") is None
    assert "float64" in str(obstacle(model().double(), "interpreter"))
    with pytest.raises(ValueError, match="no decoder is named"):
        obstacle(made, "quick")
    with pytest.raises(UsageError, match="quick"):
        decoder_for(made, 1, "quick")


def test_without_the_library_the_step_decodes_and_native_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "lacking", lambda: "the library was not built")
    assert isinstance(decoder_for(model()), EagerDecoder)
    with pytest.raises(MachineCannot, match="not built"):
        decoder_for(model(), 1, "native")


@torch.no_grad()
@pytest.mark.parametrize("implementation", BOTH)
def test_full_attention_refuses_what_it_would_forget(implementation: str) -> None:
    made = model("attention", mixer={**MIXERS["attention"], "sliding": False})
    decoder = Decoder(made, 1, implementation)
    for token in range(12):
        decoder.step([token])
    before = decoder.state([0])
    with pytest.raises(BadData, match="13 tokens"):
        decoder.step([1])
    assert_same_state(decoder.state([0]), before)
    decoder.step([1], reset=[True])


def test_arguments_that_do_not_fit_are_refused() -> None:
    decoder = Decoder(model(), 2, "interpreter")
    for given in ({"tokens": [1]}, {"tokens": [1, 2], "rows": [0, 0]}, {"tokens": [1], "rows": [2]}):
        with pytest.raises(ValueError, match="rows"):
            decoder.step(**given)
    for token in (-1, VOCABULARY):
        with pytest.raises(ValueError, match="vocabulary"):
            decoder.step([0, token])
    with pytest.raises(ValueError, match="differ"):
        decoder.load(model("mamba2").initial_state(2), [0, 1])
    with pytest.raises(ValueError, match="2 streams for 1 rows"):
        decoder.load(model().initial_state(2), [0])
