"""The report: every figure with its count, nothing hidden, and the same bytes from the same folder."""

import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.core import durable
from think.core.curve import curve
from think.core.errors import InputOutput
from think.core.plots import component_shares, plots
from think.core.report import Sample, write
from think.core.runs import RunFolder
from think.core.series import Series, series, thinned
from think.core.telemetry.records import Record
from think.core.telemetry.writer import Clock, Writer


class Ticking(Clock):
    """Every look at the clock takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        self.now += 1.0
        return self.now

    def monotonic(self) -> float:
        return self.now


def finished(root: Path, name: str = "first", *, steps: int = 40, nan_at: int | None = None) -> RunFolder:
    run = RunFolder.create(root, name)
    run.plan_file.write_text(json.dumps({"parameters": 200_000, "memory": {"weights": 800}, "lengths": [64]}))
    telemetry = Writer(run.path, clock=Ticking(), heartbeat_seconds=None)
    telemetry.write("run_start", stage="stage1", preset="cpu_smoke", steps=steps, seed=7, digests={"model": "abc"})
    for step in range(1, steps + 1):
        loss = math.nan if step == nan_at else 4.0 / step + 1.0
        telemetry.write(
            "step",
            step,
            loss=loss,
            learning_rate=0.001,
            gradient_norm=1.0 + step % 3,
            tokens=64 * step,
            tokens_per_second=64.0,
            h0_moved=step % 2 == 0,
            h0_share=0.5,
        )
        if step % 10 == 0:
            telemetry.write("component_gradients", step, norms={"rwkv": 3.0, "mamba": 4.0}, ratio=0.75)
            telemetry.write("eval", step, loss=5.0 / step + 1.0, tokens=12_345, whole=step == steps)
    telemetry.write("anomaly", 30, rule="gradient_spike", value=9.0, limit=5.0, message="gradient | spike: 9")
    telemetry.close("finished")
    return run


def text(run: RunFolder) -> str:
    return write(run).read_text(encoding="utf-8")


class TestReport:
    def test_it_says_what_came_out_with_counts(self, tmp_path: Path) -> None:
        found = text(finished(tmp_path))
        assert "**finished** at step 40 of 40" in found
        assert "**1.1250** nats per token (n = 12,345 tokens, the whole split)" in found
        assert "got gradient in 50.0% of the first 40 steps" in found
        assert "| digest of model | `abc` |" in found
        assert "| plan: memory.weights | 800 |" in found
        assert "| gradient_spike | 1 | 30 | 30 | gradient \\| spike: 9 |" in found
        assert "| mamba | 64.0% | 4 |" in found

    def test_it_tells_of_the_branches_and_of_each_state(self, tmp_path: Path) -> None:
        run = finished(tmp_path)
        telemetry = Writer(run.path, clock=Ticking(), heartbeat_seconds=None)
        telemetry.write("run_start", resumed_from_step=40, steps=60)
        telemetry.write("component_gradients", 50, norms={"rwkv": 1.0, "mamba": 0.0}, ratio=math.inf, warning=True)
        for step, norm in ((50, 0.25), (60, 0.5)):
            whole = {"hidden_entropy": 3.0 + step / 100, "logit_entropy": 2.0}
            telemetry.write("state_health", step, layer=2, branch="rwkv", norm=norm, cosine=0.9, **whole)
            telemetry.write("state_health", step, layer=2, branch="fusion", saturated=0.125)
        telemetry.close("finished")
        found = text(run)
        assert "rwkv / mamba 0.75 (median of 5 records, 0.75 to inf; 1 outside their bounds)" in found
        assert "| 2 | rwkv | 0.5 | - | - | - | 0.9 | - | 60 |" in found
        assert "| 2 | fusion | - | - | - | - | - | 0.125 | 60 |" in found
        assert "hidden state 3.500 nats at step 50, 3.600 at step 60; predictions 2.000 nats" in found

    def test_it_tells_what_a_world_model_foresees(self, tmp_path: Path) -> None:
        run = RunFolder.create(tmp_path, "dynamics")
        telemetry = Writer(run.path, clock=Ticking(), heartbeat_seconds=None)
        telemetry.write("run_start", stage="stage2", preset="path_star", steps=20, seed=7)
        for step in range(1, 21):
            telemetry.write("step", step, loss=2.5, rows=4, rows_per_second=4.0)
        row_0 = {
            "nodes_0": 60,
            "games_0": 10,
            "over_0": 0.25,
            "policy_0": 0.5,
            "policy_0_low": 0.4,
            "policy_0_high": 0.6,
        }
        row_1 = {
            "nodes_1": 50,
            "games_1": 10,
            "over_1": 0.3,
            "skill_1": 0.25,
            "skill_1_low": -0.5,
            "skill_1_high": 0.75,
        }
        telemetry.write("eval", 10, loss=9.0, rows=5, **{**row_0, "policy_0": 0.1})
        telemetry.write("eval", 20, loss=3.0, rows=10, dimensions=7.5, value_1=0.625, **row_0, **row_1)
        telemetry.close("finished")
        found = text(run)
        assert "**3.0000** (n = 10 examples) after step 20" in found
        assert "| training loss | 2.5000 (95 % 2.5000 to 2.5000, mean of the last 10 recorded steps) |" in found
        assert "| 0 | - | - | 0.500 (0.400 to 0.600) | - | - | 25% | 60 | 10 |" in found
        assert "| 1 | 0.250 (-0.500 to 0.750) | - | - | 0.625 | - | 30% | 50 | 10 |" in found
        assert "| held-out dimensions | 7.5000 |" in found
        assert "held-out skill" not in found
        assert "## Foresight" not in text(finished(tmp_path))

    def test_every_plot_it_names_is_there_and_is_svg(self, tmp_path: Path) -> None:
        run = finished(tmp_path)
        found = text(run)
        for name in ("loss", "learning_rate", "gradient_norm", "components", "throughput"):
            assert f"(plots/{name}.svg)" in found
            assert ElementTree.parse(run.plots / f"{name}.svg").getroot().tag.endswith("svg")

    def test_equal_runs_give_equal_bytes(self, tmp_path: Path) -> None:
        made = []
        for place in ("one", "other"):
            run = finished(tmp_path / place)
            write(run)
            made.append({path.name: path.read_bytes() for path in [run.report_file, *run.plots.iterdir()]})
        assert made[0] == made[1]

    def test_the_baseline_is_drawn_and_said(self, tmp_path: Path) -> None:
        run = finished(tmp_path)
        found = write(run, unigram_loss=3.25).read_text(encoding="utf-8")
        assert "3.2500 nats per token, of a model that knows only frequencies" in found
        assert b"unigram 3.250" in (run.plots / "loss.svg").read_bytes()

    def test_a_sample_cannot_break_out_of_its_fence(self, tmp_path: Path) -> None:
        sample = Sample("x\n````\n# not a heading", prompt="Once", seed=3, temperature=0.8)
        found = write(finished(tmp_path), sample=sample).read_text(encoding="utf-8")
        assert "\n`````text\nOncex\n````\n# not a heading\n`````\n" in found
        assert 'prompt "Once", seed 3, temperature 0.8' in found

    def test_losses_that_are_not_finite_are_said_and_marked(self, tmp_path: Path) -> None:
        run = finished(tmp_path, nan_at=40)
        assert "not finite in 1 of the last" in text(run)
        assert b"train: 1 not finite" in (run.plots / "loss.svg").read_bytes()

    def test_a_run_that_has_not_begun_has_a_report_too(self, tmp_path: Path) -> None:
        found = text(RunFolder.create(tmp_path, "empty"))
        assert "**created** before its first step" in found
        assert "Nothing was recorded yet." in found
        assert "No verdict is stored" in found

    def test_damage_to_the_telemetry_is_said(self, tmp_path: Path) -> None:
        run = finished(tmp_path)
        with open(run.path / "telemetry-0001.jsonl", "ab") as file:
            file.write(b"garbage\n{torn")
        Writer(run.path, clock=Ticking(), heartbeat_seconds=None).write("run_start", resumed_from_step=20)
        found = text(run)
        assert "* 1 telemetry lines were no records" in found
        assert "* 1 last lines of killed processes were torn" in found
        assert "records were superseded" in found
        assert "| resumed from step | 20 |" in found

    def test_a_full_disk_leaves_the_old_report(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = finished(tmp_path)
        before = write(run).read_bytes()
        with open(run.path / "telemetry-0001.jsonl", "ab") as file:
            file.write(b"garbage\n")

        def full(path: Path, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(durable, "write_synced", full)
        with pytest.raises(InputOutput, match="No space left"):
            write(run)
        assert run.report_file.read_bytes() == before

    def test_matplotlib_is_loaded_by_the_first_plot_only(self) -> None:
        script = "import sys, think.core.report; sys.exit(bool({'matplotlib', 'torch'} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", script]).returncode == 0


class TestSeries:
    def test_the_last_record_of_a_step_counts(self) -> None:
        records = [Record("step", 2, {"loss": 2.0}), Record("step", 1, {"loss": 9.0}), Record("step", 1, {"loss": 1.0})]
        found = series(records, "step", "loss")
        assert (found.steps.tolist(), found.values.tolist()) == ([1, 2], [1.0, 2.0])

    def test_words_for_numbers_are_numbers(self) -> None:
        found = series([Record("dream", 1, {"depth": "inf"}), Record("dream", 2, {"depth": "deep"})], "dream", "depth")
        assert found.values.tolist() == [math.inf]
        assert found.not_finite == 1

    def test_shares_are_of_the_squared_norm(self) -> None:
        found = component_shares([Record("component_gradients", 1, {"norms": {"rwkv": 3.0, "mamba": 4.0}})])
        assert {name: line.values.tolist() for name, line in found.items()} == {"mamba": [0.64], "rwkv": [0.36]}

    def test_no_gradient_at_all_is_no_crash(self) -> None:
        assert plots([Record("component_gradients", 1, {"norms": {"rwkv": 0.0}})])["components"]

    @given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200), st.integers(1, 30))
    def test_thinning_keeps_the_extremes(self, values: list[float], most: int) -> None:
        line = Series(np.arange(len(values)), np.array(values))
        steps, means, lows, highs = thinned(line, most)
        assert len(steps) == len(means) <= max(most, len(values) if len(values) <= most else 0)
        assert (lows.min(), highs.max()) == (min(values), max(values))
        assert np.all(np.diff(steps) > 0)


class TestCurve:
    @given(
        st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=300),
        st.integers(20, 100),
        st.integers(3, 30),
    )
    def test_it_fits_whatever_it_is_given(self, values: list[float], width: int, height: int) -> None:
        lines = curve(values, width, height).splitlines()
        assert len(lines) in (1, height)
        assert all(len(line) <= max(width, 40) + 20 for line in lines)

    def test_a_spike_of_one_step_is_seen(self) -> None:
        values = [1.0] * 5000
        values[2500] = 9.0
        lines = curve(values, 60, 8).splitlines()
        assert lines[0].startswith("9 │")
        assert lines[0].split("│")[1].strip("\u2800 ")

    def test_what_is_not_finite_is_marked_and_counted(self) -> None:
        found = curve([1.0, math.nan, 2.0, math.inf], 40, 6)
        assert found.count("×") == 3  # two on the axis, one in the note
        assert "2 not finite" in found

    def test_nothing_finite_says_so(self) -> None:
        assert curve([]) == "(nothing to draw yet)"
        assert "none of them finite" in curve([math.nan])

    def test_a_falling_line_falls(self) -> None:
        lines = [line.split("│")[1] for line in curve([4.0, 3.0, 2.0, 1.0], 30, 6).splitlines()[:4]]
        starts = [len(line) - len(line.lstrip("\u2800")) for line in lines]
        assert starts == sorted(starts)

    def test_a_mark_widens_the_range(self) -> None:
        assert curve([1.0, 2.0], 40, 6, mark=5.0).startswith("5 │")
