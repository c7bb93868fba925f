"""think preset: what is shown is true, what is wrong is said once for all, and listing stays light."""

import json
import subprocess
import sys

import pytest

from think.cli.app import run
from think.core.errors import Exit
from think.presets import catalog


def asked(capsys, *words: str) -> dict:
    """The envelope of a command under --json."""
    code = run(["preset", *words, "--json"])
    envelope = json.loads(capsys.readouterr().out)
    assert envelope["ok"] == (code == Exit.DONE)
    return envelope


def test_list_names_every_shipped_preset(capsys):
    rows = asked(capsys, "list")["data"]
    assert [row["name"] for row in rows] == catalog.names()
    assert run(["preset", "list"]) == Exit.DONE
    text = capsys.readouterr().out
    assert all(row["name"] in text and row["summary"] in text for row in rows)


def test_list_loads_no_torch():
    program = (
        "import sys; from think.cli.app import run; code = run(['preset', 'list']); "
        "print(code, sorted({'torch', 'numpy', 'tokenizers', 'datasets'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 []"


def test_what_show_prints_is_a_preset_with_the_same_settings(capsys, tmp_path):
    before = asked(capsys, "show", "cpu_smoke", "--set", "model.width=32")["data"]
    assert before["settings"]["model"]["width"] == 32
    assert before["origins"]["model.width"][0] == "--set model.width"
    assert before["origins"]["model.width"][1].startswith("think/presets/files/cpu_smoke.toml:")
    assert run(["preset", "show", "cpu_smoke", "--set", "model.width=32"]) == Exit.DONE
    (tmp_path / "shown.toml").write_text(capsys.readouterr().out)
    after = asked(capsys, "show", str(tmp_path / "shown.toml"))["data"]
    assert after["settings"] == before["settings"]
    assert after["digests"] == before["digests"]


def test_the_environment_stands_between_the_preset_and_set(capsys, monkeypatch):
    monkeypatch.setenv("THINK_STAGE1__STEPS", "700")
    monkeypatch.setenv("THINK_THREADS", "1")
    data = asked(capsys, "show", "cpu_smoke")["data"]
    assert data["settings"]["stage1"]["steps"] == 700
    assert data["origins"]["stage1.steps"][0] == "THINK_STAGE1__STEPS"
    assert asked(capsys, "show", "cpu_smoke", "--set", "stage1.steps=800")["data"]["settings"]["stage1"]["steps"] == 800


def test_an_unknown_name_in_the_environment_is_an_error(capsys, monkeypatch):
    monkeypatch.setenv("THINK_STAGE1__STEP", "7")
    monkeypatch.setenv("THINK_RUN", "x")
    error = asked(capsys, "show", "cpu_smoke")["error"]
    assert error["exit"] == Exit.BAD_SETTINGS
    said = {problem["where"]: problem["remedy"] for problem in error["problems"]}
    assert said == {
        "THINK_STAGE1__STEP": "did you mean stage1.steps?",
        "environment, THINK_RUN": "did you mean THINK_RUNS?",
    }


def test_explain_tells_the_winner_and_what_it_shadows(capsys):
    (data,) = asked(capsys, "explain", "model.width", "--preset", "cpu_smoke", "--set", "model.width=32")["data"]
    assert (data["value"], data["acts_on"], data["required"]) == (
        {"value": 32, "origin": "--set model.width", "layer": "set"},
        "graph",
        True,
    )
    assert data["shadowed"][0]["origin"].startswith("think/presets/files/cpu_smoke.toml:")
    assert run(["preset", "explain", "model.width", "--preset", "cpu_smoke"]) == Exit.DONE
    text = capsys.readouterr().out
    assert "channels of the residual stream" in text
    assert "think/presets/files/cpu_smoke.toml:" in text


def test_explain_shows_what_a_changed_kind_dropped(capsys):
    words = ("explain", "stage1.schedule.fall", "--preset", "cpu_smoke", "--set", "stage1.schedule.kind=cosine")
    (data,) = asked(capsys, *words)["data"]
    assert data["value"] is None
    assert data["dropped"][0]["changed_by"] == "--set stage1.schedule.kind"


def test_explain_of_an_unknown_key_names_the_nearest(capsys):
    assert run(["preset", "explain", "model.widht"]) == Exit.BAD_SETTINGS
    assert "did you mean model.width?" in capsys.readouterr().err


def test_diff_lists_only_what_differs(capsys, tmp_path):
    (tmp_path / "mine.toml").write_text('extends = "cpu_smoke"\n[stage1]\nsteps = 900\nseed = 0\n')
    (row,) = asked(capsys, "diff", "cpu_smoke", str(tmp_path / "mine.toml"))["data"]
    assert (row["key"], row["right"], row["right_origin"]) == ("stage1.steps", "900", f"{tmp_path}/mine.toml:3")
    assert run(["preset", "diff", "cpu_smoke", "cpu_smoke"]) == Exit.DONE
    assert capsys.readouterr().out == "no setting differs\n"


@pytest.mark.parametrize("name", catalog.names())
def test_every_shipped_preset_passes_its_check(capsys, name):
    assert asked(capsys, "check", name)["ok"]


def test_check_reports_every_mistake_with_its_line(capsys, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('extends = "cpu_smoke"\n[model]\nwidht = 3\nlayers = 0\n[stage1.optimizer]\nkind = "sgd"\n')
    assert run(["preset", "check", str(file)]) == Exit.BAD_SETTINGS
    captured = capsys.readouterr()
    assert captured.out == ""
    for line, word in ((3, "did you mean model.width?"), (4, "at least 1"), (6, '"adamw", "muon"')):
        assert f"{file}:{line}: " in captured.err
        assert word in captured.err.replace("above 0", "at least 1")
    assert "Traceback" not in captured.err
    error = asked(capsys, "check", str(file))["error"]
    assert (error["code"], len(error["problems"])) == ("bad_settings", 3)


def only(monkeypatch, *keys: str) -> None:
    """Let the sweep try these settings alone: all of them have a test of their own, in tests/core."""
    from think.core import effects

    choose = effects.concerning
    monkeypatch.setattr(
        effects, "concerning", lambda every, settings: [case for case in choose(every, settings) if case.key in keys]
    )


def test_check_effects_tries_the_settings_of_the_preset(capsys, monkeypatch):
    only(monkeypatch, "model.layers", "gates.g3.tail", "model.feed_forward.inner", "stage1.optimizer.momentum")
    data = asked(capsys, "check", "cpu_smoke", "--set", "stage1.optimizer.kind=adamw", "--effects")["data"]
    assert {one["key"]: one["acts"] for one in data["effects"]} == {
        "model.layers": True,
        "model.feed_forward.inner": True,
        "gates.g3.tail": True,
    }
    assert asked(capsys, "check", "cpu_smoke")["data"]["effects"] is None


def test_check_effects_fails_for_a_setting_that_does_nothing(capsys, monkeypatch):
    only(monkeypatch, "model.layers")
    monkeypatch.setattr("think.core.effects.laboratory._graph", lambda settings: "always the same")
    assert run(["preset", "check", "cpu_smoke", "--effects"]) == Exit.GATE_FAILED
    said = capsys.readouterr().out
    assert "0 of 1 settings act as they say" in said
    assert "model.layers is said to act on graph; tried 4: graph did not change" in said


def test_check_follows_the_twin(capsys, tmp_path):
    (tmp_path / "mine.toml").write_text('extends = "cpu_smoke"\ntwin = "cpu_smok"\n')
    error = asked(capsys, "check", str(tmp_path / "mine.toml"))["error"]
    assert error["exit"] == Exit.BAD_SETTINGS
    assert error["where"] == f"{tmp_path}/mine.toml:2"


@pytest.mark.parametrize(
    ("name", "code"), [("nowhere.toml", Exit.MISSING), ("cpu_smok", Exit.MISSING), ("self.toml", Exit.BAD_SETTINGS)]
)
@pytest.mark.parametrize("command", ["show", "check"])
def test_a_preset_that_cannot_be_read_is_refused(capsys, tmp_path, monkeypatch, command, name, code):
    (tmp_path / "self.toml").write_text('extends = "./self.toml"\n')
    monkeypatch.chdir(tmp_path)
    assert run(["preset", command, name]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_schema_is_json_and_knows_the_sections(capsys):
    assert run(["preset", "schema"]) == Exit.DONE
    schema = json.loads(capsys.readouterr().out)
    assert {"model", "tokenizer", "data", "stage1", "gates", "extends"} <= set(schema["properties"])
