"""Who is moved by which rule, what decays, and that the state survives a round trip."""

from collections.abc import Callable

import pytest
import torch

from think.core.errors import BadData, MachineCannot
from think.core.models.thinking import Thinking
from think.core.training import optimizer as optimizers
from think.core.training.loop import trainable
from think.core.training.optimizer import AdamWSettings, MuonSettings, Optimizer, build_optimizer, coverage, grouped

MakeModel = Callable[..., Thinking]


def made(model: Thinking, settings: AdamWSettings | MuonSettings, rate: float = 0.01) -> Optimizer:
    return build_optimizer(settings, model.roles(), trainable(model), rate)


def fill_gradients(model: Thinking, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("settings", [AdamWSettings(), MuonSettings()])
def test_every_trainable_parameter_is_in_exactly_one_group(
    model_of: MakeModel, settings: AdamWSettings | MuonSettings
) -> None:
    model = model_of()
    names = [name for group in made(model, settings).groups for name in group.names]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert coverage(model.roles(), list(trainable(model))) == {}


def test_coverage_names_what_is_wrong() -> None:
    wrong = coverage({"a": "matrix", "b": "matrix", "c": "wheel"}, ["a", "c", "d"])  # type: ignore[dict-item]
    assert wrong == {
        "d": "trainable, but in no group",
        "b": "in a group, but not trainable",
        "c": "unknown role 'wheel'",
    }
    with pytest.raises(ValueError, match="in no group"):
        grouped(AdamWSettings(), {}, ["a"], 0.1)


@pytest.mark.parametrize("settings", [AdamWSettings(weight_decay=0.5), MuonSettings(weight_decay=0.5)])
def test_weight_decay_reaches_matrices_and_nothing_else(
    model_of: MakeModel, settings: AdamWSettings | MuonSettings
) -> None:
    model = model_of()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = made(model, settings, rate=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    for name, parameter in model.named_parameters():
        shrunk = before[name] * (1 - 0.1 * 0.5)
        expected = shrunk if model.roles()[name] == "matrix" else before[name]
        torch.testing.assert_close(parameter.detach(), expected, msg=name)


def test_embeddings_decay_only_when_asked(model_of: MakeModel) -> None:
    model = model_of()
    groups = {group.role: group for group in made(model, AdamWSettings(embedding_weight_decay=0.02)).groups}
    assert groups["embedding"].weight_decay == 0.02
    assert {role: group.weight_decay for role, group in groups.items() if role not in ("matrix", "embedding")} == {
        "vector": 0.0,
        "state": 0.0,
        "decay": 0.0,
    }


def test_muon_takes_matrices_by_role_and_not_by_shape(model_of: MakeModel) -> None:
    model = model_of()
    roles = model.roles()
    rules = {name: group.rule for group in made(model, MuonSettings()).groups for name in group.names}
    assert {name for name, rule in rules.items() if rule == "muon"} == {n for n in roles if roles[n] == "matrix"}
    two_axes = {name for name, parameter in model.named_parameters() if parameter.ndim == 2}
    assert two_axes - {name for name, rule in rules.items() if rule == "muon"}, "low-rank maps have two axes too"


def test_rates_follow_scale_and_schedule(model_of: MakeModel) -> None:
    model = model_of()
    optimizer = made(model, MuonSettings(recurrent_scale=0.1, matrix_scale=3.0, beta1=0.0, beta2=0.0), rate=0.01)
    assert {group.role: group.rate for group in optimizer.groups} == pytest.approx(
        {"matrix": 0.03, "embedding": 0.01, "vector": 0.01, "state": 0.01, "decay": 0.001}
    )
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    fill_gradients(model)
    optimizer.step(0.5)
    # without memory Adam moves every entry by its rate
    for name, parameter in model.named_parameters():
        if model.roles()[name] == "decay":
            torch.testing.assert_close((parameter.detach() - before[name]).abs(), torch.full_like(before[name], 0.0005))


@pytest.mark.parametrize("settings", [AdamWSettings(), AdamWSettings(implementation="plain"), MuonSettings()])
def test_a_stored_optimizer_goes_on_bit_for_bit(
    model_of: MakeModel, settings: AdamWSettings | MuonSettings, same_bytes: Callable[..., bool]
) -> None:
    torch.manual_seed(0)
    one = model_of()
    first = made(one, settings)
    for seed in range(2):
        fill_gradients(one, seed)
        first.step(0.7)
    other = model_of()
    other.load_state_dict(one.state_dict())
    second = made(other, settings)
    second.load({name: tensor.clone() for name, tensor in first.state().items()})
    for model, optimizer in ((one, first), (other, second)):
        fill_gradients(model, 9)
        optimizer.step(0.3)
    assert same_bytes(dict(one.state_dict()), dict(other.state_dict()))
    assert same_bytes(first.state(), second.state())


def test_the_state_of_another_model_is_refused(model_of: MakeModel) -> None:
    with pytest.raises(BadData, match="does not have"):
        made(model_of(), AdamWSettings()).load({"blocks.9.gone|exp_avg": torch.zeros(1)})


def test_fused_is_found_out_by_trying(model_of: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(model_of(), AdamWSettings()).implementation == "fused"
    assert made(model_of(), AdamWSettings(implementation="plain")).implementation == "plain"
    monkeypatch.setattr(optimizers, "fused_works", lambda device: False)
    assert made(model_of(), AdamWSettings()).implementation == "plain"
    with pytest.raises(MachineCannot, match="no fused AdamW"):
        made(model_of(), AdamWSettings(implementation="fused"))
