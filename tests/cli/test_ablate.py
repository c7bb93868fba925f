"""`think ablate` from the command line: what a study file may say, what a run leaves, what a kill costs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from think.cli.ablate_study import names, read
from think.cli.app import run
from think.core.ablations import budget as budgets
from think.core.ablations.cells import steps_for, tokens_of
from think.core.ablations.ledger import Ledger
from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.sources.task import Settings as Rows
from think.core.data.tokenizer import BpeSettings, CharacterSettings, train
from think.core.errors import BadSettings, Exit, Missing
from think.core.runs import RunFolder
from think.presets.problems import SettingsError

PRESET = """
summary = "as small as can be"

[model]
vocabulary = 48
width = 16
layers = 1
mixer = { kind = "rwkv6", heads = 2, mix_rank = 2, decay_rank = 2 }
feed_forward = { kind = "channel_mix", inner = 16 }

[tokenizer]
kind = "character"

[data]
path = "data"
split_on = "record"
validation = 0.2

[stage1]
steps = 8
rows = 2
length = 8
learning_rate = 0.01
evaluation = { every = 4, rows = 2 }
checkpoint = { every = 3 }

[runtime]
device = "cpu"
threads = 1
"""

STUDY = """summary = "Does a wider feed-forward part help?"
preset = "small.toml"
base = "narrow"
seeds = [0, 1]
budget = { steps = 12 }

[[variants]]
name = "narrow"

