"""Gates of trained models, from the outside: true runs, a true baseline, and exit codes for shell scripts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from think.cli.app import run as command

STEPS = 40
TINY = [
    "model.width=16", "model.layers=1", "model.vocabulary=300", "model.feed_forward.inner=32", "model.anchors=none",
    "model.mixer.memory.norm=none", "model.mixer.mamba.head_width=8", "model.mixer.mamba.state=8",
    "model.mixer.rwkv.mix_rank=4", "model.mixer.rwkv.decay_rank=4", "tokenizer.size=300", "data.validation=0.5",
    'data.sources=[{kind="stories",count=120}]', f"stage1.steps={STEPS}", "stage1.rows=4", "stage1.length=32",
    "stage1.curriculum=[]", "stage1.schedule.warmup=2", "stage1.evaluation.every=5", "stage1.evaluation.rows=4",
    "stage1.evaluation.tokens=1024", "stage1.checkpoint.every=none", "stage1.learning_rate=0.03",
    "stage1.telemetry.gradients_every=2", "runtime.threads=1", f"gates.g3_6.steps={STEPS}",
]  # fmt: skip
SETS = [word for change in TINY for word in ("--set", change)]
TWIN = ["--set", "model.feed_forward.inner=40"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed data, a finished run, a baseline of the same data, tokens and seed, and runs that do not fit."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("THINK_RUNS", raising=False)
        assert command(["data", "pack", "--preset", "cpu_smoke", *SETS]) == 0
        for name, more in (
            ("own", []),
            ("twin", TWIN),
            ("seed", [*TWIN, "--seed", "5"]),
            ("short", [*TWIN, "--set", "stage1.steps=30"]),
        ):
            assert command(["train", "stage1", "--preset", "cpu_smoke", *SETS, *more, "--out", name]) == 0
    return root


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the folder, and let a gate be judged without the ones before it."""
    from think.core.gates import run

    monkeypatch.chdir(home)
    monkeypatch.delenv("THINK_RUNS", raising=False)
    monkeypatch.setattr(run, "_blocked_by", lambda *arguments: None)
    for file in home.glob("runs/**/*gates.jsonl"):
        file.unlink()


def think(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the one verdict."""
    capsys.readouterr()
    code = command([*words, "--json"])
    return code, json.loads(capsys.readouterr()[0])["data"]["gates"][0]


def findings(gate: dict[str, Any]) -> dict[str, str]:
    return {finding["name"]: finding["status"] for finding in gate["verdict"]["findings"]}


def test_states_are_looked_at_on_the_last_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    code, gate = think(capsys, "gate", "g3.5", "--run", "own", "--explain")
    assert code in (0, 1)
    seen = gate["evidence"]["values"]
    assert {(each["layer"], each["branch"]) for each in seen["branches"]} == {(0, "rwkv"), (0, "mamba")}
    assert findings(gate)["exact"] == "PASS"
    assert gate["source"]["checkpoint_path"] == f"checkpoints/step-{STEPS:08d}"
    frozen = ["--set", "gates.g3_5.cosine.warns_high=0.06", "--set", "gates.g3_5.cosine.passes_high=0.06"]
    assert think(capsys, "gate", "g3.5", "--run", "own", *frozen)[0] == 1


def test_a_long_run_beside_its_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    code, gate = think(capsys, "gate", "g3.6", "--run", "own", "--baseline", "twin", "--explain")
    seen = gate["evidence"]["values"]
    assert (seen["run"]["run"], seen["baseline"]["run"]) == ("own", "twin")
    assert seen["run"]["tokens"] == seen["baseline"]["tokens"] > 0
    assert findings(gate)["loss over the baseline's"] == "PASS"
    assert code in (0, 1)  # the balance of gradients is what it is after forty steps
    assert think(capsys, "gate", "g3.6", "--run", "own", "--baseline", "twin", "--set", "gates.g3_6.steps=41")[0] == 3


def test_a_run_is_equal_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    _, gate = think(capsys, "gate", "judge", "g3.6", "--run", "own", "--baseline", "own")
    ratio = next(each for each in gate["verdict"]["findings"] if each["name"] == "loss over the baseline's")
    assert ratio["value"] == 1.0
    assert ratio["interval"] == [1.0, 1.0]


@pytest.mark.parametrize(("baseline", "what"), [("seed", "seed 1 and 5"), ("short", "tokens")])
def test_a_baseline_that_differs_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], baseline: str, what: str
) -> None:
    code, gate = think(capsys, "gate", "g3.6", "--run", "own", "--baseline", baseline)
    assert (code, gate["verdict"]["status"]) == (3, "NO_EVIDENCE")
    assert what.split()[0] in gate["verdict"]["reason"]
    assert "think train stage1" in gate["verdict"]["remedy"]


def test_without_a_baseline_the_command_that_makes_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, gate = think(capsys, "gate", "g3.6", "--run", "own")
    assert (code, gate["verdict"]["status"]) == (3, "NO_EVIDENCE")
    assert "--baseline" in gate["verdict"]["remedy"]


def test_a_baseline_that_is_not_there_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["gate", "g3.6", "--run", "own", "--baseline", "nobody"]) == 66
    assert "nobody" in capsys.readouterr().err


@pytest.mark.slow
def test_the_evaluations_run_and_both_branches_are_removed(capsys: pytest.CaptureFixture[str]) -> None:
    code, gate = think(capsys, "gate", "g4", "--run", "own", "--explain")
    assert code in (0, 1)
    assert findings(gate)["evaluations"] == "PASS"
    assert set(findings(gate)) == {"evaluations", "worth of rwkv", "worth of mamba"}
    assert think(capsys, "gate", "g4", "--run", "own", "--set", "gates.g4.worth=50.0")[0] == 1


def test_nobody_has_trained_eight_million(capsys: pytest.CaptureFixture[str]) -> None:
    code, gate = think(capsys, "gate", "g5", "--run", "own")
    assert (code, gate["verdict"]["status"]) == (3, "NO_EVIDENCE")


@pytest.mark.slow
def test_exit_codes_in_a_shell_script(home: Path) -> None:
    """g3.6 with all gates before it waived by name: 0 passes, 1 fails, 3 has no verdict."""
    waive = "--reason tiny --owner tester --until 2999-01-01 " + " ".join(
        f"--waive {gate}" for gate in ("g0", "g1", "g2", "g3", "g3.5")
    )
    think = f"{sys.executable} -c 'import sys; from think.cli.app import run; sys.exit(run())'"
    gates = f"{think} gate g0 g1 g2 g3 g3.5 g3.6 --run own {waive}"
    loose = " ".join(
        f"--set gates.g3_6.{key}={value}"
        for key, value in {"gradient_ratio": 1e9, "gradient_ratio_warns": 1e9, "rise": 9.0, "rise_warns": 9.0}.items()
    )
    strict = "--set gates.g3_6.gradient_ratio=1.0 --set gates.g3_6.gradient_ratio_warns=1.0"
    script = f"""
    {gates} --baseline twin {loose} >/dev/null 2>&1; echo $?
    {gates} --baseline twin {strict} >/dev/null 2>&1; echo $?
    {gates} {loose} >/dev/null 2>&1; echo $?
    """
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=home, check=True)
    assert found.stdout.split() == ["0", "1", "3"], found.stderr
