"""The loop: equal seeds, exact resume, accumulation, cadence, and how it ends when it must."""

import math
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from think.core import seeding
from think.core.errors import BadData, Diverged, Interrupted, Terminated
from think.core.training.loop import begin, resume, save, train, trainable
from think.core.training.step import accumulate_gradients, forward_of
from think.core.training.stop import Stop
from think.core.training.weights import load_weights, weights

pytestmark = pytest.mark.train

Make = Callable[..., tuple[Any, Any]]
Same = Callable[..., bool]


def silent(_: object) -> None:
    return None


def taken(make_run: Make, name: str = "run", **changes: Any) -> tuple[Any, Any, Any]:
    """A run from the start to the end: run, records, last progress."""
    run, records = make_run(name, **changes)
    progress, _ = train(run, begin(run), silent)
    return run, records, progress


@pytest.mark.parametrize("optimizer", [{"kind": "adamw"}, {"kind": "muon"}])
def test_equal_seeds_give_equal_losses_and_weights_bit_for_bit(
    make_run: Make, same_bytes: Same, optimizer: dict[str, Any]
) -> None:
    one, first, _ = taken(make_run, "one", optimizer=optimizer)
    other, second, _ = taken(make_run, "other", optimizer=optimizer)
    _, third, _ = taken(make_run, "third", optimizer=optimizer, seed=4)
    assert first.losses() == second.losses()
    assert same_bytes(weights(one.work.model), weights(other.work.model))
    assert first.losses() != third.losses()
    assert first.losses()[-1] < first.losses()[0]


@pytest.mark.parametrize("stopped_at", [1, 3, 5])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_resumed_run_ends_byte_for_byte_as_the_uninterrupted_one(
    make_run: Make, same_bytes: Same, stopped_at: int, kind: str
) -> None:
    changes: dict[str, Any] = {
        "optimizer": {"kind": kind},
        "curriculum": [{"from_share": 0.4, "length": 20}],
        "anomalies": {"window": 2, "spike": 1.01},
        "steps": 6,
    }
    whole, whole_records, end = taken(make_run, "whole", **changes)
    part, _ = make_run("parts", **changes)
    part.stop.asked = None

    def stop(seen: Any) -> None:
        if seen.step == stopped_at - 1:
            part.stop.asked = signal.SIGINT

    if stopped_at == 1:
        part.stop.asked = signal.SIGINT
    with pytest.raises(Interrupted):
        train(part, begin(part), stop)
    torch.manual_seed(99)  # a new process knows nothing of the old one's generators
    rest, records = make_run("parts", **changes)
    torch.randn(7)
    progress = resume(rest, rest.checkpoints.latest())
    assert progress.step == stopped_at
    progress, _ = train(rest, progress, silent)

    for group in ("model", "optimizer", "state", "random"):
        kept = [run.checkpoints.load().tensors[group] for run in (whole, rest)]
        assert same_bytes(*kept), group
    facts = [run.checkpoints.load().facts for run in (whole, rest)]
    assert facts[0] == facts[1]
    assert whole_records.losses()[stopped_at:] == records.losses()
    assert (progress.step, progress.position, progress.tokens) == (end.step, end.position, end.tokens)


def test_dropout_streams_are_part_of_a_checkpoint(make_run: Make) -> None:
    run, _ = make_run()
    progress = begin(run)
    torch.manual_seed(5)
    torch.randn(3)
    save(run, progress)
    expected = torch.randn(4)
    torch.manual_seed(6)
    resume(run, run.checkpoints.latest())
    assert torch.equal(torch.randn(4), expected)


def test_evaluating_and_looking_change_nothing_that_is_trained(make_run: Make, same_bytes: Same) -> None:
    quiet, _, _ = taken(make_run, "quiet")
    loud, records, _ = taken(
        make_run,
        "loud",
        evaluation={"every": 1, "rows": 2, "tokens": 40},
        checkpoint={"every": 2, "keep": 1},
        telemetry={"gradients_every": 1, "health_every": 1},
    )
    assert same_bytes(weights(quiet.work.model), weights(loud.work.model))
    assert [step for step, _ in records.of("eval")] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in records.of("checkpoint")] == [2, 4, 6]
    assert len(records.of("component_gradients")) == 6
    assert {(fields["layer"], fields["branch"]) for _, fields in records.of("state_health")} == {
        (0, "rwkv"),
        (0, "mamba"),
        (0, "fusion"),
    }