[[variants]]
name = "wide"
changes = ["model.feed_forward.inner=32"]
"""


def packed_lines(folder: Path, lines: str, tokenizer: Any = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text(lines, encoding="utf-8")
    source = {"kind": "text", "path": str(folder / "text.txt")}
    settings = DataSettings.model_validate_json(
        json.dumps({"path": "data", "split_on": "record", "validation": 0.2, "sources": [source]})
    )
    made = train(tokenizer or CharacterSettings(), texts(settings.sources, settings))
    pack(settings.sources, settings, made, folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = "".join(f"{n} green bottles hanging on the wall\n" for n in range(30))
    return packed_lines(tmp_path_factory.mktemp("packed"), lines)


@pytest.fixture
def place(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "small.toml").write_text(PRESET, encoding="utf-8")
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "data").symlink_to(packed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def think(*arguments: str) -> int:
    return run(["ablate", *arguments])


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ("seeds = [0, 1]", "seeds = []", "study.toml:4", "there are no seeds"),
        ("seeds = [0, 1]", "seeds = [0, 0]", "study.toml:4", "named twice"),
        ("seeds = [0, 1]", "seeds = [-1]", "study.toml:4", "seeds"),
        ("seeds = [0, 1]", "seed = [0, 1]", "study.toml:4", "did you mean seeds"),
        ('base = "narrow"', 'base = "broad"', "study.toml:3", "no variant 'broad'"),
        ("{ steps = 12 }", "{ steps = 12, minutes = 1.0 }", "study.toml:5", "either steps or minutes"),
        ("{ steps = 12 }", "{}", "study.toml:5", "either steps or minutes"),
        ('name = "wide"', 'name = "narrow"', "study.toml:11", "two variants are named 'narrow'"),
        ('name = "wide"', 'name = "a b"', "study.toml:11", "name"),
        ("inner=32", "iner=32", "study.toml:12", "model.feed_forward.iner is not a setting"),
        ("inner=32", "inner=0", "study.toml:12", "model.feed_forward.inner"),
        ("model.feed_forward.inner=32", "model.feed_forward.inner", "study.toml:12", "which key to set"),
        ("model.feed_forward.inner=32", "stage1.rows=4", "study.toml:12", "the order of the data hangs on it"),
        ("model.feed_forward.inner=32", "stage1.steps=4", "study.toml:12", "the budget says it"),
        ("model.feed_forward.inner=32", "data.path=elsewhere", "study.toml:12", "the same data"),
        ("changes = [", "change = [", "study.toml:12", "did you mean"),
        ('preset = "small.toml"', 'preset = "nowhere.toml"', "nowhere.toml", "there is no such file"),
    ],
)
def test_a_mistake_in_a_study_is_named_with_its_line(
    place: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, where: str, said: str
) -> None:
    assert old in STUDY
    (place / "study.toml").write_text(STUDY.replace(old, new), encoding="utf-8")
    code = think("run", "study.toml", "--dry-run")
    error = capsys.readouterr().err
    assert code in (Exit.BAD_SETTINGS, Exit.MISSING)
    assert where in error
    assert said in error
    assert "Traceback" not in error
    assert not (place / "runs").exists()


@pytest.mark.parametrize("changes", ["", 'changes = ["model.feed_forward.inner=16"]'])
def test_two_equal_variants_are_refused_by_name(place: Path, capsys: pytest.CaptureFixture[str], changes: str) -> None:
    (place / "study.toml").write_text(STUDY.replace('changes = ["model.feed_forward.inner=32"]', changes))
    assert think("run", "study.toml") == Exit.BAD_SETTINGS
    error = capsys.readouterr().err
    assert "'narrow' and 'wide' are the same" in error
    assert "study.toml:10" in error
    assert "study.toml:7" in error


def test_a_variant_on_other_data_is_refused_by_digest(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = "".join(f"{n} brown bottles hanging on the wall\n" for n in range(30))
    other = packed_lines(tmp_path_factory.mktemp("other"), lines)
    (place / "other.toml").write_text(f'extends = "small.toml"\n[data]\npath = "{other}"\n[model]\nwidth = 32\n')
    changed = STUDY.replace('changes = ["model.feed_forward.inner=32"]', 'preset = "other.toml"')
    (place / "study.toml").write_text(changed)
    assert think("run", "study.toml") == Exit.BAD_SETTINGS
    assert "'wide' would be trained on other data than the base 'narrow'" in capsys.readouterr().err
    assert think("run", "study.toml", "--data", "data", "--dry-run") == Exit.DONE, "one folder for all is the remedy"


def test_a_preset_of_a_variant_that_turns_the_order_of_the_data_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "other.toml").write_text('extends = "small.toml"\n[stage1]\nrows = 4\nlength = 4\n')
    changed = STUDY.replace('changes = ["model.feed_forward.inner=32"]', 'preset = "other.toml"')
    (place / "study.toml").write_text(changed)
    assert think("run", "study.toml") == Exit.BAD_SETTINGS
    assert "order of the data" in capsys.readouterr().err


def test_settings_in_the_environment_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINK_MODEL__WIDTH", "32")
    assert think("run", "study.toml", "--dry-run") == Exit.BAD_SETTINGS
    assert "THINK_MODEL__WIDTH" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "wied"], "did you mean 'wide'"),
        (["--seeds", "one"], "whole numbers"),
        (["--resource", "cpus=1"], "add --launcher"),
        (["--minutes", "1", "--launcher", "ray"], "either --minutes or --launcher"),
        (["--launcher", "slrum"], "did you mean 'slurm'"),
    ],
)
def test_options_that_mean_nothing_are_usage_errors(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert think("run", "study.toml", *arguments) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_an_unknown_study_is_missing_and_the_nearest_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("run", "atention") == Exit.MISSING
    assert "did you mean attention" in capsys.readouterr().err


def test_a_dry_run_lists_cells_pair_by_pair_and_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("run", "study.toml", "--dry-run", "--json") == Exit.DONE
    data = answer(capsys)["data"]
    assert [(cell["variant"], cell["seed"]) for cell in data["cells"]] == [
        ("narrow", 0), ("wide", 0), ("narrow", 1), ("wide", 1),
    ]  # fmt: skip
    assert {cell["tokens"] for cell in data["cells"]} == {12 * 2 * 8}
    assert len({cell["cell"] for cell in data["cells"]}) == 4
    assert data["seconds_left"] > 0
    assert not (place / "runs").exists()
    assert think("run", "study.toml", "--dry-run", "--only", "wide", "--seeds", "5", "--json") == Exit.DONE
    (cell,) = answer(capsys)["data"]["cells"]
    assert (cell["variant"], cell["seed"]) == ("wide", 5)


def test_the_id_of_a_cell_hangs_on_what_decides_its_result_alone(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def ids(text: str) -> list[str]:
        (place / "study.toml").write_text(text)
        assert think("run", "study.toml", "--dry-run", "--json") == Exit.DONE
        return [cell["cell"] for cell in answer(capsys)["data"]["cells"]]

    first = ids(STUDY)
    assert ids(STUDY.replace("Does a wider", "Would a wider")) == first
    assert ids(STUDY.replace('"wide"', '"broad"')) == first, "a name decides nothing"
    assert ids(STUDY.replace("inner=32", "inner=24"))[::2] == first[::2], "the base is trained once"
    assert set(ids(STUDY.replace("inner=32", "inner=24"))[1::2]).isdisjoint(first)
    assert set(ids(STUDY.replace("steps = 12", "steps = 13"))).isdisjoint(first)


def test_a_change_for_all_variants_is_the_same_as_in_the_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def cells(*options: str) -> list[tuple[str, list[str]]]:
        assert think("run", "study.toml", "--dry-run", "--json", *options) == Exit.DONE
        return [(cell["cell"], cell["command"]) for cell in answer(capsys)["data"]["cells"]]

    plain = cells()
    options = ("--set", "stage1.learning_rate=0.003", "--set", "data.split_on=record", "--set", "model.width=32")
    by_option = cells(*options)
    inside = 'changes = ["stage1.learning_rate=0.003", "data.split_on=record", "model.width=32"]\n[[variants]]'
    (place / "study.toml").write_text(STUDY.replace("[[variants]]", inside, 1))
    assert by_option == cells()
    assert {cell for cell, _ in by_option}.isdisjoint(cell for cell, _ in plain)
    assert all(list(options) == command[command.index("--set") :][: len(options)] for _, command in by_option)
    later = cells("--set", "stage1.learning_rate=0.001")
    assert {cell for cell, _ in later}.isdisjoint(cell for cell, _ in by_option), "the option comes after the file"


def test_a_variant_of_its_own_mind_wins_over_a_change_for_all(place: Path) -> None:
    study = read("study.toml", changes=["model.feed_forward.inner=24"])
    assert [v.settings.model.feed_forward.inner for v in study.variants] == [24, 32]  # type: ignore[union-attr]
    assert study.command("report") == "think ablate report study.toml --set model.feed_forward.inner=24"
    both = read("study.toml", Path("data"), ["stage1.optimizer={kind = 'muon'}"]).command("run")
    assert both == "think ablate run study.toml --set 'stage1.optimizer={kind = '\"'\"'muon'\"'\"'}' --data data"


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        ("stage1.steps=4", "--set stage1.steps:", "the budget says it"),
        ("stage1.seed=4", "--set stage1.seed:", "`seeds` says it"),
        ("data.path=elsewhere", "--set data.path:", "`data` says it"),
        ("model.wdth=32", "--set model.wdth:", "did you mean"),
        ("stage1.learning_rate=fast", "--set stage1.learning_rate:", "learning_rate"),
        ("width", "--set:", "which key to set"),
    ],
)
def test_a_mistake_in_a_change_for_all_is_named_by_its_option(
    place: Path, capsys: pytest.CaptureFixture[str], change: str, where: str, said: str
) -> None:
    (place / "study.toml").write_text(STUDY.replace("[[variants]]", 'changes = ["model.layers=2"]\n[[variants]]', 1))
    for verb in (["run", "study.toml", "--dry-run"], ["report", "study.toml"]):
        assert think(*verb, "--set", change) == Exit.BAD_SETTINGS
        error = capsys.readouterr().err
        assert where in error
        assert said in error
        assert "study.toml:" not in error
    assert not (place / "runs").exists()


def test_a_mistake_in_the_file_keeps_its_line_beside_a_change_for_all(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "study.toml").write_text(STUDY.replace("inner=32", "inner=0"))
    assert think("run", "study.toml", "--set", "model.layers=2") == Exit.BAD_SETTINGS
    assert "study.toml:12" in capsys.readouterr().err


def test_variants_of_other_lengths_read_equally_many_tokens(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grown = 'changes = ["stage1.curriculum=[{from_share=0.5, length=16}]"]'
    (place / "study.toml").write_text(STUDY.replace('changes = ["model.feed_forward.inner=32"]', grown))
    assert think("run", "study.toml", "--dry-run", "--json") == Exit.DONE
    data = answer(capsys)["data"]
    assert {cell["tokens"] for cell in data["cells"]} == {192}
    assert {cell["variant"]: cell["steps"] for cell in data["cells"]} == {"narrow": 12, "wide": 8}
    study = read("study.toml")
    for variant in study.variants:
        settings = variant.settings.stage1
        assert all(steps_for(settings, tokens_of(settings, steps)) == steps for steps in range(1, 40))


def test_minutes_become_tokens_once(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "study.toml").write_text(STUDY.replace("steps = 12", "minutes = 0.5"))
    speeds = iter([64.0, 640.0])

    class Speed:
        def __init__(self) -> None:
            self.tokens_per_second = next(speeds)

    monkeypatch.setattr(budgets, "measure", lambda *_: Speed())
    monkeypatch.setattr("think.core.ablations.run.Runner.run", lambda self, cells: _nothing())
    for _ in range(2):
        assert think("run", "study.toml") == Exit.DONE
    (recorded,) = Ledger(Path("runs/ablations")).read().budgets.values()
    assert recorded["steps"] == 30 * 64 // 16
    capsys.readouterr()
    assert think("run", "study.toml", "--dry-run", "--json") == Exit.DONE
    assert answer(capsys)["data"]["tokens"] == 30 * 64


def _nothing() -> Any:
    from think.core.ablations.run import Outcome

    return Outcome()


def test_retry_and_minutes_reach_the_runner(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def keep(runner: Any, cells: Any) -> Any:
        seen.append((runner.retry, runner.seconds, len(cells)))
        return _nothing()

    monkeypatch.setattr("think.core.ablations.run.Runner.run", keep)
    assert think("run", "study.toml") == Exit.DONE
    assert think("run", "study.toml", "--retry", "--minutes", "2", "--seeds", "4") == Exit.DONE
    assert seen == [(False, None, 4), (True, 120.0, 2)]


def test_a_launcher_gets_one_command_for_each_open_cell(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from think.core.ablations.launchers import Launched, Launcher, slurm

    asked: list[Any] = []

    def launch(jobs: Any, logs: Path, resources: Any) -> list[Launched]:
        asked.extend([[job.command[3:] for job in jobs], resources, logs])
        return [Launched(job, "7", None) for job in jobs]

    monkeypatch.setattr(slurm, "SPEC", Launcher(launch, waits=False))
    given = ["--launcher", "slurm", "--resource", "timeout_min=30", "--resource", "slurm_partition=short"]
    every = ["--set", "model.layers=2"]
    assert think("run", "study.toml", "--seeds", "3", *every, *given, "--json") == Exit.DONE
    assert [job["id"] for job in answer(capsys)["data"]["jobs"]] == ["7", "7"]
    commands, resources, logs = asked
    assert commands[1] == ("ablate", "run", "study.toml", *every, "--only", "wide", "--seeds", "3")
    assert resources == {"timeout_min": 30, "slurm_partition": "short"}
    assert logs == place / "runs/ablations/jobs"


def test_a_report_without_a_finished_cell_names_the_command(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("report", "study.toml") == Exit.MISSING
    assert "think ablate run study.toml" in capsys.readouterr().err


def test_an_unknown_key_is_told_what_a_study_has(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "study.toml").write_text('after = "x"\n' + STUDY)
    assert think("run", "study.toml") == Exit.BAD_SETTINGS
    said = " ".join(capsys.readouterr().err.split())
    assert "study.toml:1: after is not a setting" in said
    assert "the file has also, base, budget, changes, data, measures, metric, preset, seeds, summary, variants" in said


def test_a_report_is_of_the_study_as_it_was_run_last(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("think.core.ablations.run.Runner.run", lambda *_: _nothing())
    assert think("run", "study.toml", "--set", "model.layers=2", "--set", "stage1.rows=4") == Exit.DONE
    asked = place / "runs/ablations/study/asked.json"
    assert json.loads(asked.read_text()) == {"data": None, "changes": ["model.layers=2", "stage1.rows=4"]}
    capsys.readouterr()
    for words in (["report", "study.toml"], ["page", "study.toml", "--out", "all.md"]):
        assert think(*words) == Exit.MISSING
        said = " ".join(capsys.readouterr().err.split())
        assert "as it was run last: --set model.layers=2 --set stage1.rows=4" in said
        assert "think ablate run study.toml --set model.layers=2 --set stage1.rows=4" in said
    assert think("report", "study.toml", "--set", "model.layers=1") == Exit.MISSING
    assert "as it was run last" not in capsys.readouterr().err
    assert think("run", "study.toml", "--set", "model.layers=1", "--dry-run") == Exit.DONE
    assert len(json.loads(asked.read_text())["changes"]) == 2, "nothing was run"
    asked.write_text('{"data": 3, "changes": []}')
    capsys.readouterr()
    assert think("report", "study.toml") == Exit.BAD_DATA
    assert "asked.json" in capsys.readouterr().err


def test_a_page_needs_a_markdown_file_and_a_finished_cell(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("page", "study.toml", "--out", "all.txt") == Exit.USAGE
    assert think("page", "study.toml", "--out", "all.md") == Exit.MISSING
    assert not Path("all.md").exists()


def test_the_list_names_every_shipped_study(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("list", "--json") == Exit.DONE
    assert [row["study"] for row in answer(capsys)["data"]] == names()
    assert think("list") == Exit.DONE


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data that every shipped study can be planned with."""
    folder = tmp_path_factory.mktemp("stories")
    lines = "".join(f"{n} green bottles hanging on wall number {n * 7919 % 1000}\n" for n in range(3000))
    settings = DataSettings.model_validate_json(
        json.dumps({"path": "data", "validation": 0.1, "sources": [{"kind": "text", "path": str(folder / "text.txt")}]})
    )
    (folder / "text.txt").write_text(lines)
    made = train(BpeSettings(size=320), texts(settings.sources, settings))
    pack(settings.sources, settings, made, folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of a task, for studies of what follows a state."""
    folder, sources = tmp_path_factory.mktemp("rows") / "data", (Rows(task="parity", count=2000),)
    settings = DataSettings(sources=sources)
    pack(sources, settings, train(CharacterSettings(), texts(sources, settings)), folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_a_shipped_study_can_be_planned(
    name: str,
    place: Path,
    stories: Path,
    rows: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Speed:
        tokens_per_second = 4500.0

    monkeypatch.setattr(budgets, "measure", lambda *_: Speed())
    monkeypatch.setattr("think.core.ablations.estimate._timed", lambda *_: 60.0)
    assert (
        think("run", name, "--dry-run", "--data", str(rows if name == "tracking" else stories), "--json") == Exit.DONE
    )
    data = answer(capsys)["data"]
    study = read(name)
    assert len(data["cells"]) == len(study.variants) * 3
    assert {cell["tokens"] for cell in data["cells"]} == {data["tokens"]}
    assert data["steps"] > 350
    of = {cell["variant"]: cell["parameters"] for cell in data["cells"]}
    for variant, count in of.items():
        assert count == pytest.approx(of[data["base"]], rel=0.05), f"{variant} is no equal of the base"


def child_environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "think", "ablate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )


def until(happened: Any, process: "subprocess.Popen[str]", limit: float = 240.0) -> None:
    """Wait for something that a process does; a machine that is too slow fails the test."""
    deadline = time.monotonic() + limit
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the process did not get there in time"
        time.sleep(0.05)


def checkpointed(name: str) -> bool:
    return any(Path("runs/ablations/cells").glob(f"{name}-*/checkpoints/[!.]*"))


AGAIN = STUDY.replace(
    'changes = ["model.feed_forward.inner=32"]', 'changes = ["stage1.telemetry.gradients_every=7"]'
).replace("steps = 12", "steps = 200")


@pytest.mark.slow
@pytest.mark.train
def test_a_study_that_is_killed_goes_on_and_equal_training_gives_equal_losses(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "study.toml").write_text(AGAIN)
    killed = start("run", "study.toml")
    until(lambda: checkpointed("wide-seed0"), killed)
    killed.kill()
    killed.communicate()
    before = Ledger(Path("runs/ablations")).read().entries.values()
    assert {(e.variant, e.seed): e.state for e in before} == {("narrow", 0): "finished", ("wide", 0): "begun"}
    (cell,) = Path("runs/ablations/cells").glob("wide-seed0-????????")
    deadline = time.monotonic() + 240
    while RunFolder(cell).holder() is not None:
        assert time.monotonic() < deadline, "a runner that is killed must leave no training behind"
        time.sleep(0.05)

    interrupted = start("run", "study.toml")
    until(lambda: checkpointed("narrow-seed1"), interrupted)
    interrupted.send_signal(signal.SIGINT)
    _, said = interrupted.communicate()
    assert interrupted.returncode == Exit.INTERRUPTED, said
    assert "think ablate run study.toml" in said

    assert think("run", "study.toml", "--json") == Exit.DONE
    data = answer(capsys)["data"]
    assert len(data["finished"]) + len(data["finished_before"]) == 4
    assert think("run", "study.toml", "--json") == Exit.DONE
    assert len(answer(capsys)["data"]["finished_before"]) == 4, "what is finished is never run twice"

    assert think("report", "study.toml", "--json") == Exit.DONE
    found = answer(capsys)["data"]
    (_, wide) = found["variants"]
    assert wide["comparison"]["difference"]["value"] == 0.0, "the same training, killed and resumed or not"
    assert "exactly equal" in wide["said"]
    folder = Path("runs/ablations/study")
    text = (folder / "report.md").read_text()
    assert "4 of 4 cells are finished" in text
    assert (folder / "plots/differences.svg").is_file()
    assert (folder / "plots/curves.svg").is_file()
    assert json.loads((folder / "report.json").read_text())["variants"][1]["verdict"] == "cannot tell"

    assert think("page", "study.toml", "--out", "evidence/all.md", "--title", "All of it") == Exit.DONE
    page = Path("evidence/all.md").read_text()
    assert page.startswith("# All of it\n")
    assert "| [study](#study-study) | `wide` against `narrow` | 2 |" in page
    assert "\n## Study `study`\n" in page, "the report of a study is a part of the page"
    pictures = re.findall(r"!\[\w+\]\((.+)\)", page)
    assert len(pictures) == 2
    assert all((Path("evidence") / picture).is_file() for picture in pictures)


@pytest.mark.slow
@pytest.mark.train
def test_a_cell_that_fails_is_recorded_and_the_others_go_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = 'changes = ["stage1.learning_rate=1e30", "stage1.max_gradient_norm=none"]'
    text = STUDY.replace('changes = ["model.feed_forward.inner=32"]', wild).replace("seeds = [0, 1]", "seeds = [0]")
    (place / "study.toml").write_text(text.replace('base = "narrow"', 'base = "wide"'))
    assert think("run", "study.toml", "--json") == Exit.NO_VERDICT
    data = answer(capsys)["data"]
    (failed,) = data["failed"].items()
    assert failed[0].startswith("wide-seed0")
    assert "nan" in failed[1] or "inf" in failed[1]
    assert len(data["finished"]) == 1
    assert think("run", "study.toml", "--json") == Exit.NO_VERDICT
    assert answer(capsys)["data"]["finished"] == [], "a failure is not repeated unless asked for"
    assert think("report", "study.toml") == Exit.DONE
    captured = capsys.readouterr()
    assert "wide, seed 0, failed" in captured.err
    assert "| `wide` | 0 | failed |" in Path("runs/ablations/study/report.md").read_text()


def test_errors_of_reading_are_of_the_known_kinds(place: Path) -> None:
    with pytest.raises(Missing):
        read("nothing")
    (place / "study.toml").write_text("summary = 3")
    with pytest.raises(SettingsError) as error:
        read("study.toml")
    assert len(error.value.problems) > 3
    with pytest.raises((BadSettings, SettingsError)):
        read("small.toml")
