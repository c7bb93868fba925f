"""Every stage of the folder: what it exports, what it stands on, and whether its section is a section."""

import json

import pytest

from think.core import plugins
from think.core.settings import RunSettings
from think.core.training.loop import LoopSettings
from think.core.training.modules import ModuleSettings
from think.core.training.stages import FAMILY, Stage

NAMES = plugins.names(FAMILY)


def chain(name: str) -> list[str]:
    after = plugins.load(FAMILY, name).after
    return [name, *(chain(after) if after is not None else [])]


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_exports_what_the_family_says(name: str) -> None:
    spec = plugins.load(FAMILY, name)
    assert isinstance(spec, Stage)
    assert issubclass(spec.Settings, LoopSettings)
    assert plugins.summary(FAMILY, name), "the first line of its docstring is the help of its command"
    assert name in RunSettings.model_fields


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_stands_on_a_chain_that_ends_with_the_model(name: str) -> None:
    assert chain(name)[-1] == "stage1"
    assert len(set(chain(name))) == len(chain(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "stage1"])
def test_a_later_stage_trains_a_module_by_settings_of_its_own(name: str) -> None:
    spec = plugins.load(FAMILY, name)
    assert issubclass(spec.Settings, ModuleSettings)
    assert spec.module is not None
    assert spec.Settings.model_validate_json(json.dumps(dict(spec.tiny))).steps <= 8, "the tiny run is tiny"
    assert not RunSettings.model_fields[name].is_required(), "a preset may be without it"
