"""`think train stage1` from the command line: what lands where, what is refused, what a run leaves behind."""

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from think.cli.app import run
from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.tokenizer import CharacterSettings, train
from think.core.errors import Exit
from think.core.runs import RunFolder
from think.core.telemetry.records import Record
from think.core.telemetry.tail import read

pytestmark = pytest.mark.train

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


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    lines = "".join(f"{n} green bottles hanging on the wall\n" for n in range(30))
    (folder / "text.txt").write_text(lines, encoding="utf-8")
    source = {"kind": "text", "path": str(folder / "text.txt")}
    settings = DataSettings.model_validate_json(
        json.dumps({"path": "data", "split_on": "record", "validation": 0.2, "sources": [source]})
    )
    pack(settings.sources, settings, train(CharacterSettings(), texts(settings.sources, settings)), folder / "data")
    return folder / "data"


@pytest.fixture
def place(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a preset and data, which is the current one."""
    (tmp_path / "small.toml").write_text(PRESET, encoding="utf-8")
    (tmp_path / "data").symlink_to(packed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def think(*arguments: str) -> int:
    return run(["train", "stage1", *arguments])


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def records(name: str, kind: str) -> list[Record]:
    return [record for record in read(Path("runs") / name) if record.kind == kind]


def test_a_run_leaves_settings_plan_telemetry_and_a_checkpoint(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("--preset", "small.toml", "--out", "first", "--json") == Exit.DONE
    data = answer(capsys)["data"]
    assert (data["run"], data["steps"], data["already_finished"]) == ("first", 8, False)
    folder = RunFolder(Path("runs/first"))
    plan = json.loads(folder.plan_file.read_text())
    assert plan["steps"] == 8
    assert plan["tokens"] == 8 * 2 * 8
    assert plan["preset"] == "small"
    (start,) = records("first", "run_start")
    assert start.fields["parameters"] == plan["parameters"]
    assert start.fields["digests"] == plan["digests"]
    assert len(records("first", "step")) == 8
    assert records("first", "eval")[-1].fields["loss"] == data["held_out_loss"]
    assert folder.summary().state == "finished"
    assert data["report"] == str(folder.report_file)
    assert folder.report_file.is_file()


def test_flags_land_in_their_leaves_and_are_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "elsewhere").symlink_to(place / "data")
    arguments = ["--preset", "small.toml", "--set", "stage1.steps=2", "--seed", "7", "--data", "elsewhere"]
    assert think(*arguments, "--out", "flagged") == Exit.DONE
    said = capsys.readouterr().err
    for line in ("stage1.steps = 2 (--set stage1.steps, over 8 (small.toml:", "stage1.seed = 7 (--seed)", "(--data"):
        assert line in said
    (start,) = records("flagged", "run_start")
    assert (start.fields["seed"], start.fields["steps"]) == (7, 2)
    assert json.loads((place / "runs/flagged/plan.json").read_text())["data"]["path"] == "elsewhere"


def test_a_dry_run_shows_the_plan_and_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("--preset", "small.toml", "--dry-run", "--json") == Exit.DONE
    data = answer(capsys)["data"]
    assert data["tokens"] == 128
    assert data["memory"]["total"] > data["parameters"] * 16
    assert 0 < data["seconds_least"] < data["seconds"] < data["seconds_most"]
    assert not (place / "runs").exists()
    assert think("--preset", "small.toml", "--dry-run") == Exit.DONE
    assert "operations per token" in capsys.readouterr().out


def test_bfloat16_that_is_emulated_is_told(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = ["--preset", "small.toml", "--dry-run", "--set", "stage1.precision=bfloat16"]
    for gain, told in ((0.25, True), (2.0, False)):
        monkeypatch.setattr("think.core.device.narrow_gain", lambda machine, gain=gain: gain)
        assert think(*narrow) == Exit.DONE
        assert ("bfloat16 take 4.0 times as long" in capsys.readouterr().err) is told
    monkeypatch.setattr("think.core.device.narrow_gain", lambda machine: 0.25)
    assert think("--preset", "small.toml", "--dry-run") == Exit.DONE
    assert "bfloat16" not in capsys.readouterr().err


def test_runs_without_a_name_are_numbered(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert think("--preset", "small.toml", "--set", "stage1.steps=1") == Exit.DONE
    assert sorted(path.name for path in (place / "runs").iterdir()) == ["small-0001", "small-0002"]


def test_resuming_goes_on_with_the_settings_of_the_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("--preset", "small.toml", "--out", "long") == Exit.DONE
    assert think("--preset", "small.toml", "--out", "parts", "--set", "stage1.steps=4") == Exit.DONE
    assert think("--resume", "--out", "parts") == Exit.DONE
    assert "finished already, at step 4" in capsys.readouterr().out
    assert think("--resume", "--out", "parts", "--set", "stage1.steps=8") == Exit.DONE
    assert [start.fields["resumed_from_step"] for start in records("parts", "run_start")] == [None, 4, 4]
    assert [start.fields["preset"] for start in records("parts", "run_start")] == ["small"] * 3
    assert len(records("parts", "step")) == 8
    assert RunFolder(Path("runs/parts")).summary().state == "finished"


def test_resume_without_a_name_takes_the_newest_run_and_says_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert think("--resume") == Exit.MISSING
    assert think("--preset", "small.toml", "--out", "only") == Exit.DONE
    assert think("--resume") == Exit.DONE
    assert "going on with the newest run, runs/only" in capsys.readouterr().err


def test_resume_refuses_other_settings_and_shows_the_difference(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert think("--preset", "small.toml", "--out", "kept", "--set", "stage1.steps=2") == Exit.DONE
    before = (place / "runs/kept/settings.toml").read_bytes()
    assert think("--resume", "--out", "kept", "--set", "model.width=32", "--seed", "9") == Exit.BAD_SETTINGS
    said = capsys.readouterr().err
    assert "model.width: 16 in the run, 32 now (--set model.width)" in said
    assert "stage1.seed: 0 in the run, 9 now (--seed)" in said
    assert (place / "runs/kept/settings.toml").read_bytes() == before


def test_resume_refuses_other_data(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("--preset", "small.toml", "--out", "kept", "--set", "stage1.steps=2") == Exit.DONE
    (tmp_path / "text.txt").write_text("".join(f"{n} green bottles\n" for n in range(40)), encoding="utf-8")
    source = {"kind": "text", "path": str(tmp_path / "text.txt")}
    settings = DataSettings.model_validate_json(
        json.dumps({"split_on": "record", "validation": 0.2, "sources": [source]})
    )
    pack(settings.sources, settings, train(CharacterSettings(), texts(settings.sources, settings)), tmp_path / "other")
    before = {path: path.read_bytes() for path in (place / "runs/kept").rglob("*") if path.is_file()}
    assert think("--resume", "--out", "kept", "--data", "other", "--set", "stage1.steps=4") == Exit.BAD_SETTINGS
    assert "trained on other data" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in (place / "runs/kept").rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], Exit.USAGE, "no preset was given"),
        (["--preset", "small.toml", "--data", "nowhere"], Exit.MISSING, "think data pack --preset small.toml"),
        (["--preset", "small.toml", "--set", "model.vocabulary=9"], Exit.BAD_SETTINGS, "--set model.vocabulary="),
        (["--preset", "small.toml", "--set", "stage1.rows=3", "--set", "stage1.micro_batches=2"], Exit.BAD_SETTINGS,
         "must divide rows = 3"),
        (["--preset", "small.toml", "--set", "stage1.length=100000"], Exit.BAD_DATA, "the corpus is too short"),
        (["--preset", "small.toml", "--set", "stage1.rows=100000"], Exit.BAD_DATA, "the corpus is too short"),
        (["--preset", "small.toml", "--set", "stage1.lenght=8"], Exit.BAD_SETTINGS, "length"),
        (["--preset", "small.toml", "--set", "stage1.steps=0"], Exit.BAD_SETTINGS, "stage1.steps"),
        (["--preset", "small.toml", "--set", "stage1.schedule.warmup=99"], Exit.BAD_SETTINGS, "longer than steps"),
        (["--preset", "small.toml", "--set", "runtime.device=cuda:99"], Exit.MACHINE_CANNOT, "cuda:99"),
        (["--preset", "small.toml", "--set", "runtime.device=abacus"], Exit.BAD_SETTINGS, "abacus"),
        (["--preset", "small.toml", "--set", "runtime.kernels=guessed"], Exit.BAD_SETTINGS, "chunked"),
        (["--preset", "small.toml", "--set", "model.width=1000000000"], Exit.MACHINE_CANNOT, "GB of memory"),
        (["--preset", "small.toml", "--set", f"model.width=1{'0' * 23}"], Exit.BAD_SETTINGS, "beyond all bounds"),
        (["--preset", "small.toml", "--set", "model.layers=1000000000"], Exit.BAD_SETTINGS, "at most 1024"),
        (["--preset", "small.toml", "--set", "stage1.evaluation.rows=1000000000"], Exit.BAD_SETTINGS, "at most 2"),
        (["--preset", "small.toml", "--set", "runtime.threads=1000000000"], Exit.BAD_SETTINGS, "at most 1024"),
        (["--resume", "--out", "nowhere"], Exit.MISSING, "there is no run 'nowhere'"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_anything_is_written(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: Exit, words: str
) -> None:
    assert think(*arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not (place / "runs").exists()


def test_a_damaged_pack_is_refused(place: Path, packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "broken").mkdir()
    for file in packed.iterdir():
        (place / "broken" / file.name).write_bytes(file.read_bytes()[: -3 if file.suffix == ".tokens" else None])
    assert think("--preset", "small.toml", "--data", "broken") == Exit.BAD_DATA
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train-00000.tokens", "validation-00000.ends", "tokenizer.json", "manifest.json"])
def test_one_flipped_bit_in_a_pack_is_refused_before_anything_is_written(
    place: Path, packed: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    shutil.copytree(packed, place / "broken")
    content = bytearray((place / "broken" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (place / "broken" / name).write_bytes(content)
    assert think("--preset", "small.toml", "--data", "broken", "--out", "first") == Exit.BAD_DATA
    said = capsys.readouterr().err
    assert f"broken/{name}" in said
    assert "--force" in said
    assert not (place / "runs").exists()


@pytest.mark.parametrize(
    "change", ["data.split_on=blank_line", "data.validation=0.1", 'tokenizer={kind="bpe", size=300}']
)
def test_data_packed_in_another_way_than_the_settings_say_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    assert think("--preset", "small.toml", "--set", change) == Exit.BAD_SETTINGS
    said = capsys.readouterr().err
    assert "packed with other settings: " + change.partition("=")[0] in said
    assert "think data pack --preset small.toml --out FOLDER" in said
    assert not (place / "runs").exists()


def test_a_second_writer_is_told_who_holds_the_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("--preset", "small.toml", "--out", "busy", "--set", "stage1.steps=2") == Exit.DONE
    writer = subprocess.Popen(
        [sys.executable, "-c", "import sys\nfrom pathlib import Path\nfrom think.core.runs import RunFolder\n"
         "with RunFolder(Path('runs/busy')).lock():\n    print('held', flush=True)\n    sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdout is not None
    assert writer.stdout.readline() == "held\n"
    before = sorted(path.name for path in (place / "runs/busy").iterdir())
    assert think("--resume", "--out", "busy", "--set", "stage1.steps=4") == Exit.LOCKED
    assert think("--preset", "small.toml", "--out", "busy") == Exit.LOCKED
    assert f"process {writer.pid}" in capsys.readouterr().err
    assert sorted(path.name for path in (place / "runs/busy").iterdir()) == before
    writer.communicate()


def test_a_path_of_one_part_is_a_folder_here_and_no_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("--preset", "small.toml", "--out", "./here", "--set", "stage1.steps=2") == Exit.DONE
    assert (place / "here/settings.toml").is_file()
    assert not (place / "runs").exists()
    assert think("--resume", "--out", "./here") == Exit.DONE
    assert "was finished already" in capsys.readouterr().out


def test_a_run_killed_before_it_wrote_anything_starts_over(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "runs/killed").mkdir(parents=True)
    (place / "runs/killed/.lock").touch()
    (place / "runs/killed/.settings.toml.new").write_text("[mod")
    assert think("--resume", "--out", "killed") == Exit.MISSING
    assert "start it over: think train stage1 --preset NAME --out killed" in capsys.readouterr().err
    arguments = ["--preset", "small.toml", "--set", "stage1.steps=2"]
    assert think("--resume", "--out", "killed", *arguments) == Exit.DONE
    assert "it starts over" in capsys.readouterr().err
    (start,) = records("killed", "run_start")
    assert start.fields["resumed_from_step"] is None
    (place / "runs/killed/settings.toml").unlink()
    assert think("--resume", "--out", "killed", *arguments) == Exit.MISSING
    assert "the settings of this run are gone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after", "section"), [("\nseed = 0", "\nseed = 5", "stage1"), ("width = 16", "width = 32", "model")]
)
def test_settings_edited_by_hand_are_noticed(
    place: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, section: str
) -> None:
    assert think("--preset", "small.toml", "--out", "edited", "--set", "stage1.steps=2") == Exit.DONE
    file = place / "runs/edited/settings.toml"
    text = file.read_text()
    file.write_text(text.replace(before, after, 1))
    telemetry = len(list((place / "runs/edited").glob("telemetry-*")))
    assert think("--resume", "--out", "edited", "--set", "stage1.steps=4") == Exit.BAD_SETTINGS
    assert f"edited: [{section}] does not match its digest" in capsys.readouterr().err
    assert len(list((place / "runs/edited").glob("telemetry-*"))) == telemetry
    code = run(["generate", "--run", "edited", "--tokens", "2", "--seed", "1"])
    assert code == (Exit.BAD_SETTINGS if section == "model" else Exit.DONE)
    file.write_text(text + "\n# a remark changes nothing\n")
    assert think("--resume", "--out", "edited", "--set", "stage1.steps=4") == Exit.DONE


def test_another_tokenizer_in_a_run_is_noticed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("--preset", "small.toml", "--out", "swapped", "--set", "stage1.steps=2") == Exit.DONE
    train(CharacterSettings(), ["other letters"]).save(place / "runs/swapped")
    assert run(["generate", "--run", "swapped", "--tokens", "2"]) == Exit.BAD_DATA
    assert "not the tokenizer that the run was trained with" in capsys.readouterr().err


def test_a_folder_that_holds_something_is_left_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "runs/taken").mkdir(parents=True)
    (place / "runs/taken/letter.txt").write_text("dear")
    assert think("--preset", "small.toml", "--out", "taken") == Exit.USAGE
    assert [path.name for path in (place / "runs/taken").iterdir()] == ["letter.txt"]


def test_a_damaged_checkpoint_is_passed_over_loudly(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think("--preset", "small.toml", "--out", "hurt", "--set", "stage1.steps=6") == Exit.DONE
    newest = sorted((place / "runs/hurt/checkpoints").glob("step-*"))[-1] / "model.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    assert think("--resume", "--out", "hurt") == Exit.DONE
    said = capsys.readouterr().err
    assert "checkpoint passed over" in said
    assert records("hurt", "run_start")[-1].fields["resumed_from_step"] == 3


def test_a_diverged_run_says_so_in_its_exit_code_and_its_telemetry(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["stage1.learning_rate=1e30", "stage1.max_gradient_norm=none", "stage1.checkpoint.every=1"]
    arguments = [part for change in changes for part in ("--set", change)]
    assert think("--preset", "small.toml", "--out", "wild", *arguments) == Exit.DIVERGED
    assert "the last good checkpoint is runs/wild/checkpoints/step-" in capsys.readouterr().err
    (end,) = records("wild", "run_end")
    assert end.fields["status"] == "diverged"


def kill_benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "kill.py"
    spec = importlib.util.spec_from_file_location("kill", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_killed_run_ends_byte_for_byte_as_one_left_in_peace(place: Path, tmp_path: Path) -> None:
    """At random, inside a save, twice in a row, and across an epoch; the script in benchmarks/ does it at full size."""
    (tmp_path / "proof").mkdir()
    arguments = ["--preset", "small.toml", "--set", "stage1.steps=100", "--set", "stage1.checkpoint.every=5"]
    figures = kill_benchmark().run(tmp_path / "proof", arguments, kills=4, seed=1)
    assert figures["equal"], figures
    assert figures["epoch_ends_at_step"] < figures["steps"]
    assert len(figures["kills"]) == 4


@pytest.mark.slow
def test_ctrl_c_ends_with_a_checkpoint_and_exit_130(place: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "think", "train", "stage1", "--preset", "small.toml", "--out", "stopped",
         "--set", "stage1.steps=1000000", "--set", "stage1.checkpoint.every=none"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not list(place.glob("runs/stopped/telemetry-*")):
        time.sleep(0.05)
    while process.poll() is None and not records("stopped", "step"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert "its checkpoint is written" in said
    assert "Traceback" not in said
    folder = RunFolder(Path("runs/stopped"))
    assert folder.summary().state == "interrupted"
    assert len(list(folder.checkpoints.glob("step-*"))) == 1
