"""Deliberation beside a text: what is asked, when plans act, and that every one of them is accounted for."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.planning.models import LAYERS, VOCABULARY, after, model_of, tokens
from think.core.errors import BadData
from think.core.generation import STOPS, Limits, Opened, full_context, write_deliberately
from think.core.models.decode import obstacle
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.planning.answer import Answer, stand
from think.core.planning.confidence import Trust
from think.core.planning.critic import Critic, CriticSettings
from think.core.planning.deliberate import Deliberation, DeliberationSettings, _thread
from think.core.planning.gru import GruWorld
from think.core.planning.injection import InjectionSettings, inject
from think.core.planning.planner import LatentPlanner, Planned, Root, judged_by
from think.core.planning.plans import INJECTED, Counts, Fate, Plan
from think.core.planning.rules import Gumbel, SearchSettings
from think.core.planning.transport import carry, change, changed
from think.core.telemetry.records import misfits

PROMPT = 9
GREEDY = Limits(tokens=24, temperature=0.0)
SURE = (1.0,) * LAYERS


class Says:
    """Plans the same tokens everywhere."""

    def __init__(self, planned: Sequence[int] = (11, 12, 13), confidence: tuple[float, ...] = SURE):
        self.planned, self.confidence = tuple(planned), confidence
        self.roots: list[Root] = []

    def plan(self, root: Root) -> Planned:
        self.roots.append(root)
        return Planned(self.planned, self.confidence)


class Waits(Says):
    """Plans when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go, self.began = threading.Event(), threading.Event()

    def plan(self, root: Root) -> Planned:
        self.began.set()
        assert self.let_go.wait(60)
        return super().plan(root)


class Fails:
    def plan(self, root: Root) -> Planned:
        raise BadData(f"no plan at {root.state.position}")


def latent(trust: Trust, simulations: int = 16, seed: int = 0) -> LatentPlanner:
    """A search in a small GRU world of its own; its heads are as torch makes them."""
    torch.manual_seed(seed)
    world, root = GruWorld(VOCABULARY, 8, values=LAYERS, squash=True), torch.nn.Linear(LAYERS * 16, 8)
    return LatentPlanner(
        world.requires_grad_(False),
        lambda residuals: root(residuals.flatten(1)),
        torch.arange(VOCABULARY),
        SearchSettings(simulations=simulations, rule=Gumbel(considered=4)),
        trust,
        longest=4,
    )


def opened(model: Thinking, decoder: str = "eager", *, traced: bool = False) -> Opened:
    """A text that does not end by itself."""
    text = Opened(model, decoder=decoder, traced=traced)
    text._bias[list(STOPS)] = float("-inf")
    text.read(tokens(PROMPT)[0].tolist())
    return text


def write(deliberation: Deliberation, text: Opened, limits: Limits = GREEDY, seed: int | None = None) -> list[int]:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return list(write_deliberately(text, limits, generator, deliberation))


def accounted(counts: Counts, running: int = 0) -> None:
    ends = counts.refused + counts.abandoned + counts.failed + counts.silent + counts.plans
    assert counts.asked == ends + running
    assert counts.plans == sum(counts.fates.values())


def at_once(**changes: Any) -> DeliberationSettings:
    return DeliberationSettings(**{"every": 4, "lag": 0, **changes})


@pytest.fixture(scope="module")
def model() -> Thinking:
    return model_of("hybrid")


@pytest.mark.parametrize("decoder", ["eager", "native"])
def test_a_search_runs_and_its_plans_move_the_state(model: Thinking, decoder: str) -> None:
    if decoder == "native" and obstacle(model):
        pytest.skip("no native decoder here")
    planner = latent(Trust((0.0,) * LAYERS, (1.0,) * LAYERS))
    records: list[tuple[str, dict[str, Any]]] = []
    noted = Deliberation(
        model, planner, at_once(), InjectionSettings(rate=0.9), note=lambda *record: records.append(record)
    )
    with noted:
        written = write(noted, opened(model, decoder))
    counts = noted.counts
    accounted(counts)
    assert counts.searches == 6
    assert counts.injections > 0
    assert not any(misfits(kind, fields) for kind, fields in records)
    searches = [fields for kind, fields in records if kind == "search"]
    assert len(searches) == counts.searches
    assert all(fields["simulations"] == 16 and sum(fields["visits"]) == 16 for fields in searches)
    injections = [fields for kind, fields in records if kind == "injection"]
    assert len(injections) == counts.plans
    assert all(len(fields["alpha"]) == LAYERS for fields in injections)
    assert all(max(fields["moved"]) > 0 for fields in injections if fields["fate"] in INJECTED)
    assert written != list(opened(model, decoder).write(GREEDY))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hybrid", "mamba2, signed"])
