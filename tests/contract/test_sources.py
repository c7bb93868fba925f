"""What every source file must obey; a new file in the folder is tested at birth."""

import json
import subprocess
import sys
from typing import get_args

import pytest

from think.core import plugins
from think.core.data.settings import FAMILY, CorpusSettings
from think.core.data.sources import Source, SourceSettings
from think.presets.docstrings import documentation
from think.presets.fields import knob_facts

NAMES = plugins.names(FAMILY)

CHECKED = {"task": "parity"}
"Required settings that do not take any word."


@pytest.mark.parametrize("name", NAMES)
def test_it_exports_a_source_of_its_own_name(name: str) -> None:
    spec = plugins.load(FAMILY, name)
    assert isinstance(spec, Source)
    assert issubclass(spec.Settings, SourceSettings)
    assert get_args(spec.Settings.model_fields["kind"].annotation) == (name,)
    assert spec.Settings.model_fields["kind"].default == name
    assert plugins.summary(FAMILY, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_knob_is_documented_and_acts_on_the_data(name: str) -> None:
    for key, info in plugins.load(FAMILY, name).Settings.model_fields.items():
        if key != "kind":
            assert documentation(plugins.load(FAMILY, name).Settings, key), key
            assert knob_facts(info)["acts_on"] == "data", key


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_can_ask_for_it(name: str) -> None:
    fields = plugins.load(FAMILY, name).Settings.model_fields
    table = {"kind": name} | {key: CHECKED.get(key, "x") for key, info in fields.items() if info.is_required()}
    settings = CorpusSettings.model_validate_json(json.dumps({"data": {"sources": [table]}}))
    assert type(settings.data.sources[0]) is plugins.load(FAMILY, name).Settings


def test_reading_settings_loads_nothing_heavy() -> None:
    code = (
        "import sys, think.core.data.settings; print([m for m in ('torch', 'datasets', 'pyarrow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
