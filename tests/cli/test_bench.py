"""think bench: figures for every kernel and implementation, for a training step, and what it refuses."""

import json

import pytest

from think.cli.app import run
from think.core.errors import Exit
from think.kernels import bench, choose, compare
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
    expected = {(name, each) for name in choose.operators() for each in choose.usable(name)}
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


def test_functions_of_others_stand_beside_the_implementations():
    taken = []

    def other(given):
        taken.append(given.reset)
        return compare.call("ssd", "chunked", given)

    rows = bench.measure("ssd", SMALL[0], threads=1, others={"other": other})
    assert {row.implementation for row in rows} == {*choose.usable("ssd"), "other"}
    assert len(taken) == 2 * (bench.FEWEST_ROUNDS + 1)  # forward, and forward with backward, and a round to warm up


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


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    from think.cli import bench as command

    (tmp_path / "quick.py").write_text(
        '"""How quick it is: very.\n\n    python benchmarks/quick.py [--fast]\n"""\nprint(42)\n'
    )
    (tmp_path / "asks.py").write_text('"""What it asks.\n\n    python benchmarks/asks.py RUN [--more]\n"""\n')
    (tmp_path / "fails.py").write_text('"""It fails.\n\n    python benchmarks/fails.py\n"""\nraise SystemExit(3)\n')
    monkeypatch.setattr(command, "_suite", lambda: {path.stem: path for path in tmp_path.glob("*.py")})
    return tmp_path


@pytest.mark.usefixtures("checkout")
def test_suite_lists_what_each_script_measures_and_needs(capsys):
    assert run(["bench", "suite", "--json"]) == Exit.DONE
    rows = json.loads(capsys.readouterr().out)["data"]
    assert {"name": "quick", "measures": "How quick it is", "needs": ""} in rows
    assert {"name": "asks", "measures": "What it asks", "needs": "RUN"} in rows


@pytest.mark.usefixtures("checkout")
def test_suite_runs_a_script_and_says_what_cannot_run(capfd):
    assert run(["bench", "suite", "quick"]) == Exit.DONE
    assert "42" in capfd.readouterr().out
    assert run(["bench", "suite", "asks"]) == Exit.USAGE
    assert "needs arguments: RUN" in capfd.readouterr().err
    assert run(["bench", "suite", "nothing"]) == Exit.USAGE
    assert "asks, fails, quick" in capfd.readouterr().err
    assert run(["bench", "suite", "all"]) == Exit.BUG
    assert "benchmarks/fails.py: it ended with exit code 3" in capfd.readouterr().err


def test_suite_without_a_checkout_names_what_there_is(monkeypatch, capsys):
    from think.cli import bench as command

    monkeypatch.setattr(command, "_suite", dict)
    assert run(["bench", "suite"]) == Exit.MISSING
    assert "think bench kernels" in capsys.readouterr().err


def test_every_script_of_the_checkout_says_how_it_is_called():
    from think.cli.bench import _docstring, _suite

    for name, path in _suite().items():
        assert f"python benchmarks/{name}.py" in _docstring(path), name
