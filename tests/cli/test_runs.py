"""`think runs`: what is there, what came out, and nothing deleted that somebody may want."""

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from think.cli.app import run as think
from think.core.errors import Exit
from think.core.runs import RunFolder
from think.core.telemetry.writer import Writer
from think.core.training.checkpoint import Checkpoints


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THINK_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def trained(
    root: Path, name: str, *, settings: str = "[model]\nwidth = 64\n", status: str | None = "finished"
) -> RunFolder:
    """A run of ten steps with two checkpoints; status None: it was killed."""
    run = RunFolder.create(root, name)
    run.settings_file.write_text(settings)
    telemetry = Writer(run.path, heartbeat_seconds=None)
    telemetry.write("run_start", stage="stage1", preset="cpu_smoke", steps=10, parameters=1000)
    for step in range(1, 11):
        telemetry.write("step", step, loss=4.0 / step, gradient_norm=1.0, tokens=64 * step, tokens_per_second=100.0)
    telemetry.write("state_health", 10, layer=0, branch="rwkv", norm=0.5)
    telemetry.write("component_gradients", 10, norms={"rwkv": 3.0, "mamba": 4.0}, ratio=0.75)
    telemetry.write("eval", 10, loss=0.5, tokens=999, interval=[0.4, 0.6], whole=True)
    telemetry.write("anomaly", 10, rule="spike", message="a spike")
    if status:
        telemetry.close(status)
    else:
        pretend_dead(run)
    for step in (5, 10):
        Checkpoints(run.checkpoints).save(step, {"model": {"w": torch.ones(2)}}, {})
    return run


