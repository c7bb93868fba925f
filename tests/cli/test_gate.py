"""`think gate` from the outside: words, exit codes, files, and nothing that fools anybody."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from think.cli.app import run as command
from think.core import provenance
from think.core.evidence import _kernels
from think.kernels import compare

STEPS = 40
TINY = [
    "model.width=16", "model.layers=1", "model.vocabulary=300", "model.feed_forward.inner=32", "model.anchors=none",
    "model.mixer.memory.norm=none", "model.mixer.mamba.head_width=8", "model.mixer.mamba.state=8",
    "model.mixer.rwkv.mix_rank=4", "model.mixer.rwkv.decay_rank=4", "tokenizer.size=300",
    'data.sources=[{kind="stories",count=60}]', f"stage1.steps={STEPS}", "stage1.rows=4", "stage1.length=32",
    "stage1.curriculum=[]", "stage1.schedule.warmup=2", "stage1.evaluation.every=1", "stage1.evaluation.rows=4",
    "stage1.evaluation.tokens=1024", "stage1.checkpoint.every=none", "gates.g3.window=20", f"gates.g3.steps={STEPS}",
    "gates.g3.gradient.passes_high=1000.0", "gates.g3.gradient.passes_low=0.01", "gates.g3.gradient.warns_low=0.001",
    "stage1.learning_rate=0.03", "gates.g3.gradient.warns_high=1000.0", "runtime.threads=1",
]  # fmt: skip
SETS = [word for change in TINY for word in ("--set", change)]
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packed data and one short finished run."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("THINK_RUNS", raising=False)
        assert command(["data", "pack", "--preset", "cpu_smoke", *SETS]) == 0
        assert command(["train", "stage1", "--preset", "cpu_smoke", *SETS, "--out", "tiny"]) == 0
    return root


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the folder, with one kernel case instead of seven, and without verdicts of earlier tests."""
    monkeypatch.chdir(home)
    monkeypatch.delenv("THINK_RUNS", raising=False)
    monkeypatch.setattr(_kernels, "CASES", compare.CASES[2:3])
    for file in home.glob("runs/**/*gates.jsonl"):
        file.unlink()


