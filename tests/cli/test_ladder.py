"""The scale ladder: a rung waits for every gate of the rung below, or for somebody who answers for it by name."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.test_ablate import PRESET, packed_lines
from think.cli.app import run
from think.cli.gate_subject import GateSubject, find
from think.core.errors import Exit
from think.core.gates import run as engine
from think.core.gates import store
from think.core.gates.evidence import fingerprint
from think.core.gates.verdict import Finding, Status, Verdict, Waiver
from think.presets import catalog

GATES = ["g0", "g1", "g2", "g3", "g3.5", "g3.6", "g4", "g5"]
TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = "".join(f"{n} green bottles hanging on the wall\n" for n in range(30))
    return packed_lines(tmp_path_factory.mktemp("packed"), lines)


@pytest.fixture
def place(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two presets, of which the larger is the rung above the smaller."""
    (tmp_path / "small.toml").write_text(PRESET.replace("steps = 8", "steps = 2"), encoding="utf-8")
    (tmp_path / "large.toml").write_text(
        'summary = "larger"\nextends = "small.toml"\nafter = "./small.toml"\n[model]\nwidth = 32\n', encoding="utf-8"
    )
    (tmp_path / "data").symlink_to(packed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("THINK_RUNS", raising=False)
    return tmp_path


def train(*words: str, preset: str = "large.toml") -> int:
    return run(["train", "stage1", "--preset", preset, *words])


def waiving(*gates: str, until: date = TODAY) -> list[str]:
    named = [word for gate in gates for word in ("--waive", gate)]
    return [*named, "--reason", "a smaller test", "--owner", "Ada", "--until", until.isoformat()]


def subject() -> GateSubject:
    return find(GATES, None, "./small.toml", None, None)


def judged(status: Status, *gates: str, waiver: Waiver | None = None) -> None:
    """Store a verdict of each gate for the smaller preset as it is now."""
    about = subject()
    for name in gates:
        gate, thresholds = engine.load(name), about.question.thresholds[name]
        verdict = Verdict.of([Finding("figure", status, "1.0", "another")])
        verdict = verdict if waiver is None else verdict.waived(waiver)
        digest = fingerprint(thresholds.model_dump(mode="json"))
        about.keep(
            gate, engine.recorded(name, gate, verdict, thresholds, digest, None, about.question, datetime.now(UTC))
        )


def stored() -> dict[str, str]:
    return {record.gate: record.verdict.status.value for record in subject().stored()}


def begun(place: Path) -> bool:
    return any((place / "runs").glob("*/settings.toml"))


def test_without_any_verdict_a_rung_is_refused_and_the_commands_are_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train() == Exit.NO_VERDICT
    error = capsys.readouterr().err
    assert "large is the rung above ./small.toml, and 8 of its gates do not stand" in error
    assert "`think train stage1 --preset ./small.toml`, then `think gate all --preset ./small.toml`" in error
    assert "--waive g0 --waive g1" in error
    assert not begun(place)


def test_a_failed_gate_below_is_a_failed_gate(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(Status.PASS, *GATES[:-1])
    judged(Status.FAIL, "g5")
    assert train() == Exit.GATE_FAILED
    error = capsys.readouterr().err
    assert "1 of its gates do not stand: g5 is FAIL" in error
    assert "--waive g5 --reason" in error
    assert not begun(place)


@pytest.mark.train
def test_a_rung_whose_gates_below_stand_is_trained(place: Path) -> None:
    judged(Status.PASS, *GATES[:4])
    judged(Status.WARN, *GATES[4:])
    assert train("--out", "large") == Exit.DONE
    (place / "runs/large/settings.toml").read_text()


def test_verdicts_on_another_model_below_do_not_count(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged(Status.PASS, *GATES)
    small = place / "small.toml"
    small.write_text(small.read_text().replace("inner = 16", "inner = 24"))
    assert train() == Exit.NO_VERDICT
    assert "stale: model changed" in capsys.readouterr().err


@pytest.mark.train
def test_a_waiver_lets_a_rung_through_by_name_and_is_kept_until_its_day(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(Status.PASS, *GATES[:-2])
    judged(Status.FAIL, "g5")
    assert train(*waiving("g5")) == Exit.NO_VERDICT, "g4 is still without evidence"
    assert stored()["g5"] == "FAIL", "what was refused waives nothing"
    capsys.readouterr()
    assert train(*waiving("g4", "g5"), "--out", "first") == Exit.DONE
    said = capsys.readouterr().err
    assert "g5 of the rung below is waived: waived by Ada" in said
    assert (stored()["g4"], stored()["g5"], stored()["g3"]) == ("WAIVED", "WAIVED", "PASS")
    reasons = {record.gate: record.verdict.reason for record in subject().stored()}
    assert reasons["g4"].startswith("would be NO_EVIDENCE")
    assert reasons["g5"].startswith("would be FAIL: 1.0; wanted another")
    assert train("--out", "second") == Exit.DONE, "it need not be said again"


def test_a_waiver_that_is_over_does_not_count(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    over = TODAY - timedelta(days=1)
    judged(Status.PASS, *GATES[:-1])
    judged(Status.FAIL, "g5", waiver=Waiver("g5", "why", "Ada", over))
    assert train() == Exit.NO_VERDICT
    assert f"g5's waiver ended on {over.isoformat()}" in capsys.readouterr().err
    assert train(*waiving("g5", until=over)) == Exit.USAGE


def test_a_dry_run_says_that_training_would_be_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--dry-run") == Exit.DONE
    assert "training would be refused" in capsys.readouterr().err
    assert train("--dry-run", *waiving("all")) == Exit.DONE
    assert "refused" not in capsys.readouterr().err
    assert stored() == {}


@pytest.mark.train
def test_a_preset_that_is_no_rung_waits_for_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(*waiving("g5"), preset="small.toml") == Exit.USAGE
    assert "this preset is none" in capsys.readouterr().err
    (place / "mine.toml").write_text('extends = "large.toml"\n[model]\nwidth = 16\n')
    assert train("--out", "mine", preset="mine.toml") == Exit.DONE, "what extends a rung is none itself"
    assert train("--resume", "--out", "mine", *waiving("g5"), preset="mine.toml") == Exit.USAGE
    assert "counts when a run is begun" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--waive", "g5"], ["--reason", "why"], ["--waive", "g9", "--reason", "why"]])
def test_half_a_waiver_is_a_usage_error(place: Path, words: list[str]) -> None:
    assert train(*words) == Exit.USAGE
    assert not begun(place)


def test_a_rung_below_that_is_not_there_is_missing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = place / "large.toml"
    large.write_text(large.read_text().replace("./small.toml", "hybrid_9m"))
    assert train() == Exit.MISSING
    assert "hybrid_9m" in capsys.readouterr().err
    assert run(["preset", "check", "large.toml"]) == Exit.BAD_SETTINGS
    assert "large.toml:3" in capsys.readouterr().err


def test_the_shipped_ladder_is_8m_then_30m_then_125m() -> None:
    below = {name: catalog.header(name).after for name in catalog.names()}
    assert {name: rung for name, rung in below.items() if rung} == {
        "hybrid_30m": "hybrid_8m",
        "hybrid_125m": "hybrid_30m",
    }


def test_the_largest_rung_waits_for_the_one_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("THINK_RUNS", raising=False)
    assert train(preset="hybrid_125m") == Exit.NO_VERDICT
    assert "think gate all --preset hybrid_30m" in capsys.readouterr().err
    assert store.read([store.fresh_file(tmp_path / "runs")]) == []