def pretend_dead(run: RunFolder) -> None:
    """As if the process that wrote the telemetry had been killed."""
    path = run.path / "telemetry-0001.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[0]["boot_id"] = "an earlier boot"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def asked(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict:
    assert think([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


class TestList:
    def test_every_run_has_its_state_and_figures(self, capsys, root):
        trained(root, "first")
        trained(root, "second", status=None)
        found = asked(capsys, "runs", "list")["data"]
        assert [(one["run"], one["state"], one["held_out"]) for one in found] == [
            ("first", "finished", 0.5),
            ("second", "dead", 0.5),
        ]
        assert think(["runs", "list"]) == 0
        assert "10 of 10" in capsys.readouterr().out

    def test_no_run_is_an_empty_list_and_no_error(self, capsys, root):
        assert asked(capsys, "runs", "list")["data"] == []
        assert think(["runs", "list"]) == 0
        assert "no run" in capsys.readouterr().out

    @pytest.mark.parametrize("words", [["list"], ["show", "first"], ["compare", "first", "second"]])
    def test_reading_loads_no_torch(self, root, words):
        trained(root, "first")
        trained(root, "second")
        script = (
            f"import sys; from think.cli.app import run; code = run(['runs', *{words!r}]); "
            "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules; sys.exit(code)"
        )
        assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


class TestShow:
    def test_it_draws_the_curves_and_says_the_counts(self, capsys, root):
        trained(root, "first")
        assert think(["runs", "show", "first", "--width", "40"]) == 0
        found = capsys.readouterr().out
        assert "0.5000 nats per token (95 % 0.4000 to 0.6000, n = 999 tokens, the whole split)" in found
        assert "training loss, nats per token" in found
        assert "└" in found
        assert "1 anomalies, the last at step 10: a spike" in found
        assert max(map(len, found[found.index("training loss, nats") :].splitlines())) < 80

    def test_without_a_name_the_newest_is_taken_and_said(self, capsys, root):
        trained(root, "first")
        trained(root, "second")
        assert think(["runs", "show"]) == 0
        assert "second" in capsys.readouterr().err

    def test_as_json_it_is_complete(self, capsys, root):
        trained(root, "first")
        data = asked(capsys, "runs", "show", "first")["data"]
        assert data["summary"]["state"] == "finished"
        assert data["held_out"]["interval"] == [0.4, 0.6]
        assert data["anomalies"][0]["rule"] == "spike"
        assert data["gradient_shares"] == {"mamba": 0.64, "rwkv": 0.36}
        assert data["state_health"] == [{"step": 10, "layer": 0, "branch": "rwkv", "norm": 0.5}]

    def test_it_shows_whose_gradient_it_is_and_how_each_state_does(self, capsys, root):
        trained(root, "first")
        assert think(["runs", "show", "first"]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert ["mamba", "64.0%", "1"] in lines
        assert ["0", "rwkv", "0.5", "-", "-", "-", "-", "-", "10"] in lines

    def test_an_unknown_run_names_the_nearest(self, capsys, root):
        trained(root, "first")
        assert think(["runs", "show", "frist"]) == Exit.MISSING
        assert "did you mean 'first'" in capsys.readouterr().err
        assert think(["runs", "show"]) == 0

    def test_without_any_run_it_says_how_to_make_one(self, capsys):
        assert think(["runs", "show"]) == Exit.MISSING
        assert "think train" in capsys.readouterr().err


class TestCompare:
    def test_only_what_differs_is_listed(self, capsys, root):
        trained(
            root, "first", settings='summary = "x"\n[model]\nwidth = 64\nlayers = 2\n[model.mixer]\nkind = "hybrid"\n'
        )
        trained(root, "second", settings='[model]\nwidth = 96\nlayers = 2\n[model.mixer]\nkind = "rwkv6"\nheads = 2\n')
        data = asked(capsys, "runs", "compare", "first", "second")["data"]
        assert data["settings"] == {
            "model.mixer.heads": ["(absent)", "2"],
            "model.mixer.kind": ["hybrid", "rwkv6"],
            "model.width": ["64", "96"],
        }
        assert data["results"]["held-out loss"] == [0.5, 0.5]
        assert "seed" in data["note"]

    def test_equal_settings_are_said_to_be_equal(self, capsys, root):
        trained(root, "first")
        trained(root, "second")
        assert think(["runs", "compare", "first", "second"]) == 0
        assert "the settings are equal" in capsys.readouterr().out

    def test_damaged_settings_are_bad_data(self, capsys, root):
        trained(root, "first")
        trained(root, "second", settings="[model\n")
        assert think(["runs", "compare", "first", "second"]) == Exit.BAD_DATA


class TestReport:
    def test_it_writes_report_and_plots(self, capsys, root):
        run = trained(root, "first")
        data = asked(capsys, "runs", "report", "first")["data"]
        assert Path(data["report"]) == run.report_file
        assert run.report_file.is_file()
        assert len(data["plots"]) == 4

    def test_a_run_that_cannot_write_has_a_report_that_says_so(self, capsys, root):
        run = trained(root, "first")
        assert think(["runs", "report", "first"]) == 0
        assert "the report has no sample" in capsys.readouterr().err
        assert "A sample" not in run.report_file.read_text()

    def test_without_a_prompt_there_is_a_sample_too(self, root, monkeypatch):
        """Making a report again must not lose the sample that training put there."""
        from think.core import assembled

        class Writes:
            def generate(self, prompt: str, *, tokens: int, seed: int) -> str:
                return f"after {prompt!r}, {tokens} tokens, seed {seed}"

        monkeypatch.setattr(assembled, "load", lambda path: Writes())
        run = trained(root, "first")
        assert think(["runs", "report", "first"]) == 0
        assert "after '', 200 tokens, seed 0" in run.report_file.read_text()

    def test_a_sample_is_made_with_its_prompt_and_seed(self, capsys, root, monkeypatch):
        """`think runs report --prompt --tokens --seed` hands them to the model."""
        from think.core import assembled

        asked_for = {}

        class Echo:
            def generate(self, prompt: str, *, tokens: int, seed: int) -> str:
                asked_for.update(prompt=prompt, tokens=tokens, seed=seed)
                return " upon a time"

        monkeypatch.setattr(assembled, "load", lambda path: Echo())
        run = trained(root, "first")
        assert think(["runs", "report", "first", "--prompt", "Once", "--tokens", "7", "--seed", "3"]) == 0
        assert asked_for == {"prompt": "Once", "tokens": 7, "seed": 3}
        assert "Once upon a time" in run.report_file.read_text()


class TestPrune:
    def names(self, root: Path) -> list[str]:
        found = [path for path in root.rglob("*") if path.is_dir()]
        return sorted(f"{path.relative_to(root)}" for path in found if path.name != "checkpoints")

    def test_without_yes_it_only_says(self, capsys, root):
        trained(root, "first")
        before = self.names(root)
        assert think(["runs", "prune", "--keep", "1"]) == 0
        found = capsys.readouterr().out
        assert "would delete" in found
        assert "step-00000005" in found
        assert self.names(root) == before

    def test_old_checkpoints_go_and_the_last_good_one_stays(self, capsys, root):
        run = trained(root, "first")
        newest = run.checkpoints / "step-00000010" / "model.safetensors"
        newest.write_bytes(newest.read_bytes()[:-1])
        assert think(["runs", "prune", "first", "--keep", "1", "--yes"]) == 0
        assert Checkpoints(run.checkpoints).find().step == 5
        capsys.readouterr()
        assert asked(capsys, "runs", "prune", "first", "--keep", "1")["data"]["paths"] == []

    def test_dead_runs_go_only_when_there_is_nothing_to_resume(self, capsys, root):
        trained(root, "resumable", status=None)
        hopeless = RunFolder.create(root, "hopeless")
        telemetry = Writer(hopeless.path, heartbeat_seconds=None)
        telemetry.write("run_start", steps=10)
        pretend_dead(hopeless)
        data = asked(capsys, "runs", "prune", "--dead", "--yes")["data"]
        assert data == {"deleted": True, "paths": [str(hopeless.path)]}
        assert [path.name for path in root.iterdir()] == ["resumable"]

    @pytest.mark.parametrize("yes", [[], ["--yes"]])
    def test_a_run_under_way_is_left_alone(self, capsys, root, yes):
        run = trained(root, "first")
        with run.lock():
            assert think(["runs", "prune", "--keep", "1", "--dead", *yes]) == 0
        assert "left alone" in capsys.readouterr().err
        assert len(Checkpoints(run.checkpoints).all()) == 2

    def test_a_run_whose_checkpoints_are_all_damaged_is_left_alone(self, capsys, root):
        run = trained(root, "first")
        for path in run.checkpoints.glob("step-*/model.safetensors"):
            path.write_bytes(b"")
        assert think(["runs", "prune", "--keep", "1", "--dead", "--yes"]) == 0
        assert "no checkpoint is whole" in capsys.readouterr().err
        assert len(Checkpoints(run.checkpoints).all()) == 2

    def test_what_to_prune_has_to_be_said(self, root):
        assert think(["runs", "prune", "--yes"]) == Exit.USAGE


class TestExport:
    def test_arrow_has_a_file_a_kind(self, capsys, root, tmp_path):
        import pyarrow

        trained(root, "first")
        assert think(["runs", "export", "first", "--to", "arrow", "--out", str(tmp_path / "out")]) == 0
        with pyarrow.ipc.open_file(str(tmp_path / "out" / "step.arrow")) as file:
            table = file.read_all()
        assert table["loss"].to_pylist() == [4.0 / step for step in range(1, 11)]
        assert table["step"].to_pylist() == list(range(1, 11))
        with pyarrow.ipc.open_file(str(tmp_path / "out" / "eval.arrow")) as file:
            assert file.read_all()["interval"].to_pylist() == ["[0.4, 0.6]"]

    def test_tensorboard_reads_what_was_written(self, root, tmp_path):
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        run = trained(root, "first")
        assert think(["runs", "export", "first", "--to", "tensorboard"]) == 0
        found = accumulator.EventAccumulator(str(run.path / "export" / "tensorboard"))
        found.Reload()
        assert [event.value for event in found.Scalars("step/loss")] == pytest.approx([4.0 / n for n in range(1, 11)])
        assert {"state_health/layer0.rwkv/norm", "component_gradients/norms.mamba"} <= set(found.Tags()["scalars"])

    def test_wandb_is_given_each_step_once_and_offline(self, root, monkeypatch):
        log: list[tuple[int, dict]] = []
        started: dict = {}

        class Session:
            def log(self, values: dict, step: int) -> None:
                log.append((step, values))

            def finish(self) -> None:
                log.append((-1, {}))

        fake = types.ModuleType("wandb")
        fake.init = lambda **how: started.update(how) or Session()
        monkeypatch.setitem(sys.modules, "wandb", fake)
        trained(root, "first")
        assert think(["runs", "export", "first", "--to", "wandb"]) == 0
        assert started["mode"] == "offline"
        assert started["config"]["parameters"] == 1000
        assert [step for step, _ in log] == [*range(1, 11), -1]
        assert log[9][1]["eval/loss"] == 0.5

    def test_a_package_that_is_not_there_is_named_with_its_remedy(self, capsys, root, monkeypatch):
        monkeypatch.setitem(sys.modules, "wandb", None)
        run = trained(root, "first")
        assert think(["runs", "export", "first", "--to", "wandb"]) == Exit.MISSING
        assert "pip install 'think-toolkit[track]'" in capsys.readouterr().err
        assert not (run.path / "export").exists()

    @pytest.mark.parametrize("words", [[], ["--to", "excel"]])
    def test_an_unknown_format_lists_the_known_ones(self, capsys, root, words):
        trained(root, "first")
        assert think(["runs", "export", "first", *words]) == Exit.USAGE
        assert "tensorboard, wandb, arrow, huggingface" in capsys.readouterr().err

    def test_nothing_is_overwritten(self, root, tmp_path):
        trained(root, "first")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").touch()
        assert think(["runs", "export", "first", "--to", "arrow", "--out", str(tmp_path / "out")]) == Exit.USAGE
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