def test_accumulating_micro_batches_is_the_full_batch(make_run: Make) -> None:
    run, _ = make_run(rows=4)
    batch, start = run.work.tracks.at(0, 12), run.work.model.initial_state(4).detach()
    found = {}
    for parts in (1, 2, 4):
        run.optimizer.zero_grad()
        outcome = accumulate_gradients(
            forward_of(run.work.model),
            batch,
            start,
            micro_batches=parts,
            entropy_bonus=0.05,
            precision="float32",
            look=None,
        )
        gradients = {n: torch.zeros(()) if p.grad is None else p.grad for n, p in run.work.model.named_parameters()}
        found[parts] = (outcome, gradients)
    whole, expected = found[1]
    for parts in (2, 4):
        outcome, gradients = found[parts]
        assert outcome.loss == pytest.approx(whole.loss, rel=1e-6)
        assert outcome.objective == pytest.approx(whole.objective, rel=1e-6)
        assert outcome.tokens == whole.tokens
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)
        for name, tensor in outcome.state.tensors().items():
            torch.testing.assert_close(tensor, whole.state.tensors()[name], rtol=1e-4, atol=1e-5, msg=name)


def test_the_state_is_handed_from_step_to_step(make_run: Make) -> None:
    """Two steps without an update are one step of twice the length."""
    run, _ = make_run(rows=2)
    forward, start = forward_of(run.work.model), run.work.model.initial_state(2).detach()
    settings = {"micro_batches": 1, "entropy_bonus": 0.0, "precision": "float32", "look": None}
    whole = accumulate_gradients(forward, run.work.tracks.at(0, 24), start, **settings)
    first = accumulate_gradients(forward, run.work.tracks.at(0, 12), start, **settings)
    second = accumulate_gradients(forward, run.work.tracks.at(12, 12), first.state, **settings)
    tokens = first.tokens + second.tokens
    assert tokens == whole.tokens
    assert (first.loss * first.tokens + second.loss * second.tokens) / tokens == pytest.approx(whole.loss, rel=1e-5)
    assert not any(tensor.requires_grad for tensor in first.state.tensors().values())


def test_the_curriculum_changes_the_length_and_never_the_rows(make_run: Make) -> None:
    run, records, progress = taken(make_run, curriculum=[{"from_share": 0.5, "length": 20}])
    assert [fields["length"] for _, fields in records.of("step")] == [12, 12, 12, 20, 20, 20]
    assert progress.position == 3 * 12 + 3 * 20 == progress.state.position
    assert progress.state.batch == run.settings.rows


def test_the_entropy_bonus_lowers_the_objective_by_its_share(make_run: Make) -> None:
    _, plain, _ = taken(make_run, "plain", steps=1)
    _, eager, _ = taken(make_run, "eager", steps=1, entropy_bonus=0.1)
    (_, without), (_, with_bonus) = plain.of("step")[0], eager.of("step")[0]
    assert without["loss"] == with_bonus["loss"] == pytest.approx(without["objective"])
    assert with_bonus["objective"] == pytest.approx(without["loss"] - 0.1 * with_bonus["entropy"], rel=1e-6)


def test_the_recorded_norm_is_the_one_before_the_cut(make_run: Make, same_bytes: Same) -> None:
    free, open_records, _ = taken(make_run, "free", steps=1, max_gradient_norm=None)
    cut, cut_records, _ = taken(make_run, "cut", steps=1, max_gradient_norm=1e-9)
    norms = [records.of("step")[0][1]["gradient_norm"] for records in (open_records, cut_records)]
    assert norms[0] == norms[1] > 1e-3
    assert not same_bytes(weights(free.work.model), weights(cut.work.model))


def test_the_share_of_steps_that_moved_the_start_state_is_counted(make_run: Make) -> None:
    _, records, progress = taken(make_run)
    shares = [fields["h0_share"] for _, fields in records.of("step")]
    moved = [fields["h0_gradient"] > 0 for _, fields in records.of("step")]
    assert moved[0], "the first step resets every row"
    assert shares == pytest.approx([sum(moved[: n + 1]) / (n + 1) for n in range(len(moved))])
    assert progress.moved == sum(moved)


