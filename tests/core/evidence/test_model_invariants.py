"""g1's evidence on a tiny hybrid: whole models pass, and each way of breaking one is seen as what it is."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from think.core.evidence import Subject, initial_entropy, model_invariants
from think.core.gates.checks import g1, g2
from think.core.gates.evidence import InitialEntropy, ModelInvariants
from think.core.gates.verdict import Status
from think.core.models.memory import Memory
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.settings import RunSettings
from think.core.training import optimizer
from think.presets.decode import decode
from think.presets.sources import read

TINY = [
    "model.width=16", "model.layers=2", "model.vocabulary=64", "model.feed_forward.inner=32",
    "model.mixer.memory.norm.period=16", "model.mixer.mamba.head_width=8", "model.mixer.mamba.state=8",
    "model.mixer.rwkv.mix_rank=4", "model.mixer.rwkv.decay_rank=4",
]  # fmt: skip


def subject(*changes: str) -> Subject:
    resolved = decode(read("cpu_smoke", [*TINY, *changes]), RunSettings)
    return Subject(resolved.settings, resolved.digests, Path("nowhere"), None, "--preset cpu_smoke")


def look(*changes: str) -> ModelInvariants:
    found = model_invariants.produce(subject(*changes)).evidence
    assert isinstance(found, ModelInvariants)
    return found


def findings(seen: ModelInvariants) -> dict[str, Status]:
    return {finding.name: finding.status for finding in g1.judge(g1.Settings(), seen).findings}


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ('model.anchors={where={kind="at",layers=[1]},attention={heads=2,context=24,sliding=false}}',),
        ("stage1.optimizer.kind=adamw",),
        ("model.tied=false",),
    ],
    ids=["hybrid", "full attention of short context", "adamw", "untied"],
)
def test_a_whole_model_passes_and_every_link_was_put_to_the_test(changes: tuple[str, ...]) -> None:
    seen = look(*changes)
    assert g1.judge(g1.Settings(), seen).status is Status.PASS
    assert min(d.witness for d in (seen.chunks, seen.steps, seen.states, seen.handoff, seen.reset)) > 0.01


def test_the_same_model_gives_the_same_evidence() -> None:
    before = torch.get_rng_state()
    assert look() == look()
    assert torch.equal(before, torch.get_rng_state())


Forward = Callable[..., tuple[Tensor, State]]


def looks_ahead(whole: Forward) -> Forward:
    def forward(self: Thinking, tokens: Tensor, state: Any = None, reset: Any = None) -> tuple[Tensor, State]:
        logits, after = whole(self, tokens, state, reset)
        return logits + 1e-6 * logits.mean(dim=1, keepdim=True), after

    return forward


def forgets(whole: Forward) -> Forward:
    def forward(self: Thinking, tokens: Tensor, state: Any = None, reset: Any = None) -> tuple[Tensor, State]:
        return whole(self, tokens, None, reset)

    return forward


def ignores_resets(whole: Forward) -> Forward:
    def forward(self: Thinking, tokens: Tensor, state: Any = None, reset: Any = None) -> tuple[Tensor, State]:
        return whole(self, tokens, state, None)

    return forward


def resets_one_late(whole: Forward) -> Forward:
    def forward(self: Thinking, tokens: Tensor, state: Any = None, reset: Any = None) -> tuple[Tensor, State]:
        return whole(self, tokens, state, None if reset is None else reset.roll(1, dims=1))

    return forward


def mixes_rows(whole: Forward) -> Forward:
    def forward(self: Thinking, tokens: Tensor, state: Any = None, reset: Any = None) -> tuple[Tensor, State]:
        state = state.rows(torch.arange(tokens.shape[0]).flip(0)) if state is not None else None
        return whole(self, tokens, state, reset)

    return forward


def gives_nan(whole: Forward) -> Forward:
    def forward(self: Thinking, tokens: Tensor, state: Any = None, reset: Any = None) -> tuple[Tensor, State]:
        logits, after = whole(self, tokens, state, reset)
        return logits.index_fill(1, torch.tensor([logits.shape[1] - 1]), float("nan")), after

    return forward


def is_deaf_to_the_present(whole: Forward) -> Forward:
    def forward(self: Thinking, tokens: Tensor, state: Any = None, reset: Any = None) -> tuple[Tensor, State]:
        logits, after = whole(self, torch.zeros_like(tokens), state, reset)
        return logits, after

    return forward


@pytest.mark.parametrize(
    ("breakage", "seen_by"),
    [
        (looks_ahead, {"causality"}),
        (is_deaf_to_the_present, {"causality"}),
        (forgets, {"full == chunks", "full == steps", "final state", "state handoff"}),
        (ignores_resets, {"reset"}),
        (resets_one_late, {"reset"}),
        (mixes_rows, {"state handoff"}),
        (gives_nan, {"output"}),
    ],
)
def test_a_broken_model_is_seen(
    breakage: Callable[[Forward], Forward], seen_by: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Thinking, "forward", breakage(Thinking.forward))
    assert seen_by <= {name for name, word in findings(look()).items() if word is Status.FAIL}


def test_a_step_that_is_another_function_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Thinking.step

    def step(self: Thinking, token: Tensor, state: State) -> tuple[Tensor, State]:
        logits, after = whole(self, token, state)
        return logits * 1.001, after

    monkeypatch.setattr(Thinking, "step", step)
    assert findings(look())["full == steps"] is Status.FAIL


def test_state_norm_that_acts_once_a_call_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault of the first attempts: the norm acted at the end of each chunk, so chunking changed the function."""
    whole = Thinking.forward

    def forward(self: Thinking, tokens: Tensor, state: Any = None, reset: Any = None) -> tuple[Tensor, State]:
        logits, after = whole(self, tokens, state, reset)
        layers = tuple(block.normalise(layer) for block, layer in zip(self.blocks, after.layers, strict=True))
        return logits, replace(after, layers=layers)

    monkeypatch.setattr(Thinking, "forward", forward)
    found = findings(look())
    assert found["full == chunks"] is Status.FAIL


