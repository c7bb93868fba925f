"""Shipped studies of trained runs: they are what they are said to be, and their commands are there."""

import json

import pytest

from think.cli.app import run
from think.cli.eval_study import STEERING, SWEEPS, names, read
from think.core.errors import Exit
from think.core.eval.reasoning.sweep import sweep
from think.core.eval.studies import SteeringStudy, SweepStudy
from think.presets.problems import SettingsError


@pytest.mark.parametrize("name", names(SWEEPS))
def test_a_shipped_sweep_can_be_made(name: str) -> None:
    study = read(name, SWEEPS, SweepStudy)
    assert len(sweep(study.over, [str(value) for value in study.values], layers=3).values) >= 2
    assert "?" in study.summary


def test_the_studies_have_the_values_that_were_promised() -> None:
    assert read("simulations", SWEEPS, SweepStudy).values == (1, 4, 16, 64)
    assert read("injection_rate", STEERING, SteeringStudy).rates == (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
    lag = read("lag", STEERING, SteeringStudy)
    assert lag.lags == (0, 1, 2, 3, 5, 8)
    assert max(lag.lags) <= lag.plan_tokens - 2  # what `steer` asks for


def test_the_list_names_every_study_with_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "studies", "--json"]) == Exit.DONE
    rows = json.loads(capsys.readouterr().out)["data"]
    assert [row["study"] for row in rows] == [*names(SWEEPS), *names(STEERING)]
    assert all(f"--study {row['study']}" in row["command"] for row in rows)
    assert run(["eval", "studies"]) == Exit.DONE
    assert "rate 0.0, 0.02, 0.05, 0.1, 0.2, 0.5; lag 0" in capsys.readouterr().out


def test_a_file_with_an_unknown_key_is_refused_at_its_line(tmp_path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('summary = "?"\nover = "heads"\nvalue = ["all", 0]\n')
    with pytest.raises(SettingsError) as error:
        read(str(file), SWEEPS, SweepStudy)
    assert "mine.toml:3" in str(error.value)
