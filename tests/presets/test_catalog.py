"""Presets by name and by file, their headers, and chains that go nowhere."""

import re
import subprocess
import sys

import pytest

from think.presets import catalog
from think.presets.problems import SettingsError


def refused(action, *arguments) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        action(*arguments)
    return caught.value


def test_a_shipped_preset_is_found_by_name_and_shown_independently_of_the_installation():
    preset = catalog.find("cpu_smoke")
    assert preset.shipped
    assert preset.file.is_file()
    assert preset.shown == "think/presets/files/cpu_smoke.toml"


@pytest.mark.parametrize("name", catalog.names())
def test_every_shipped_preset_has_a_summary_and_its_twin_exists(name):
    header = catalog.header(name)
    assert header.summary
    assert header.twin is None or header.twin in catalog.names()


def test_an_unknown_name_gets_the_nearest_and_how_many_there_are():
    error = refused(catalog.find, "cpu_smok")
    assert error.exit == 66
    assert error.remedy == "did you mean cpu_smoke?"
    told = re.fullmatch(r"one of (.+?)(?: and (\d+) more)?, or a file", error.expected or "")
    assert told is not None
    shown = told[1].split(", ")
    assert shown == catalog.names()[: len(shown)]
    assert len(shown) + int(told[2] or 0) == len(catalog.names())


@pytest.mark.parametrize("name", ["", "cpu_smoke\n", "..", "CPU_SMOKE"])
def test_names_that_are_almost_names_are_unknown(name):
    assert refused(catalog.find, name).exit == 66


def test_a_file_here_is_pointed_out_when_its_bare_name_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert "./mine.toml" in (refused(catalog.find, "mine").remedy or "")
    assert catalog.header("./mine.toml").name == "mine"


def test_the_header_is_read_and_is_no_setting(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('summary = "tiny"\nparameters = 1_000\ntwin = "cpu_smoke"\n[model]\nwidth = 1\n')
    assert catalog.header(file) == catalog.Header("mine", "tiny", None, 1000, "cpu_smoke")
    (link,) = catalog.chain(file)
    assert link.sections == {"model": {"width": 1}}


@pytest.mark.parametrize(
    "line", ["parameters = 0", 'parameters = "8M"', "parameters = true", "summary = 3", "twin = ''"]
)
def test_a_wrong_header_value_is_refused_with_its_line(tmp_path, line):
    file = tmp_path / "mine.toml"
    file.write_text(f"\n{line}\n")
    error = refused(catalog.header, file)
    assert (error.exit, error.where) == (78, f"{file}:2")


def test_extends_is_taken_beside_the_file_that_says_it(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "base.toml").write_text("[a]\nb = 1")
    (tmp_path / "inner" / "middle.toml").write_text('extends = "../base.toml"')
    (tmp_path / "top.toml").write_text('extends = "inner/middle.toml"')
    assert [link.header.name for link in catalog.chain(tmp_path / "top.toml")] == ["base", "middle", "top"]


def test_a_preset_that_extends_itself_is_refused_with_its_line(tmp_path):
    file = tmp_path / "self.toml"
    file.write_text('summary = "x"\nextends = "./self.toml"\n')
    error = refused(catalog.chain, file)
    assert (error.exit, error.where, error.what) == (78, f"{file}:2", "the preset extends itself")


def test_a_ring_is_refused_and_every_link_of_it_is_named(tmp_path):
    (tmp_path / "top.toml").write_text('extends = "a.toml"\n')
    (tmp_path / "a.toml").write_text('\nextends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "./c.json"\n')
    (tmp_path / "c.json").write_text('{"extends": "a.toml"}\n')
    error = refused(catalog.chain, tmp_path / "top.toml")
    assert error.exit == 78
    assert all(f"{tmp_path}/{place}" in error.what for place in ("a.toml:2", "b.toml:1", "c.json:1"))
    assert "top.toml" not in error.what


@pytest.mark.parametrize("missing", ["cpu_smok", "./nowhere.toml"])
def test_a_preset_that_extends_nothing_is_refused_where_it_says_so(tmp_path, missing):
    file = tmp_path / "mine.toml"
    file.write_text(f'\n\nextends = "{missing}"\n')
    error = refused(catalog.chain, file)
    assert (error.exit, error.where) == (78, f"{file}:3")
    assert missing in error.what


def test_listing_presets_loads_neither_pydantic_nor_torch():
    program = (
        "import sys; from think.presets import catalog; [catalog.header(name) for name in catalog.names()]; "
        "print({'pydantic', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