@pytest.mark.parametrize(
    "asked", [{"lag": 3}, {"every": 1, "queue": 3, "lag": 2}, {"every": 5, "ahead": 1, "lag": 4, "queue": 2}]
)
def test_all_decoders_write_the_same_with_deliberation(
    kind: str, asked: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a late change is carried by the mixers or by the decays that a decoder has kept."""
    model = model_of(kind)
    if obstacle(model):
        pytest.skip("no native decoder here")
    found = []
    for decoder, traced in (("eager", False), ("native", False), ("native", True)):
        text = opened(model, decoder, traced=traced)
        with Deliberation(
            model,
            latent(Trust((0.0,) * LAYERS, (1.0,) * LAYERS)),
            at_once(**asked),
            InjectionSettings(rate=0.9, decay=1.0, diverged="apply"),
        ) as deliberation:
            by_mixers = Mock(wraps=deliberation._carried)
            monkeypatch.setattr(deliberation, "_carried", by_mixers)
            found.append((write(deliberation, text), text.state))
        late = deliberation.counts.fates[Fate.LATE] + deliberation.counts.fates[Fate.ADAPTED]
        assert late > 0
        assert by_mixers.call_count == (0 if traced else late)
    for written, state in found[1:]:
        assert written == found[0][0]
        same(state, found[0][1], rtol=1e-2)


@pytest.mark.parametrize(("trust", "rate"), [(Trust.none(LAYERS), 1.0), (Trust((0.0,) * LAYERS, (1.0,) * LAYERS), 0.0)])
def test_an_untrained_critic_and_a_rate_of_zero_leave_the_text_alone(
    model: Thinking, trust: Trust, rate: float
) -> None:
    with Deliberation(model, latent(trust), at_once(), InjectionSettings(rate=rate)) as deliberation:
        text, plain = opened(model), opened(model)
        assert write(deliberation, text) == list(plain.write(GREEDY))
    for name, tensor in text.state.tensors().items():
        assert torch.equal(tensor, plain.state.tensors()[name]), name
    assert deliberation.counts.searches == 6
    assert deliberation.counts.fates == {Fate.CLOSED: 6}


@pytest.mark.parametrize("asked", [{"every": 1}, {"every": 1, "ahead": 3}, {"every": 1, "lag": 2, "queue": 3}])
def test_where_full_attention_ends_plans_are_as_long_as_fits_and_then_there_are_none(asked: dict[str, int]) -> None:
    sees = PROMPT + 12
    model, trust = model_of("hybrid", sees=sees), Trust((0.0,) * LAYERS, (1.0,) * LAYERS)
    assert full_context(model) == sees
    made: list[tuple[int, int]] = []
    planner = latent(trust)
    planner.context = sees

    def note(kind: str, fields: dict[str, Any]) -> None:
        if kind == "search":
            made.append((fields["position"], len(fields["tokens"])))

    text = opened(model)
    with Deliberation(model, planner, at_once(**asked), InjectionSettings(rate=0.5), note=note) as deliberation:
        written = write(deliberation, text)
    assert (text.ended, len(written)) == ("context", 12)
    accounted(deliberation.counts)
    assert deliberation.counts.injections > 0
    assert made
    assert all(1 <= longest <= 4 and at + longest <= sees for at, longest in made)
    assert made[-1] == (sees - 1, 1), "the last one plans one token"


def test_equal_seeds_give_equal_texts(model: Thinking) -> None:
    texts = []
    for _ in range(2):
        planner = latent(Trust((0.0,) * LAYERS, (1.0,) * LAYERS))
        with Deliberation(model, planner, at_once(lag=2), InjectionSettings(rate=0.8)) as deliberation:
            texts.append(write(deliberation, opened(model), Limits(tokens=30, temperature=1.0), seed=5))
    assert texts[0] == texts[1]


class Fixed:
    """A text whose tokens are given, so that a test knows every state."""

    def __init__(self, model: Thinking, state: State):
        self.model, self.state = model, state
        self.changes: list[tuple[State, State]] = []
        self.room: int | None = None

    @property
    def tokens(self) -> int:
        return self.state.position

    def take(self, token: int) -> None:
        self.state = after(self.model, torch.tensor([[token]]), self.state)

    def snapshot(self) -> Callable[[], State]:
        state = self.state
        return lambda: state

    def likeliest(self, logits: torch.Tensor) -> int:
        return int(logits.argmax())

    def mark(self) -> None:
        pass

    def decays(self) -> None:
        return None

    def shaped(self, decays: torch.Tensor) -> dict[str, torch.Tensor]:
        raise AssertionError("there are no decays")

    def change(self, state: State) -> None:
        assert state.position == self.tokens
        self.changes.append((self.state, state))
        self.state = state


def follow(deliberation: Deliberation, text: Fixed, given: Sequence[int]) -> None:
    deliberation.begin(text)
    for token in given:
        text.take(token)
        deliberation.after(text, token)
    deliberation.finish()


def same(found: State, expected: State, rtol: float = 1e-4) -> None:
    for name, tensor in expected.tensors().items():
        scale = float(tensor.abs().max()) if tensor.is_floating_point() else 0.0
        torch.testing.assert_close(found.tensors()[name], tensor, rtol=rtol, atol=1e-5 * max(1.0, scale))


GIVEN = tokens(12, seed=3)[0].tolist()


def only(text: Fixed) -> tuple[State, State]:
    assert len(text.changes) == 1
    return text.changes[0]


@pytest.mark.parametrize("lag", [0, 1, 3, 8])
def test_a_late_plan_acts_as_its_change_carried_along(lag: int) -> None:
    model = model_of("rwkv6")
    start = after(model, tokens(PROMPT))
    text, planner = Fixed(model, start), Says()
    injection = InjectionSettings(rate=0.5, decay=0.9)
    with Deliberation(model, planner, DeliberationSettings(every=100, lag=lag), injection) as deliberation:
        follow(deliberation, text, GIVEN)
    assert deliberation.counts.fates == {Fate.ON_TIME if lag == 0 else Fate.LATE: 1}
    before, changed_state = only(text)
    captured = after(model, torch.tensor([GIVEN[:1]]), start)
    assert planner.roots[0].state.position == captured.position == PROMPT + 1
    copy = after(model, torch.tensor([planner.planned]), captured)
    by = change(copy, captured)
    carried = carry(model, captured, torch.tensor([GIVEN[1 : 1 + lag]]), by)[0] if lag else by
    same(changed_state, inject(before, changed(before, carried), [0.5 * 0.9**lag] * LAYERS))
    assert before.position == PROMPT + 1 + lag


@pytest.mark.parametrize("crossing", ["recompute", "drop"])
def test_a_plan_on_the_far_side_of_a_state_norm(crossing: str) -> None:
    model = model_of("rwkv6", period=12)
    start = after(model, tokens(PROMPT))
    text, planner = Fixed(model, start), Says()
    injection = InjectionSettings.model_validate({"rate": 0.5, "decay": 1.0, "crossing": crossing})
    with Deliberation(model, planner, DeliberationSettings(every=100, lag=4), injection) as deliberation:
        follow(deliberation, text, GIVEN)
    accounted(deliberation.counts)
    if crossing == "drop":
        assert deliberation.counts.fates == {Fate.CROSSED: 1}
        assert not text.changes
        return
    assert deliberation.counts.fates == {Fate.RECOMPUTED: 1}
    before, changed_state = only(text)
    same(changed_state, inject(before, after(model, torch.tensor([planner.planned]), before), [0.5] * LAYERS))


def test_a_plan_made_ahead_waits_for_its_position_and_does_not_decay() -> None:
    model = model_of("rwkv6")
    text, planner = opened(model), Says()
    injection = InjectionSettings(rate=1.0, decay=0.5)
    records: list[dict[str, Any]] = []
    with Deliberation(
        model,
        planner,
        DeliberationSettings(every=100, ahead=3, lag=1),
        injection,
        note=lambda kind, fields: records.append(fields) if kind == "injection" else None,
    ) as deliberation:
        write(deliberation, text)
    assert deliberation.counts.fates == {Fate.ON_TIME: 1}
    assert planner.roots[0].state.position == PROMPT + 4
    assert records[0]["position"] == PROMPT + 4
    assert records[0]["lag"] == 0
    assert records[0]["alpha"] == [1.0] * LAYERS


@pytest.mark.parametrize(
    ("diverged", "lag", "fate"), [("drop", 1, "diverged"), ("apply", 1, "adapted"), ("apply", 5, "adapted")]
)
def test_a_plan_made_for_other_tokens(diverged: str, lag: int, fate: str) -> None:
    model = model_of("rwkv6")
    start = after(model, tokens(PROMPT))
    text, planner = Fixed(model, start), Says()
    injection = InjectionSettings.model_validate({"rate": 0.5, "decay": 1.0, "diverged": diverged})
    with Deliberation(model, planner, DeliberationSettings(every=100, ahead=2, lag=lag), injection) as deliberation:
        follow(deliberation, text, GIVEN)
    assert deliberation.counts.fates == {Fate(fate): 1}
    if diverged == "drop":
        assert not text.changes
        return
    before, changed_state = only(text)
    assert before.position == PROMPT + 1 + max(2, lag)
    root = planner.roots[0].state
    by = change(after(model, torch.tensor([planner.planned]), root), root)
    if lag > 2:
        there = after(model, torch.tensor([GIVEN[:3]]), start)
        by = carry(model, there, torch.tensor([GIVEN[3 : 1 + lag]]), by)[0]
    same(changed_state, inject(before, changed(before, by), [0.5] * LAYERS))


def test_a_plan_is_carried_along_the_text_as_other_plans_have_changed_it() -> None:
    """Every token asks, every plan is two tokens late: each is carried over the injections of those before it."""
    model = model_of("mamba2")
    start = after(model, tokens(PROMPT))
    text = Fixed(model, start)
    injection = InjectionSettings(rate=0.9, decay=1.0)
    with Deliberation(model, Says(), DeliberationSettings(every=1, lag=2, queue=3), injection) as deliberation:
        follow(deliberation, text, GIVEN[:6])
    assert deliberation.counts.fates == {Fate.LATE: 4, Fate.UNUSED: 2}
    # the same by two runs side by side that share their layers' inputs: the changed stream, and it without one change
    (_, first), (second_before, second) = text.changes[:2]
    captured = after(model, torch.tensor([GIVEN[:2]]), start)
    by = change(after(model, torch.tensor([Says().planned]), captured), captured)
    by, _ = carry(model, captured, torch.tensor([GIVEN[2:3]]), by)
    by, _ = carry(model, first, torch.tensor([GIVEN[3:4]]), by)
    same(second, inject(second_before, changed(second_before, by), [0.9] * LAYERS))


def test_the_longest_lag() -> None:
    model = model_of("rwkv6")
    for lag, fate in ((5, Fate.LATE), (6, Fate.TOO_LATE)):
        text = Fixed(model, after(model, tokens(PROMPT)))
        asked = DeliberationSettings(every=100, lag=lag)
        with Deliberation(model, Says(), asked, InjectionSettings(longest_lag=5)) as deliberation:
            follow(deliberation, text, GIVEN)
        assert deliberation.counts.fates == {fate: 1}


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    every=st.integers(1, 4),
    ahead=st.integers(0, 3),
    queue=st.integers(1, 3),
    lag=st.integers(0, 6),
    longest=st.integers(0, 4),
    crossing=st.sampled_from(["recompute", "drop"]),
    diverged=st.sampled_from(["drop", "apply"]),
    sure=st.sampled_from([0.0, 1.0]),
    planned=st.sampled_from([(), (11,), (11, 12, 13, 14)]),
    count=st.integers(0, 12),
)
def test_every_plan_has_exactly_one_fate(
    every: int,
    ahead: int,
    queue: int,
    lag: int,
    longest: int,
    crossing: str,
    diverged: str,
    sure: float,
    planned: tuple[int, ...],
    count: int,
) -> None:
    model = model_of("rwkv6", period=6)
    text, planner = Fixed(model, after(model, tokens(PROMPT))), Says(planned, (sure,) * LAYERS)
    injection = {"longest_lag": longest, "crossing": crossing, "diverged": diverged}
    endings: list[str] = []
    with Deliberation(
        model,
        planner,
        DeliberationSettings(every=every, ahead=ahead, queue=queue, lag=lag),
        InjectionSettings.model_validate(injection),
        note=lambda kind, fields: endings.append(fields["fate"]) if kind == "injection" else None,
    ) as deliberation:
        for _ in range(2):
            follow(deliberation, text, GIVEN[:count])
    counts = deliberation.counts
    accounted(counts)
    assert counts.asked == 2 * -(-count // every)
    assert counts.plans == (len(planner.roots) if planned else 0) == len(endings)
    assert counts.injections == len(text.changes)
    assert {Fate(end) for end in endings} == set(counts.fates)


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_planner_is_told_what_was_read(model: Thinking, ahead: int) -> None:
    text, planner, prompt = opened(model), Says(), tokens(PROMPT)[0].tolist()
    with Deliberation(model, planner, at_once(ahead=ahead, every=5), InjectionSettings(rate=0.0)) as deliberation:
        written = list(write_deliberately(text, GREEDY, None, deliberation, prompt))
        for root in planner.roots:
            assert list(root.read) == [*prompt, *written][: root.state.position]
            same(root.state, after(model, torch.tensor([root.read])), rtol=1e-3)
        planner.roots.clear()
        write(deliberation, opened(model))
    assert all(len(root.read) < root.state.position for root in planner.roots)


@pytest.mark.parametrize("backbone", ["frozen", "copy"])
def test_a_critic_judges_where_the_plan_leads(model: Thinking, backbone: str) -> None:
    critic = Critic(CriticSettings.model_validate({"backbone": backbone}), model.settings).eval()
    critic.copy(model)
    read, planned = tokens(PROMPT)[0].tolist(), (11, 12)
    root = stand(model, after(model, torch.tensor([read[:-1]])), read[-1], tuple(read[:-1]))
    found = judged_by(model, critic)(root, planned)
    with torch.no_grad():
        residuals, _ = model.residuals(torch.tensor([[*read, *planned]]))
        expected = critic.values(residuals[0, -1])
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-5)
    if backbone == "copy":
        with pytest.raises(ValueError, match="1 tokens are known of a text of 9"):
            judged_by(model, critic)(stand(model, after(model, torch.tensor([read[:-1]])), read[-1]), planned)


def test_confidence_is_the_judges(model: Thinking) -> None:
    planner = latent(Trust((0.0,) * LAYERS, (1.0, 0.5, 0.0)))
    root = stand(model, after(model, tokens(PROMPT)), 11)
    planner.judge = lambda root, planned: [1.0] * LAYERS
    sure = planner.plan(root).confidence
    assert sure[0] > 0
    assert sure == pytest.approx((sure[0], sure[0] / 2, 0.0))
    planner.judge = lambda root, planned: [1.0]
    assert planner.plan(root).confidence == sure
    planner.judge = lambda root, planned: [0.0] * LAYERS
    assert planner.plan(root).confidence == (0.0,) * LAYERS


def test_writing_does_not_wait_for_a_plan(model: Thinking) -> None:
    planner, text = Waits(), opened(model)
    with Deliberation(model, planner, DeliberationSettings(every=1, queue=2), InjectionSettings()) as deliberation:
        assert write(deliberation, text) == list(opened(model).write(GREEDY))
        assert planner.began.wait(60)
        counts = deliberation.counts
        assert counts.asked == 24
        assert counts.refused == 22  # one in work, one waiting
        assert counts.abandoned == 1
        accounted(counts, running=1)
        planner.let_go.set()
    accounted(counts)
    assert counts.fates == {Fate.UNUSED: 1}


def test_a_plan_of_another_text_is_never_applied(model: Thinking) -> None:
    planner, text = Waits(), opened(model)
    asked = DeliberationSettings(every=100)
    with Deliberation(model, planner, asked, InjectionSettings(rate=1.0, longest_lag=100)) as deliberation:
        write(deliberation, text)
        assert planner.began.wait(60)
        other = opened(model)
        deliberation.begin(other)
        planner.let_go.set()
        deliberation._requests[0].answer.result(60)
        state = other.state
        for token in other.write(Limits(tokens=1, temperature=0.0)):
            state = other.state
            deliberation.after(other, token)
        assert other.state is state
        assert deliberation.counts.fates == {Fate.FOREIGN: 1}


def test_a_plan_handed_over_late_by_the_thread_acts(model: Thinking) -> None:
    planner, text = Waits(), opened(model)
    injection = InjectionSettings(rate=1.0, longest_lag=100)
    with Deliberation(model, planner, DeliberationSettings(every=100), injection) as deliberation:
        deliberation.begin(text)
        for count, token in enumerate(text.write(GREEDY)):
            if count == 5:
                planner.let_go.set()
                deliberation._requests[0].answer.result(60)
            deliberation.after(text, token)
        deliberation.finish()
    assert deliberation.counts.fates == {Fate.LATE: 1}
    assert text.tokens == PROMPT + 24


@pytest.mark.parametrize(("busy", "second"), [(1.0, 5), (0.5, 9), (0.25, 17)])
def test_what_was_long_in_work_is_not_asked_again_at_once(model: Thinking, busy: float, second: int) -> None:
    """The first plan takes four tokens: asked for after the first token, there after the fifth."""
    planner, text, asks = Waits(), opened(model), []
    settings = DeliberationSettings(every=1, busy=busy)
    with Deliberation(model, planner, settings, InjectionSettings(rate=0.0)) as deliberation:
        deliberation.begin(text)
        for count, token in enumerate(text.write(GREEDY)):
            if count == 4:
                planner.let_go.set()
                deliberation._requests[0].answer.result(60)
            taken = deliberation.counts.asked - deliberation.counts.refused
            deliberation.after(text, token)
            if deliberation.counts.asked - deliberation.counts.refused > taken:
                asks.append(count)
        deliberation.finish()
    assert asks[:2] == [0, second]


def test_an_error_of_the_planner_comes_up_where_the_text_is_written(model: Thinking) -> None:
    text = opened(model)
    deliberation = Deliberation(model, Fails(), DeliberationSettings(every=100), InjectionSettings())
    with deliberation:
        deliberation.begin(text)
        written = text.write(Limits(tokens=2, temperature=0.0))
        deliberation.after(text, next(written))
        deliberation._requests[0].answer.exception(60)
        second = next(written)
        with pytest.raises(BadData, match=f"no plan at {PROMPT + 1}"):
            deliberation.after(text, second)
    assert deliberation.counts.failed == 1
    accounted(deliberation.counts)


def test_a_copy_whose_state_is_not_finite_is_an_error() -> None:
    model = model_of("rwkv6")
    with torch.no_grad():
        model.embedding.weight[13] = float("nan")
    text = Fixed(model, after(model, torch.full((1, 4), 9)))
    with (
        Deliberation(model, Says((13,)), at_once(), InjectionSettings()) as deliberation,
        pytest.raises(BadData, match="not finite"),
    ):
        follow(deliberation, text, [9, 9])


def test_a_newer_plan_takes_the_place_of_an_older_one(model: Thinking) -> None:
    text = opened(model)
    deliberation = Deliberation(model, Says(), at_once(), InjectionSettings())
    deliberation.begin(text)
    state = text.state
    ahead = Plan(deliberation._generation, text.tokens, (1, 2), Planned((3,), SURE), state, state, state, 0.0)
    for plan in (ahead, replace(ahead, asked=1.0)):
        deliberation._receive(Answer(plan, {}), text)
    counts = deliberation.finish()
    deliberation.close()
    assert counts.fates == {Fate.REPLACED: 1, Fate.UNUSED: 1}


def test_nothing_is_planned_beyond_the_end_of_a_text(model: Thinking) -> None:
    text, planner = opened(model), Says()
    text.likeliest = lambda logits: None  # type: ignore[method-assign]
    with Deliberation(model, planner, at_once(ahead=2), InjectionSettings()) as deliberation:
        write(deliberation, text)
    accounted(deliberation.counts)
    assert deliberation.counts.silent == deliberation.counts.asked == 6
    assert not planner.roots


@pytest.mark.parametrize("decoder", ["eager", "native"])
def test_a_snapshot_is_of_its_moment(model: Thinking, decoder: str) -> None:
    if decoder == "native" and obstacle(model):
        pytest.skip("no native decoder here")
    text = opened(model, decoder)
    writing = text.write(GREEDY)
    next(writing)
    first = text.snapshot()
    state = text.state
    second = text.snapshot()  # the state is known by now
    for _ in writing:
        pass
    for found in (first(), second()):
        assert found.position == state.position == PROMPT + 1
        for name, tensor in state.tensors().items():
            assert torch.equal(found.tensors()[name], tensor), name


def test_a_text_takes_a_state_at_its_own_position_only(model: Thinking) -> None:
    text = opened(model)
    with pytest.raises(ValueError, match=f"position 3 for a text at {PROMPT}"):
        text.change(State(3, text.state.layers))


def test_the_thread_of_searches_takes_no_others_and_leaves_the_writer_its_own() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        pool = _thread()
        assert pool.submit(torch.get_num_threads).result() == 1
        assert torch.get_num_threads() == 2
        with ThreadPoolExecutor(1) as other:
            assert other.submit(torch.get_num_threads).result() == 2
        pool.shutdown()
    finally:
        torch.set_num_threads(before)
