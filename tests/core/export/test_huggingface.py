"""An exported model is the model, or an error."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch

import think
from think.core import seeding
from think.core.data.tokenizer import CharacterSettings, Tokenizer, train
from think.core.errors import BadData, InputOutput, UsageError
from think.core.export import huggingface
from think.core.models import build
from think.core.settings import RunSettings
from think.core.training.weights import weights
from think.presets.decode import decode
from think.presets.sources import read

SETTINGS = decode(
    read("cpu_smoke", changes=["model.width=32", "model.layers=2", "model.mixer.rwkv.heads=2"]), RunSettings
).settings


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("run") / "model")


def tokenizer() -> Tokenizer:
    return train(CharacterSettings(), ["once upon a time"])


def model() -> torch.nn.Module:
    seeding.start(1, "test", "export")
    return build(SETTINGS.model)


def export(out: Path) -> Path:
    return huggingface.export(out, settings=SETTINGS, tensors=weights(model()), tokenizer=tokenizer(), step=7)


def test_what_is_loaded_is_what_was_exported(exported: Path) -> None:
    found = think.load(exported)
    assert found.settings == SETTINGS
    assert found.step == 7
    assert found.tokenizer.encode("once") == tokenizer().encode("once")
    for name, tensor in weights(model()).items():
        assert torch.equal(weights(found.model)[name], tensor)
    assert found.generate("once", tokens=5, seed=0) == think.load(exported).generate("once", tokens=5, seed=0)


def test_other_programs_find_the_usual_keys(exported: Path) -> None:
    config = json.loads((exported / "config.json").read_text())
    assert config["hidden_size"] == 32
    assert config["eos_token_id"] == 3
    assert config["dtype"] == "float32"
    assert sorted(path.name for path in exported.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_named(tmp_path: Path, name: str, damage: str) -> None:
    path = export(tmp_path / "model") / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if damage == "flip" else content[:-1])
    if damage == "remove":
        path.unlink()
    with pytest.raises(BadData, match=name):
        huggingface.read(path.parent)


@pytest.mark.parametrize(
    "config", ["", "[]", "{}", '{"think": null}', '{"think": {"format": 9}}', '{"think": {"format": 1}}']
)
def test_a_foreign_config_is_bad_data(exported: Path, tmp_path: Path, config: str) -> None:
    for path in exported.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(BadData, match=r"config\.json"):
        think.load(tmp_path)


def test_settings_of_another_version_are_bad_data(tmp_path: Path) -> None:
    config = export(tmp_path / "model") / "config.json"
    config.write_text(config.read_text().replace('"layers": 2', '"storeys": 2'))
    with pytest.raises(BadData, match="another version"):
        think.load(tmp_path / "model")


def test_nothing_is_overwritten(exported: Path) -> None:
    with pytest.raises(UsageError, match="something here already"):
        export(exported)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface, "save_file", full)
    with pytest.raises(InputOutput, match="No space left"):
        export(tmp_path / "model")
    assert os.listdir(tmp_path) == []
