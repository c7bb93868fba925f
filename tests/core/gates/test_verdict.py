"""Bands give every number exactly one verdict; words combine into the exit code that was promised."""

import itertools
import math
import subprocess
import sys
from datetime import date, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from think.core.errors import Exit
from think.core.gates.verdict import Band, Finding, Status, Verdict, Waiver, exit_code, worst

WORDS = (Status.PASS, Status.WARN, Status.FAIL)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
bands = st.lists(finite, max_size=5).flatmap(
    lambda cuts: st.builds(
        Band,
        st.just(tuple(sorted(cuts))),
        st.tuples(*[st.sampled_from(WORDS)] * (len(cuts) + 1)),
    )
)


@given(bands, st.floats())
@example(Band((), (Status.PASS,)), math.nan)
@example(Band((), (Status.PASS,)), math.inf)
def test_every_number_has_exactly_one_verdict(band: Band, value: float) -> None:
    assert band.status(value) in WORDS
    if not math.isfinite(value):
        assert band.status(value) is Status.FAIL


@given(bands, st.integers(0, 5), finite)
def test_between_cuts_the_stretch_decides_and_a_cut_takes_the_milder_neighbour(
    band: Band, index: int, value: float
) -> None:
    below = sum(cut < value for cut in band.cuts)
    if value not in band.cuts:
        assert band.status(value) is band.statuses[below]
    if index < len(band.cuts):
        cut = band.cuts[index]
        touching = [
            status
            for place, status in enumerate(band.statuses)
            if (place == 0 or band.cuts[place - 1] <= cut) and (place == len(band.cuts) or band.cuts[place] >= cut)
        ]
        assert band.status(cut) is min(touching, key=WORDS.index)


@given(finite, finite, finite)
def test_at_least_is_monotone_in_its_threshold(value: float, one: float, other: float) -> None:
    mild, strict = sorted((one, other))
    if Band.at_least(strict).status(value) is Status.PASS:
        assert Band.at_least(mild).status(value) is Status.PASS


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (0.0999, Status.FAIL), (0.1, Status.WARN), (0.4999, Status.WARN), (0.5, Status.PASS), (1.0, Status.PASS),
        (1.5, Status.PASS), (1.5001, Status.WARN), (5.0, Status.WARN), (5.0001, Status.FAIL), (0.0, Status.FAIL),
        (-1.0, Status.FAIL), (math.inf, Status.FAIL), (-math.inf, Status.FAIL), (math.nan, Status.FAIL),
    ],
)  # fmt: skip
def test_gradient_band_of_the_handbook(value: float, word: Status) -> None:
    assert Band.between(0.5, 1.5, warn_low=0.1, warn_high=5.0).status(value) is word


@pytest.mark.parametrize(
    ("cuts", "statuses"),
    [((1.0,), WORDS), ((2.0, 1.0), WORDS), ((math.nan,), WORDS[:2]), ((math.inf,), WORDS[:2]),
     ((1.0,), (Status.PASS, Status.WAIVED))],
)  # fmt: skip
def test_a_band_with_a_gap_cannot_be_built(cuts: tuple[float, ...], statuses: tuple[Status, ...]) -> None:
    with pytest.raises(ValueError, match=r"cut points|band"):
        Band(cuts, statuses)


def test_exit_codes_over_every_combination() -> None:
    for size in (1, 2, 3):
        for words in itertools.product(Status, repeat=size):
            for strict in (False, True):
                code = exit_code(words, strict=strict)
                if Status.FAIL in words or (strict and Status.WARN in words):
                    assert code == Exit.GATE_FAILED == 1
                elif {Status.NO_EVIDENCE, Status.BLOCKED} & set(words):
                    assert code == Exit.NO_VERDICT == 3
                else:
                    assert code == Exit.DONE == 0


def test_no_gate_at_all_is_no_success() -> None:
    assert exit_code([]) == Exit.NO_VERDICT
    assert worst([]) is Status.NO_EVIDENCE
    assert Verdict.of([]).status is Status.NO_EVIDENCE


def test_a_failure_beats_missing_evidence_and_that_beats_a_warning() -> None:
    def verdict(*words: Status) -> Status:
        return Verdict.of([Finding(word, word, "seen", "good") for word in words]).status

    assert verdict(Status.NO_EVIDENCE, Status.FAIL, Status.PASS) is Status.FAIL
    assert verdict(Status.WARN, Status.NO_EVIDENCE) is Status.NO_EVIDENCE
    assert verdict(Status.WARN, Status.PASS) is Status.WARN


def test_a_waived_failure_is_shown_as_waived_with_who_why_and_until() -> None:
    failed = Verdict.of([Finding("loss", Status.FAIL, "loss rises", "falls")])
    verdict = failed.waived(Waiver("g3", "known data fault", "Ada", date(2030, 1, 31)))
    assert verdict.status is Status.WAIVED
    line = verdict.line()
    assert all(part in line for part in ("known data fault", "Ada", "2030-01-31", "would be FAIL", "loss rises"))
    assert "PASS" not in line


@given(st.dates(max_value=date(9999, 12, 30)))
def test_a_waiver_holds_through_its_last_day(until: date) -> None:
    waiver = Waiver("g2", "reason", "owner", until)
    assert waiver.holds(until)
    assert not waiver.holds(until + timedelta(days=1))


def test_verdicts_load_nothing_heavy() -> None:
    code = (
        "import sys, think.core.gates.verdict; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