def think(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    """Exit code, `data` of the envelope, and what was said on stderr."""
    capsys.readouterr()
    code = command([*words, "--json"])
    out, said = capsys.readouterr()
    return code, json.loads(out)["data"], said


def verdicts(data: Any) -> dict[str, str]:
    return {gate["gate"]: gate["verdict"]["status"] for gate in data["gates"]}


def test_all_gates_of_the_newest_run_pass_and_verify(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    code, data, said = think(capsys, "gate", "g0", "g1", "g2", "g3")
    assert verdicts(data) == dict.fromkeys(["g0", "g1", "g2", "g3"], "PASS")
    assert (code, data["run"]) == (0, "tiny")
    assert "newest run, runs/tiny" in said
    assert len((home / "runs" / "tiny" / "gates.jsonl").read_text().splitlines()) == 4
    assert not (home / "runs" / ".gates.jsonl").exists()
    code, data, _ = think(capsys, "gate", "verify")
    assert (code, [row["outcome"] for row in data["verdicts"]]) == (0, ["verified"] * 4)
    # The stored verdicts of g0 to g2 open g3 on its own.
    code, data, _ = think(capsys, "gate", "g3", "--run", "tiny")
    assert (code, verdicts(data)) == (0, {"g3": "PASS"})
    (_, source) = (data["gates"][0]["verdict"], data["gates"][0]["source"])
    assert source["run"] == "tiny"
    assert source["spans"][0]["stop"] > source["spans"][0]["start"] == 0
    assert set(source["digests"]) >= {"model", "tokenizer", "data", "stage1", "pack", "code", "vocabulary"}
    file = home / "runs" / "tiny" / "gates.jsonl"
    file.write_text(file.read_text().replace('"nats per', '"nats  per').replace('"state":"finished"', '"state":"done"'))
    assert think(capsys, "gate", "verify", "--run", "tiny")[0] == 1


def test_a_gate_whose_earlier_gates_were_not_judged_is_blocked(capsys: pytest.CaptureFixture[str]) -> None:
    code, data, _ = think(capsys, "gate", "g3")
    assert (code, verdicts(data)) == (3, {"g3": "BLOCKED"})
    assert data["gates"][0]["verdict"]["remedy"] == "`think gate g0 g1 g2 --run tiny`"


def test_without_any_run_there_is_no_evidence_and_the_command_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("THINK_RUNS", str(tmp_path / "none"))
    code, data, _ = think(capsys, "gate", "g0")
    assert (code, verdicts(data)) == (3, {"g0": "NO_EVIDENCE"})
    assert "--preset" in data["gates"][0]["verdict"]["remedy"]
    assert think(capsys, "gate", "g3")[0] == 3
    assert think(capsys, "gate", "verify")[0] == 3
    assert not (tmp_path / "none").exists()


def test_fresh_models_are_judged_by_preset_and_kept_beside_the_runs(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    code, data, _ = think(capsys, "gate", "g0", "--preset", "cpu_smoke", *SETS)
    assert (code, verdicts(data), data["run"]) == (0, {"g0": "PASS"}, None)
    assert (home / "runs" / ".gates.jsonl").is_file()
    assert not (home / "runs" / "tiny" / "gates.jsonl").exists()


def g3_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let g3 be judged without the gates before it, to look at its own evidence quickly."""
    from think.core.gates import run

    monkeypatch.setattr(run, "_blocked_by", lambda *arguments: None)


def test_g3_by_preset_finds_the_run_that_was_trained_from_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    g3_alone(monkeypatch)
    code, data, said = think(capsys, "gate", "g3", "--preset", "cpu_smoke", *SETS)
    assert (code, verdicts(data), data["run"]) == (0, {"g3": "PASS"}, "tiny")
    assert "newest run trained from it, runs/tiny" in said


@pytest.mark.parametrize(
    "change",
    ["model.width=32", "data.validation=0.2", "stage1.learning_rate=0.1", "stage1.seed=9", "tokenizer.size=290"],
)
def test_a_run_of_other_settings_is_no_evidence_for_a_preset(
    change: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    g3_alone(monkeypatch)
    asked = ["--preset", "cpu_smoke", *SETS, "--set", change]
    code, data, _ = think(capsys, "gate", "g3", *asked)
    assert (code, verdicts(data)) == (3, {"g3": "NO_EVIDENCE"})
    assert "think train stage1" in data["gates"][0]["verdict"]["remedy"]
    code, data, _ = think(capsys, "gate", "g3", "--run", "tiny", *asked)
    assert (code, verdicts(data)) == (3, {"g3": "NO_EVIDENCE"})
    assert "was trained with other" in data["gates"][0]["verdict"]["reason"]


def test_data_packed_anew_are_not_what_the_run_saw(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    g3_alone(monkeypatch)
    code, data, _ = think(capsys, "gate", "g3", "--data", str(tmp_path / "elsewhere"))
    assert (code, verdicts(data)) == (3, {"g3": "NO_EVIDENCE"})


def test_thresholds_that_moved_after_the_run_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    g3_alone(monkeypatch)
    code, data, _ = think(capsys, "gate", "g3", "--set", "gates.g3.least_blocks=9")
    assert (code, verdicts(data)) == (0, {"g3": "PASS"})
    assert "thresholds are not those that the run was started with" in data["gates"][0]["notes"][0]
    code, data, _ = think(capsys, "gate", "g3", "--set", f"gates.g3.steps={STEPS + 1}")
    assert (code, verdicts(data)) == (3, {"g3": "NO_EVIDENCE"})


WAIVER = ["--waive", "g3", "--reason", "known fault", "--owner", "Ada", "--until", TOMORROW]
BAD = ["--set", "gates.g3.gradient={passes_low=500.0,passes_high=600.0,warns_low=400.0,warns_high=700.0}"]


def test_a_failure_exits_1_and_a_waiver_is_shown_as_what_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    g3_alone(monkeypatch)
    code, data, _ = think(capsys, "gate", "g3", *BAD)
    assert (code, verdicts(data)) == (1, {"g3": "FAIL"})
    code, data, _ = think(capsys, "gate", "judge", "g3", *BAD, *WAIVER)
    assert (code, verdicts(data)) == (0, {"g3": "WAIVED"})
    assert data["gates"][0]["verdict"]["waiver"] == {
        "gate": "g3", "reason": "known fault", "owner": "Ada", "until": TOMORROW,
    }  # fmt: skip
    assert command(["gate", "g3", *BAD]) == 0  # the stored waiver holds until its day is over
    out = capsys.readouterr().out
    assert "WAIVED" in out
    assert "Ada" in out
    assert TOMORROW in out


def test_strict_makes_a_warning_fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    g3_alone(monkeypatch)
    warns = ["--set", "gates.g3.gradient={passes_low=500.0,passes_high=600.0,warns_low=1e-6,warns_high=700.0}"]
    code, data, _ = think(capsys, "gate", "g3", *warns)
    assert (code, verdicts(data)) == (0, {"g3": "WARN"})
    assert think(capsys, "gate", "judge", "g3", *warns, "--strict")[0] == 1


@pytest.mark.parametrize(
    "words",
    [
        ["g9"],
        ["g3", "--waive", "g3"],
        ["g3", "--reason", "r"],
        ["g3", "--waive", "g3", "--reason", " ", "--owner", "o", "--until", TOMORROW],
        ["g3", "--waive", "g3", "--reason", "r", "--owner", "o", "--until", YESTERDAY],
        ["g3", "--waive", "g3", "--reason", "r", "--owner", "o", "--until", "soon"],
        ["g3", "--waive", "g2", "--reason", "r", "--owner", "o", "--until", TOMORROW],
        ["g3", "--no-such-option"],
    ],
)
def test_wrong_usage_exits_2_and_stores_nothing(
    words: list[str], capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    code, _, said = think(capsys, "gate", *words)
    assert code == 2
    assert "Traceback" not in said
    assert not list(home.glob("runs/**/*gates.jsonl"))


def test_an_unknown_run_exits_66(capsys: pytest.CaptureFixture[str]) -> None:
    assert think(capsys, "gate", "g3", "--run", "tinny")[0] == 66
    assert think(capsys, "gate", "verify", "--run", "tinny")[0] == 66


def test_junit_annotations_and_explanations(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    g3_alone(monkeypatch)
    file = tmp_path / "new" / "gates.xml"
    capsys.readouterr()
    assert command(["gate", "judge", "g3", *BAD, "--junit", str(file), "--annotations", "--explain"]) == 1
    out, said = capsys.readouterr()
    suite = ET.parse(file).getroot().find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "1"
    assert "::error title=think gate g3%3A FAIL::" in said
    assert all(word in out for word in ("held-out slope", "beats unigram", "gradient norm", "thresholds", "bytes 0 to"))


def test_a_verdict_that_cannot_be_stored_is_shown_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    (home / "runs" / ".gates.jsonl").mkdir()
    try:
        code = command(["gate", "g0", "--preset", "cpu_smoke", *SETS])
    finally:
        (home / "runs" / ".gates.jsonl").rmdir()
    out, said = capsys.readouterr()
    assert code == 74
    assert "PASS" in out or "gates.jsonl" in said
    assert "Traceback" not in said


def test_code_that_changed_makes_fresh_verdicts_stale(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--preset", "cpu_smoke", *SETS]
    assert think(capsys, "gate", "g0", *asked)[0] == 0
    assert verdicts(think(capsys, "gate", "g2", *asked)[1]) == {"g2": "BLOCKED"}
    monkeypatch.setattr(provenance, "code_digest", lambda: "edited")
    _, data, _ = think(capsys, "gate", "g1", *asked)
    assert verdicts(data) == {"g1": "BLOCKED"}
    assert "code changed" in data["gates"][0]["verdict"]["reason"]


def test_list_is_quick_and_loads_no_torch() -> None:
    code = (
        "import sys; from think.cli.app import run; code = run(['gate', 'list', '--json']);"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows = json.loads(found.stdout)["data"]
    assert [row["gate"] for row in rows] == ["g0", "g1", "g2", "g3", "g3.5", "g3.6", "g4", "g5"]
    assert all(row["asks"] and row["thresholds"] for row in rows)


def test_a_gate_named_in_capitals_or_twice_is_one_gate(capsys: pytest.CaptureFixture[str]) -> None:
    _, data, _ = think(capsys, "gate", "G3", "g3")
    assert list(verdicts(data)) == ["g3"]
