"""Every shipped preset resolves, and is the size that its label says."""

import pytest

from think.core.models import count
from think.core.settings import RunSettings
from think.presets import catalog
from think.presets.decode import decode
from think.presets.sources import read

NAMES = sorted(catalog.names())

ASKED_FOR = {
    "cpu_smoke", "cpu_small", "shakespeare_char", "hybrid_5m_deep", "hybrid_8m_wide", "hybrid_8m", "hybrid_30m",
    "hybrid_125m", "baseline_170m", "baseline_350m", "hybrid_1b", "rwkv6_2m", "mamba2_2m", "transformer_2m",
    "rwkv6_8m", "mamba2_8m", "transformer_8m",
}  # fmt: skip


def resolve(name):
    return decode(read(name, [], {}, {}), RunSettings)


def test_all_that_were_promised_are_there():
    assert set(NAMES) >= ASKED_FOR


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_within_five_percent_of_the_label(name):
    resolved = resolve(name)
    label = catalog.header(name).parameters
    assert count.parameters(resolved.settings.model) == pytest.approx(label, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_differs_in_the_model_alone_and_is_of_equal_size(name):
    twin = catalog.header(name).twin
    if twin is None:
        return
    mine, other = resolve(name), resolve(twin)
    assert mine.digests["tokenizer"] == other.digests["tokenizer"]
    assert mine.digests["stage1"] == other.digests["stage1"]
    sizes = [count.parameters(resolved.settings.model) for resolved in (mine, other)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_gates_ask_for_no_more_steps_than_the_preset_trains(name):
    settings = resolve(name).settings
    assert settings.gates.g3.steps <= settings.stage1.steps
    assert settings.gates.g3_6.steps <= settings.stage1.steps