@pytest.mark.parametrize("reset_period", [None, 6])
def test_a_reset_period_changes_what_is_learnt(make_run: Make, reset_period: int | None) -> None:
    _, records, _ = taken(make_run, "periodic", reset_period=reset_period)
    _, always, _ = taken(make_run, "never")
    assert (records.losses() == always.losses()) is (reset_period is None)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_last_good_checkpoint(make_run: Make) -> None:
    run, _ = make_run(checkpoint={"every": 2, "keep": 2})

    def poison(seen: Any) -> None:
        if seen.step == 3:
            with torch.no_grad():
                run.work.model.embedding.weight.fill_(math.nan)

    with pytest.raises(Diverged, match="the loss of step 4 is nan") as caught:
        train(run, begin(run), poison)
    assert caught.value.exit == 4
    assert "step-00000002" in str(caught.value)
    assert run.checkpoints.find().step == 2


def test_a_gradient_norm_that_is_not_finite_stops_the_run_before_the_update(
    make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = make_run()
    start = {name: tensor.clone() for name, tensor in weights(run.work.model).items()}
    monkeypatch.setattr("think.core.training.loop.clip_gradients", lambda *_: math.inf)
    with pytest.raises(Diverged, match="gradient norm of step 1 is inf") as caught:
        train(run, begin(run), silent)
    assert "no checkpoint was written yet" in str(caught.value)
    assert all(torch.equal(start[name], tensor) for name, tensor in weights(run.work.model).items())


def test_a_signal_is_obeyed_after_the_step_and_its_checkpoint(make_run: Make) -> None:
    for number, kind, code in ((signal.SIGINT, Interrupted, 130), (signal.SIGTERM, Terminated, 143)):
        run, _ = make_run(number.name)

        def interrupt(seen: Any, number: signal.Signals = number) -> None:
            if seen.step == 2:
                signal.raise_signal(number)

        with run.stop, pytest.raises(kind, match="after step 3") as caught:
            train(run, begin(run), interrupt)
        assert caught.value.exit == code
        assert run.checkpoints.find().step == 3


def test_a_second_ctrl_c_stops_at_once_and_the_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Stop() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.asked == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_anomaly_raises_the_detail_of_telemetry(make_run: Make) -> None:
    _, records, _ = taken(
        make_run,
        steps=9,
        telemetry={"steps_every": 100, "gradients_every": 2, "health_every": None},
        anomalies={"component_ratio": 1.0000001, "detail_steps": 3},
    )
    (step, anomaly), *_ = records.of("anomaly")
    assert (step, anomaly["rule"], anomaly["detail_until_step"]) == (2, "component_ratio", 5)
    assert [step for step, _ in records.of("step")] == [3, 4, 5]
    assert [step for step, _ in records.of("component_gradients")] == [2, 3, 4, 5, 6, 8]
    assert all(fields["warning"] for _, fields in records.of("component_gradients"))
    assert {step for step, _ in records.of("state_health")} == {3, 4, 5}


def test_the_last_evaluation_reads_the_whole_split(make_run: Make) -> None:
    run, records, _ = taken(make_run, evaluation={"every": 3, "rows": 2, "tokens": 30})
    (_, part), (_, whole) = records.of("eval")
    assert not part["whole"]
    assert whole["whole"]
    assert part["tokens"] < whole["tokens"] <= run.work.held_out.tokens


def test_bfloat16_keeps_float32_master_weights(make_run: Make) -> None:
    run, records, progress = taken(make_run, precision="bfloat16")
    _, plain, _ = taken(make_run, "plain")
    assert all(parameter.dtype == torch.float32 for parameter in trainable(run.work.model).values())
    assert all(state.dtype == torch.float32 for state in progress.state.tensors().values() if state.is_floating_point())
    assert records.losses() != plain.losses()
    assert records.losses() == pytest.approx(plain.losses(), rel=0.02)


def test_weights_of_another_model_are_refused(make_run: Make) -> None:
    run, _ = make_run()
    held = weights(run.work.model)
    with pytest.raises(BadData, match="unknown to the model"):
        load_weights(run.work.model, {**held, "gone": torch.zeros(1)}, "here")
    with pytest.raises(BadData, match="missing in the checkpoint"):
        load_weights(run.work.model, dict(list(held.items())[1:]), "here")
    name = next(iter(held))
    with pytest.raises(BadData, match="has shape"):
        load_weights(run.work.model, {**held, name: torch.zeros(3, 3, 3)}, "here")


def test_initialisation_does_not_depend_on_who_drew_before() -> None:
    seeding.start(1, "stage1", "initialisation")
    one = torch.randn(3)
    torch.randn(100)
    seeding.start(1, "stage1", "initialisation")
    assert torch.equal(torch.randn(3), one)
