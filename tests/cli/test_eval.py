"""`think eval` from the command line: what it trains and tests, what it leaves, what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from think.cli.app import run
from think.core.ablations.measures.task import SPEC as MEASURE
from think.core.errors import BadData, Exit, Missing
from think.core.eval.tasks import evaluate
from think.core.runs import RunFolder

PRESET = """
summary = "one layer of Mamba-2"

[model]
vocabulary = 16
width = 32
layers = 1
gamma = "none"
mixer = { kind = "mamba2", expand = 1, head_width = 8, state = 8, retention = { fastest = 0.05, slowest = 0.99 } }
feed_forward = { kind = "gelu", inner = 64 }

[tokenizer]
kind = "bpe"
size = 300

[data]
path = "data"

[stage1]
steps = 550
rows = 32
length = 64
learning_rate = 3e-3
optimizer = { kind = "adamw", recurrent_scale = 1.0 }
schedule = { kind = "wsd", warmup = 30, fall = 0.4 }
evaluation = { every = 200, rows = 16 }

[runtime]
device = "cpu"
threads = 1
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THINK_RUNS", raising=False)
    (tmp_path / "small.toml").write_text(PRESET)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code = run([*words, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == Exit.DONE, told["error"]
    return told["data"]


def refused(capsys: pytest.CaptureFixture[str], code: Exit, *words: str) -> str:
    assert run(list(words)) == code
    return capsys.readouterr().err


TRAIN = ["--preset", "small.toml", "--steps", "3", "--rows", "20", "--sizes", "20,64"]
SHORT = ["--set", "stage1.schedule.warmup=1", "--set", "stage1.rows=4"]


def test_it_trains_each_seed_once_and_tests_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "tracking", "z5", *TRAIN, *SHORT, "--seeds", "0,3"]
    first = answer(capsys, *words)
    assert (first["task"], first["trained"]) == ("z5", [8, 40])
    assert [size["size"] for size in first["sizes"]] == [20, 64]
    assert [size["trained"] for size in first["sizes"]] == [True, False]
    assert all(len(size["each"]) == 2 and size["chance"] == 0.2 for size in first["sizes"])
    names = [result["run"] for result in first["runs"]]
    assert len(set(names)) == 2
    assert [name.rpartition("-")[2] for name in names] == ["seed0", "seed3"]
    assert [result["source"]["seed"] for result in first["runs"]] == [0, 3]
    for name, result in zip(names, first["runs"], strict=True):
        folder = here / "runs" / name
        assert RunFolder(folder).summary().state == "finished"
        assert json.loads((folder / "evaluations" / "z5.json").read_text()) == result
    before = {path: path.stat().st_mtime_ns for path in (here / "runs").rglob("*.safetensors")}
    assert answer(capsys, *words) == first, "trained before, and equal rows give equal answers"
    assert {path: path.stat().st_mtime_ns for path in (here / "runs").rglob("*.safetensors")} == before


def test_runs_are_tested_without_training(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = answer(capsys, "eval", "recall", "copying", *TRAIN[:6], "--sizes", "8", *SHORT, "--seeds", "1")
    [name] = [result["run"] for result in made["runs"]]
    again = answer(capsys, "eval", "recall", "--run", name, "--rows", "20", "--sizes", "8")
    assert again == made
    assert "not on mqar" in refused(capsys, Exit.BAD_DATA, "eval", "recall", "mqar", "--run", name)
    assert "a task of recall" in refused(capsys, Exit.USAGE, "eval", "tracking", "--run", name)
    told = refused(capsys, Exit.USAGE, "eval", "recall", "--run", name, "--seeds", "0")
    assert "--seeds says how to train" in told
    run(["eval", "recall", "--run", name, "--rows", "20", "--sizes", "8"])
    shown = capsys.readouterr().out
    assert "copying: trained on 4 to 32 letters; 20 test rows each; one seed" in shown
    assert "Jelassi et al. 2024" in shown


def test_a_preset_s_own_rows_are_taken(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = 'path = "data"\nsources = [{ kind = "task", task = "parity", count = 80, largest = 12 }]'
    (here / "own.toml").write_text(PRESET.replace('path = "data"', sources))
    made = answer(capsys, "eval", "tracking", "parity", "--preset", "own.toml", *TRAIN[2:], *SHORT)
    assert made["trained"] == [8, 12]


def test_what_cannot_be_tested_is_refused_before_anything_is_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nothing to test" in refused(capsys, Exit.USAGE, "eval", "tracking", "parity")
    assert "nothing to test" in refused(capsys, Exit.USAGE, "eval", "recall", "--preset", "small.toml")
    told = refused(capsys, Exit.USAGE, "eval", "tracking", "party", "--preset", "small.toml")
    assert "did you mean 'parity'?" in told
    told = refused(capsys, Exit.USAGE, "eval", "tracking", "mqar", "--preset", "small.toml")
    assert "think eval recall mqar" in told
    for option, value in (("--sizes", "40,x"), ("--sizes", "0"), ("--seeds", "1,1"), ("--seeds", "-1")):
        refused(capsys, Exit.USAGE, "eval", "tracking", "parity", "--preset", "small.toml", option, value)
    assert not (here / "runs").exists()


def test_the_list_says_what_theory_says(capsys: pytest.CaptureFixture[str]) -> None:
    found = {task["task"]: task for task in answer(capsys, "eval", "list")}
    assert {"parity", "z5", "s3", "s5", "mqar", "copying", "pointer_chase"} <= set(found)
    assert found["parity"]["chance"]["256"] == 0.5
    assert any("negative_eigenvalues" in one["architecture"] for one in found["parity"]["theory"])
    run(["eval", "list"])
    assert "Grazzi et al. 2025" in capsys.readouterr().out


def test_a_measure_of_studies_gives_the_same_figures(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = answer(capsys, "eval", "tracking", "parity", *TRAIN[:4], *SHORT, "--rows", "256")
    folder = RunFolder(here / "runs" / made["runs"][0]["run"])
    (folder.path / "evaluations" / "parity.json").unlink()
    figures = MEASURE.measure(folder)
    assert set(figures) == set(MEASURE.figures)
    scaled = {size["size"]: size["scaled"]["value"] for size in made["sizes"]}
    assert figures["scaled_within"] == pytest.approx(scaled[40])
    assert figures["scaled_beyond"] == pytest.approx((scaled[64] + scaled[128] + scaled[256]) / 3)
    assert figures["scaled_farthest"] == pytest.approx(scaled[256])
    assert not (folder.path / "evaluations" / "parity.json").exists(), "a measure changes nothing in the folder"
    data = Path(json.loads(folder.plan_file.read_text())["data"]["path"])
    data.rename(data.with_name("elsewhere"))
    with pytest.raises(Missing, match="task is not known"):
        evaluate(folder)


def test_a_run_on_text_has_no_task(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'sources = [{ kind = "stories", count = 40 }]\npath = "stories"'
    (here / "text.toml").write_text(
        PRESET.replace('path = "data"', text).replace("vocabulary = 16", "vocabulary = 300")
    )
    assert run(["data", "pack", "--preset", "text.toml"]) == Exit.DONE
    words = ["--preset", "text.toml", "--set", "stage1.steps=2", *SHORT, "--set", "stage1.length=8", "--out", "text"]
    assert run(["train", "stage1", "--set", "stage1.schedule.warmup=1", *words]) == Exit.DONE
    capsys.readouterr()
    assert "trained on stories, not on one task" in refused(capsys, Exit.BAD_DATA, "eval", "tracking", "--run", "text")
    with pytest.raises(BadData, match="not on one task"):
        MEASURE.measure(RunFolder(here / "runs" / "text"))


@pytest.mark.slow
@pytest.mark.train
def test_negative_eigenvalues_turn_parity_from_guessing_into_solved(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What theory says, both ways, at two to six times the trained length: that there are weights that solve it, and
    that there are none. So one seed has to find some, and no seed may."""
    words = ["eval", "tracking", "parity", "--preset", "small.toml", "--sizes", "80,128,240", "--rows", "256"]
    found = {}
    for choice in ("false", "true"):
        runs = answer(capsys, *words, "--seeds", "0,1", "--set", f"model.mixer.negative_eigenvalues={choice}")["runs"]
        found[choice] = [[score["scaled"]["value"] for score in run["scores"]] for run in runs]
    assert max(min(scores) for scores in found["true"]) >= 0.95, found
    assert max(max(scores) for scores in found["false"]) < 0.3, found
