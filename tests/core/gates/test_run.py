"""The engine: order, blocking, waivers, and thresholds that are fixed before evidence is looked at."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from think.core.errors import UsageError
from think.core.gates import run
from think.core.gates.checks import Gate, g0, g2
from think.core.gates.evidence import Absent, Evidence, Exhibit, Source, fingerprint
from think.core.gates.run import Question
from think.core.gates.store import Stored
from think.core.gates.verdict import Status, Waiver

DIGESTS = {name: name * 3 for name in ("model", "tokenizer", "data", "stage1", "pack", "vocabulary", "code")}
NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
ALL = ["g0", "g1", "g2", "g3"]


def question(**digests: str) -> Question:
    return Question({**DIGESTS, **digests}, {name: run.load(name).Settings() for name in run.gates()}, "--preset p")


def evidence(gate: Gate, expected: Status) -> Evidence:
    return next(ex.evidence for ex in gate.examples if ex.expected is expected and ex.settings == gate.Settings())


def producer(
    words: dict[str, Status], asked: Question, looked: list[str] | None = None
) -> Callable[[str, Gate], Exhibit | Absent]:
    """Evidence that makes each gate say the wanted word; NO_EVIDENCE is nothing at all."""

    def produce(name: str, gate: Gate) -> Exhibit | Absent:
        if looked is not None:
            looked.append(name)
        wanted = words.get(name, Status.PASS)
        if wanted is Status.NO_EVIDENCE:
            return Absent(why="nothing there", remedy="make some")
        return Exhibit(evidence=evidence(gate, wanted), source=Source(digests=dict(asked.digests)))

    return produce


def judged(
    names: list[str],
    words: dict[str, Status] | None = None,
    stored: list[Stored] | None = None,
    asked: Question | None = None,
    waivers: dict[str, Waiver] | None = None,
    now: datetime = NOW,
) -> list[Stored]:
    asked = asked or question()
    produce = producer(words or {}, asked)
    return run.run(names, asked, produce, stored or [], waivers=waivers, now=lambda: now)


def words(records: list[Stored]) -> list[Status]:
    return [record.verdict.status for record in records]


def test_gates_of_one_command_count_for_each_other() -> None:
    assert words(judged(ALL)) == [Status.PASS] * 4


@pytest.mark.parametrize("bad", [Status.FAIL, Status.NO_EVIDENCE])
def test_everything_after_a_gate_that_does_not_stand_is_blocked(bad: Status) -> None:
    assert words(judged(ALL, {"g1": bad})) == [Status.PASS, bad, Status.BLOCKED, Status.BLOCKED]


def test_a_warning_blocks_nothing() -> None:
    assert words(judged(ALL, {"g2": Status.WARN})) == [Status.PASS, Status.PASS, Status.WARN, Status.PASS]


def test_a_blocked_gate_does_not_even_look_for_evidence_and_names_the_command() -> None:
    looked: list[str] = []
    asked = question()
    (record,) = run.run(["g3"], asked, producer({}, asked, looked), [], now=lambda: NOW)
    assert looked == []
    assert record.verdict.status is Status.BLOCKED
    assert record.verdict.remedy == "`think gate g0 g1 g2 --preset p`"


def test_stored_verdicts_count_while_their_digests_match() -> None:
    stored = judged(["g0", "g1", "g2"])
    assert words(judged(["g3"], stored=stored)) == [Status.PASS]
    (stale,) = judged(["g3"], stored=stored, asked=question(model="another"))
    assert stale.verdict.status is Status.BLOCKED
    assert "model changed" in stale.verdict.reason


def test_a_digest_that_is_unknown_now_matches_nothing() -> None:
    asked = question()
    nothing = Question({k: v for k, v in asked.digests.items() if k != "model"}, asked.thresholds)
    stored = judged(["g0", "g1", "g2"], asked=nothing)
    assert words(judged(["g3"], stored=stored, asked=nothing)) == [Status.BLOCKED]


def test_edited_code_makes_verdicts_on_fresh_models_stale() -> None:
    stored = judged(["g0", "g1", "g2"])
    assert words(judged(["g3"], stored=stored, asked=question(code="edited"))) == [Status.BLOCKED]


def test_a_pass_under_milder_thresholds_does_not_open_the_next_gate() -> None:
    mild = question()
    mild = Question(mild.digests, {**mild.thresholds, "g2": g2.Settings(band=g2.ShareBand(passes=0.1, warns=0.0))})
    stored = judged(["g0", "g1", "g2"], asked=mild)
    (record,) = judged(["g3"], stored=stored)
    assert record.verdict.status is Status.BLOCKED
    assert "thresholds changed" in record.verdict.reason


def test_a_later_failure_replaces_an_earlier_pass() -> None:
    stored = judged(["g0", "g1", "g2"])
    stored += judged(["g1"], {"g1": Status.FAIL}, stored=stored)
    assert words(judged(["g3"], stored=stored)) == [Status.BLOCKED]


def test_an_earlier_gate_blocks_through_a_later_one_that_passed_before() -> None:
    stored = judged(["g0", "g1", "g2"])
    stored += judged(["g0"], {"g0": Status.FAIL})
    assert words(judged(["g3"], stored=stored)) == [Status.BLOCKED]


def test_thresholds_are_hashed_before_evidence_is_asked_for() -> None:
    asked = question()
    seen = []
    thresholds = asked.thresholds["g0"]

    def produce(name: str, gate: Gate) -> Exhibit | Absent:
        # A producer that tries to loosen what it will be judged by.
        object.__setattr__(thresholds, "__dict__", {"kernel_error": 1e9})
        seen.append(name)
        return Exhibit(evidence=evidence(g0.SPEC, Status.PASS), source=Source())

    before = fingerprint(thresholds.model_dump(mode="json"))
    (record,) = run.run(["g0"], asked, produce, [], now=lambda: NOW)
    assert seen == ["g0"]
    assert record.thresholds_sha256 == before == fingerprint(g0.Settings().model_dump(mode="json"))
    assert fingerprint(record.thresholds) != record.thresholds_sha256  # `think gate verify` calls that wrong


WAIVER = Waiver("g2", "known", "Ada", date(2030, 6, 1))


@pytest.mark.parametrize("bad", [Status.FAIL, Status.NO_EVIDENCE])
def test_a_waiver_opens_the_next_gate_and_stays_visible(bad: Status) -> None:
    records = judged(ALL, {"g2": bad}, waivers={"g2": WAIVER})
    assert words(records) == [Status.PASS, Status.PASS, Status.WAIVED, Status.PASS]
    assert f"would be {bad}" in records[2].verdict.reason


def test_a_waiver_never_hides_a_pass_or_a_warning_or_a_block() -> None:
    assert words(judged(ALL, waivers={"g2": WAIVER}))[2] is Status.PASS
    assert words(judged(ALL, {"g2": Status.WARN}, waivers={"g2": WAIVER}))[2] is Status.WARN
    assert words(judged(ALL, {"g1": Status.FAIL}, waivers={"g2": WAIVER}))[2:] == [Status.BLOCKED] * 2


def test_a_stored_waiver_holds_until_its_day_is_over() -> None:
    stored = judged(["g0", "g1", "g2"], {"g2": Status.FAIL}, waivers={"g2": WAIVER})
    last, over = (datetime(2030, 6, day, 23, 59, tzinfo=UTC) for day in (1, 2))
    assert words(judged(["g3"], stored=stored, now=last)) == [Status.PASS]
    (record,) = judged(["g3"], stored=stored, now=over)
    assert record.verdict.status is Status.BLOCKED
    assert "waiver ended on 2030-06-01" in record.verdict.reason
    again = judged(["g2"], {"g2": Status.FAIL}, stored=stored, now=last)
    assert words(again) == [Status.WAIVED]
    assert words(judged(["g2"], {"g2": Status.FAIL}, stored=stored, now=over)) == [Status.FAIL]


def test_a_waiver_of_missing_evidence_does_not_cover_a_failure() -> None:
    stored = judged(["g0", "g1", "g2"], {"g2": Status.NO_EVIDENCE}, waivers={"g2": WAIVER})
    assert words(judged(["g2"], {"g2": Status.FAIL}, stored=stored)) == [Status.FAIL]


def test_a_waiver_dies_with_the_model_it_was_given_for() -> None:
    stored = judged(["g0", "g1", "g2"], {"g2": Status.FAIL}, waivers={"g2": WAIVER})
    other = question(model="another")
    stored += judged(["g0", "g1"], asked=other)
    assert words(judged(["g2"], {"g2": Status.FAIL}, stored=stored, asked=other)) == [Status.FAIL]


def test_waivers_that_are_over_or_for_gates_not_asked_are_refused() -> None:
    with pytest.raises(UsageError, match="ended on"):
        judged(["g2"], waivers={"g2": Waiver("g2", "r", "o", NOW.date() - timedelta(days=1))})
    with pytest.raises(UsageError, match="not asked"):
        judged(["g1"], waivers={"g2": WAIVER})


def test_verdicts_are_kept_as_soon_as_they_are_known() -> None:
    kept: list[str] = []
    asked = question()

    def produce(name: str, gate: Gate) -> Exhibit | Absent:
        if name == "g1":
            raise KeyboardInterrupt
        return producer({}, asked)(name, gate)

    with pytest.raises(KeyboardInterrupt):
        run.run(ALL, asked, produce, [], now=lambda: NOW, keep=lambda name, gate, record: kept.append(name))
    assert kept == ["g0"]


def test_names() -> None:
    assert run.chosen(["g3", "g0", "g3"]) == ["g0", "g3"]
    assert run.chosen(["all"]) == run.gates()
    assert run.chosen(["G2"]) == ["g2"]
    with pytest.raises(UsageError, match="g9"):
        run.chosen(["g9"])


def test_an_unknown_gate_is_called_a_gate_and_all_are_named() -> None:
    with pytest.raises(UsageError, match="no gate named 'g9'") as caught:
        run.chosen(["g0", "g9"])
    assert caught.value.expected == f"one of {', '.join(run.gates())}"
