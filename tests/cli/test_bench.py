"""think bench: figures for every kernel and implementation, for a training step, and what it refuses."""

import json

import pytest

from think.cli.app import run
from think.core.errors import Exit
from think.kernels import bench, choose
from think.kernels.compare import Case

SMALL = (Case("small", 8, heads=1, key=4, value=4),)
CHANGES = ("stage1.rows=2", "stage1.length=16", "runtime.threads=1")
STEP = ["bench", "step", "--preset", "cpu_smoke", *(word for change in CHANGES for word in ("--set", change))]


@pytest.fixture
def small_sizes(monkeypatch):
    monkeypatch.setattr(bench, "SIZES", SMALL)


@pytest.mark.usefixtures("small_sizes")
def test_kernels_lists_every_implementation(capsys):
    assert run(["bench", "kernels", "--rounds", "7", "--threads", "1", "--json"]) == Exit.DONE
    rows = json.loads(capsys.readouterr().out)["data"]
    expected = {(name, each) for name in choose.operators() for each in choose.implementations(name)}
    assert {(row["operator"], row["implementation"]) for row in rows} == expected
    assert {row["case"] for row in rows} == {"small", "small, resets"}
    assert all(row["rounds"] == 7 and row["threads"] == 1 for row in rows)
    assert all(row["speed_up"] == 1.0 for row in rows if row["implementation"] == "reference")


@pytest.mark.usefixtures("small_sizes")
def test_kernels_shows_a_table_of_the_one_asked_for(capsys):
    assert run(["bench", "kernels", "--kernel", "ssd"]) == Exit.DONE
    shown = capsys.readouterr().out
    assert "medians of 7 alternating rounds" in shown
    assert "chunked" in shown
    assert "rwkv6" not in shown


def test_kernels_refuses_an_unknown_kernel_and_too_few_rounds(capsys):
    assert run(["bench", "kernels", "--kernel", "rwkv5"]) == Exit.USAGE
    assert "one of causal_conv, cross_entropy, delta_rule" in capsys.readouterr().err
    assert run(["bench", "kernels", "--rounds", "3"]) == Exit.USAGE
    assert "at least 7" in capsys.readouterr().err


def test_step_reports_latency_speed_and_memory(capsys):
    assert run([*STEP, "--steps", "8", "--json"]) == Exit.DONE
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["rows"], data["length"], data["steps"]) == (2, 16, 8)
    assert 0 < data["least"] <= data["median"] <= data["most"]
    assert data["tokens_per_second"] == pytest.approx(2 * 16 / data["median"] * 1e3)
    assert data["resident"] >= data["resident_before"] > 0


def test_step_obeys_the_settings(capsys):
    assert run([*STEP, "--set", "runtime.kernels=reference", "--json"]) == Exit.DONE
    data = json.loads(capsys.readouterr().out)["data"]
    assert set(data["kernels"].values()) == {"reference"}
    assert data["threads"] == 1


def test_step_speaks_to_people(capsys):
    assert run(STEP) == Exit.DONE
    shown = capsys.readouterr().out
    assert "tokens/s" in shown
    assert "MiB" in shown
    assert "cpu_smoke" in shown


def test_step_refuses_no_preset_and_too_few_steps(capsys):
    assert run(["bench", "step"]) == Exit.USAGE
    assert "think preset list" in capsys.readouterr().err
    assert run([*STEP, "--steps", "2"]) == Exit.USAGE
    assert "at least 7" in capsys.readouterr().err
