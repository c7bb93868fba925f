"""Results that earlier work recorded as passed, put before the gates: what was wrong with them comes out.

* Entropy of a fresh model 6.09, "acceptable", where 2.0 to 5.0 was asked.
* Rank of the state: the five largest singular values hold 0.996 to 0.998 of their sum, where more than 0.5 was asked.
  It is no measure of rank: the share rises as the rank falls.
"""

from datetime import UTC, datetime

import numpy as np
import pytest

from think.core.gates import run
from think.core.gates.checks import Gate, g2, g3_5
from think.core.gates.evidence import Absent, BranchState, Evidence, Exhibit, InitialEntropy, Source, StateHealth
from think.core.gates.run import Question
from think.core.gates.store import Stored
from think.core.gates.verdict import Status, exit_code

DIGESTS = {name: name * 3 for name in ("model", "tokenizer", "data", "stage1", "pack", "vocabulary", "code")}
RECORDED_ENTROPY, RECORDED_BAND = 6.09, g2.NatsBand(low=2.0, high=5.0)
RECORDED_SHARES = (0.996, 0.997, 0.998)


class TopFiveShare(Evidence):
    """What was measured in the place of rank."""

    name = "top_five_share"
    share: float
    positions: int


def judged(names: list[str], offered: dict[str, Evidence], settings: dict[str, object]) -> list[Stored]:
    """The verdicts of the engine on these exhibits; every other gate is shown evidence that passes."""
    thresholds = {name: run.load(name).Settings() for name in run.gates()} | settings
    question = Question(DIGESTS, thresholds, "--run recorded")  # type: ignore[arg-type]

    def produce(name: str, gate: Gate) -> Exhibit | Absent:
        passes = next(e.evidence for e in gate.examples if e.expected is Status.PASS and e.settings == gate.Settings())
        return Exhibit(evidence=offered.get(name, passes), source=Source(digests=DIGESTS))

    return run.run(names, question, produce, [], now=lambda: datetime(2030, 5, 1, tzinfo=UTC))


def state(participation: float) -> StateHealth:
    branch = {"layer": 0, "cosine": 0.55, "saturated": 0.005, "norms": (1.0, 1.1, 1.2)}  # the others as recorded
    return StateHealth(
        branches=tuple(
            BranchState.model_validate({**branch, "branch": name, "participation": participation})
            for name in ("rwkv", "mamba")
        ),
        lengths=(64, 512, 4096),
        streams=8,
        response=0.65,
        deterministic=True,
        not_finite=0,
    )


def test_the_recorded_entropy_of_6_09_fails_the_band_2_to_5_it_was_recorded_against() -> None:
    seen = InitialEntropy(nats=(RECORDED_ENTROPY,), vocabulary=512, positions=1024)
    records = judged(["g0", "g1", "g2", "g3"], {"g2": seen}, {"g2": g2.Settings(band=RECORDED_BAND)})
    assert [record.verdict.status for record in records] == [Status.PASS, Status.PASS, Status.FAIL, Status.BLOCKED]
    assert "6.09" in records[2].verdict.line()
    assert exit_code(record.verdict.status for record in records) == 1


@pytest.mark.parametrize("share", RECORDED_SHARES)
def test_the_recorded_share_of_five_singular_values_is_no_evidence_of_rank(share: float) -> None:
    names = ["g0", "g1", "g2", "g3", "g3.5"]
    records = judged(names, {"g3.5": TopFiveShare(share=share, positions=512)}, {})
    verdict = records[-1].verdict
    assert verdict.status is Status.NO_EVIDENCE
    assert "needs state_health, was offered top_five_share" in verdict.line()
    assert exit_code(record.verdict.status for record in records) == 3


def test_a_state_with_the_recorded_share_fails_the_rank_that_g3_5_asks_for() -> None:
    """The share is reached by a spectrum that collapses; the participation ratio of that spectrum is told apart."""
    values = np.concatenate([[1.0], np.full(4, 0.01), np.full(27, 0.0001)])
    assert values[:5].sum() / values.sum() == pytest.approx(0.997, abs=0.001)
    ratio = float((values**2).sum() ** 2 / (values**4).sum()) / len(values)
    assert g3_5.judge(g3_5.Settings(), state(ratio)).status is Status.FAIL
    assert g3_5.judge(g3_5.Settings(), state(0.5)).status is Status.PASS, "all else that was recorded is well"
