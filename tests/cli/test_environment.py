"""The user's own environment: files and variables by precedence, mistakes named with their place."""

from pathlib import Path

import pytest

from think.cli import environment
from think.cli.app import run
from think.core.errors import BadSettings, Exit


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No file and no variable of the machine that runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in environment.NAMES:
        monkeypatch.delenv(name, raising=False)


def user_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config" / "think" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_a_folder_of_runs_that_is_no_text_is_named_with_its_file(tmp_path):
    Path("think.toml").write_text("runs = 3")
    with pytest.raises(BadSettings, match=r"runs = 3"):
        environment.runs_folder()


def test_nothing_said_means_runs_beside_you():
    assert environment.runs_folder() == Path("runs")
    assert environment.read().device is None


def test_variable_wins_over_project_over_user(tmp_path, monkeypatch):
    user_file(tmp_path, "runs = 'from-user'\nthreads = 3\ndevice = 'cpu'")
    Path("think.toml").write_text("runs = 'from-project'\nthreads = 2")
    monkeypatch.setenv("THINK_RUNS", "from-variable")
    read = environment.read()
    assert (read.runs, read.threads, read.device) == (Path("from-variable"), 2, "cpu")


def test_unknown_key_in_a_file_names_file_and_nearest(tmp_path):
    path = user_file(tmp_path, "thread = 2")
    with pytest.raises(BadSettings) as caught:
        environment.read()
    assert caught.value.where == str(path)
    assert "threads" in str(caught.value.remedy)


@pytest.mark.parametrize("text", ["threads = 0", "threads = 'many'", "device = 3", "color = 'pink'", "runs = ["])
def test_wrong_value_in_a_file_is_an_error_with_its_place(text, capsys):
    Path("think.toml").write_text(text)
    assert run(["doctor"]) == Exit.BAD_SETTINGS
    error = capsys.readouterr().err
    assert "think.toml" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(("name", "value"), [("THINK_THREADS", "none of it"), ("THINK_COLOR", "pink")])
def test_wrong_variable_is_named(name, value, monkeypatch, capsys):
    monkeypatch.setenv(name, value)
    assert run(["doctor"]) == Exit.BAD_SETTINGS
    assert name in capsys.readouterr().err


def test_a_think_name_that_nobody_reads_is_an_error_and_ours_are_not(monkeypatch, capsys):
    monkeypatch.setenv("THINK_RUNS", "elsewhere")
    assert run(["preset", "show", "cpu_smoke"]) == Exit.DONE
    monkeypatch.setenv("THINK_RUN", "elsewhere")
    assert run(["preset", "show", "cpu_smoke"]) == Exit.BAD_SETTINGS
    assert "THINK_RUN" in capsys.readouterr().err


def test_colour_comes_from_files_without_pydantic():
    Path("think.toml").write_text("color = 'always'")
    assert environment.colour({}) == "always"
    assert environment.colour({"THINK_COLOR": "never"}) == "never"


def test_the_user_decides_only_what_the_preset_left_open(monkeypatch):
    from think.core.device import RuntimeSettings

    monkeypatch.setenv("THINK_THREADS", "3")
    monkeypatch.setenv("THINK_DEVICE", "cuda:1")
    assert environment.prefer(RuntimeSettings()).threads == 3
    chosen = environment.prefer(RuntimeSettings(device="cpu", threads=1))
    assert (chosen.device, chosen.threads) == ("cpu", 1)
