"""Whatever is changed in a stored verdict after the fact, looking again finds it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from think.core.errors import Exit
from think.core.gates import run, store, verify
from think.core.gates.evidence import Exhibit, Source, fingerprint
from think.core.gates.run import Question
from think.core.gates.verdict import Status
from think.core.gates.verify import Outcome


def verdict_of(gate_name: str, expected: Status, file: Path) -> dict[str, Any]:
    gate = run.load(gate_name)
    example = next(ex for ex in gate.examples if ex.expected is expected and ex.settings == gate.Settings())
    digests = dict.fromkeys(gate.hangs_on, "d")
    exhibit = Exhibit(evidence=example.evidence, source=Source(digests=digests))
    asked = Question(digests, {name: run.load(name).Settings() for name in run.gates()})
    run.run([gate_name], asked, lambda name, gate: exhibit, [], keep=lambda n, g, record: store.append(file, record))
    data: dict[str, Any] = json.loads(file.read_text().splitlines()[-1])
    return data


def check(file: Path, wrong: tuple[str, ...] = (), gone: tuple[str, ...] = ()) -> list[verify.Checked]:
    return verify.verify(file, store.lines(file), lambda stored: (wrong, gone))


@pytest.mark.parametrize("word", [Status.PASS, Status.FAIL, Status.NO_EVIDENCE])
def test_an_untouched_verdict_verifies(tmp_path: Path, word: Status) -> None:
    file = tmp_path / "gates.jsonl"
    verdict_of("g0", word, file)
    (checked,) = check(file)
    assert checked.outcome is Outcome.VERIFIED
    assert verify.exit_code([checked]) == Exit.DONE


def pass_instead(data: dict[str, Any]) -> None:
    data["verdict"]["status"] = "PASS"


def better_figure(data: dict[str, Any]) -> None:
    data["evidence"]["values"]["comparisons"][0]["error"] = 0.0


def better_figure_hashed_again(data: dict[str, Any]) -> None:
    better_figure(data)
    data["evidence"]["sha256"] = fingerprint(data["evidence"]["values"])


def milder_threshold(data: dict[str, Any]) -> None:
    data["thresholds"]["kernel_error"] = 1.0


def milder_threshold_hashed_again(data: dict[str, Any]) -> None:
    milder_threshold(data)
    data["thresholds_sha256"] = fingerprint(data["thresholds"])


def without_evidence(data: dict[str, Any]) -> None:
    pass_instead(data)
    data["evidence"] = None


def of_another_kind(data: dict[str, Any]) -> None:
    data["evidence"]["name"] = "initial_entropy"


@pytest.mark.parametrize(
    "tamper",
    [pass_instead, better_figure, better_figure_hashed_again, milder_threshold, milder_threshold_hashed_again,
     without_evidence, of_another_kind],
)  # fmt: skip
def test_tampering_is_found(tmp_path: Path, tamper: Callable[[dict[str, Any]], None]) -> None:
    file = tmp_path / "gates.jsonl"
    gate = run.load("g0")
    failing = next(ex for ex in gate.examples if ex.name == "a kernel far from its reference")
    exhibit = Exhibit(evidence=failing.evidence, source=Source())
    asked = Question({}, {name: run.load(name).Settings() for name in run.gates()})
    run.run(["g0"], asked, lambda name, gate: exhibit, [], keep=lambda n, g, record: store.append(file, record))
    data = json.loads(file.read_text())
    tamper(data)
    file.write_text(json.dumps(data) + "\n")
    (checked,) = check(file)
    assert checked.outcome is Outcome.WRONG
    assert verify.exit_code([checked]) == Exit.GATE_FAILED


def test_evidence_that_is_gone_matters_for_the_newest_verdict_only(tmp_path: Path) -> None:
    file = tmp_path / "gates.jsonl"
    verdict_of("g0", Status.PASS, file)
    verdict_of("g0", Status.PASS, file)
    checked = check(file, gone=("the checkpoint",))
    assert [each.outcome for each in checked] == [Outcome.REPLACED, Outcome.GONE]
    assert verify.exit_code(checked) == Exit.NO_VERDICT


def test_wrong_evidence_matters_always(tmp_path: Path) -> None:
    file = tmp_path / "gates.jsonl"
    verdict_of("g0", Status.PASS, file)
    verdict_of("g0", Status.PASS, file)
    assert {each.outcome for each in check(file, wrong=("telemetry",))} == {Outcome.WRONG}


def test_garbage_between_verdicts_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "gates.jsonl"
    file.write_text("not json\n")
    assert verify.exit_code(check(file)) == Exit.GATE_FAILED


def test_nothing_to_verify_is_no_verdict() -> None:
    assert verify.exit_code([]) == Exit.NO_VERDICT