def test_a_parameter_without_gradient_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Thinking.logits
    monkeypatch.setattr(Thinking, "logits", lambda self, hidden: whole(self, hidden.detach()))
    seen = look("model.tied=false")
    assert findings(seen)["gradients"] is Status.FAIL
    assert "norm.weight" in seen.without_gradient
    assert "head.weight" not in seen.without_gradient


def test_start_states_that_get_no_gradient_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Memory, "fresh", property(lambda self: self.h0.detach()))
    monkeypatch.setattr(Memory, "initial", lambda self, batch, like: like.new_zeros(batch, *self.shape))
    seen = look()
    assert findings(seen)["gradients"] is Status.FAIL
    assert seen.without_gradient
    assert all(name.endswith("h0") for name in seen.without_gradient)


def test_a_frozen_parameter_is_no_trained_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Thinking.__init__

    def frozen(self: Thinking, settings: Any) -> None:
        whole(self, settings)
        self.norm.weight.requires_grad_(False)

    monkeypatch.setattr(Thinking, "__init__", frozen)
    seen = look()
    assert findings(seen)["optimizer groups"] is Status.FAIL
    assert "norm.weight" in seen.ungrouped


@pytest.mark.parametrize(("fault", "names"), [("left out", "ungrouped"), ("twice", "grouped_twice")])
def test_optimizer_groups_are_counted(fault: str, names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimizer of the first attempts held weights that never trained, and trained weights it never held."""
    whole = model_invariants.build_optimizer

    def build(settings: Any, roles: Mapping[str, Any], parameters: Any, rate: float) -> optimizer.Optimizer:
        built = whole(settings, roles, parameters, rate)
        first, *others = built.groups
        built.groups = others if fault == "left out" else [first, first, *others]
        return built

    monkeypatch.setattr(model_invariants, "build_optimizer", build)
    seen = look()
    assert findings(seen)["optimizer groups"] is Status.FAIL
    assert getattr(seen, names)


def test_entropy_of_a_fresh_model_is_nearly_that_of_knowing_nothing() -> None:
    found = initial_entropy.produce(subject()).evidence
    assert isinstance(found, InitialEntropy)
    assert len(set(found.nats)) == initial_entropy.SEEDS
    assert g2.judge(g2.Settings(), found).status is Status.PASS


def test_entropy_of_a_collapsed_model_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Thinking.logits
    monkeypatch.setattr(Thinking, "logits", lambda self, hidden: 100 * whole(self, hidden))
    found = initial_entropy.produce(subject("model.logit_cap=none")).evidence
    assert g2.judge(g2.Settings(), found).status is Status.FAIL
