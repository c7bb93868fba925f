"""g0's evidence: tokenizers and kernels as they are, and forged ones found out."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from think.core.data.tokenizer import BpeSettings, CharacterSettings, train
from think.core.evidence import Subject, _kernels, foundations
from think.core.gates.checks import g0
from think.core.gates.evidence import Absent, Exhibit, Foundations
from think.core.gates.verdict import Status
from think.core.settings import RunSettings
from think.kernels import choose, compare
from think.presets.decode import decode
from think.presets.sources import read

TEXTS = ["once there was a <|eos|> in a story\n", "abc|<>xyz " * 40]


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    resolved = decode(read("cpu_smoke", ["tokenizer.size=300"]), RunSettings)
    return Subject(resolved.settings, resolved.digests, tmp_path / "data", None, "--preset cpu_smoke")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernels, "CASES", compare.CASES[2:3])


@pytest.mark.parametrize("settings", [CharacterSettings(), BpeSettings(size=300)])
def test_control_tokens_are_single_ids_that_text_cannot_forge(settings: CharacterSettings | BpeSettings) -> None:
    found = foundations.control_tokens(train(settings, TEXTS))
    assert [token.ids for token in found] == [(number,) for number in range(8)]
    assert all(token.injected == () for token in found)


def test_a_tokenizer_that_lets_text_forge_a_token_is_seen() -> None:
    tokenizer = train(BpeSettings(size=300), TEXTS)
    tokenizer._inner.encode_special_tokens = False
    found = {token.text: token.injected for token in foundations.control_tokens(tokenizer)}
    assert 3 in found["<|eos|>"]


def test_a_preset_whose_data_are_not_packed_is_judged_by_its_sources(subject: Subject, quick: None) -> None:
    shown = foundations.produce(subject)
    assert isinstance(shown, Exhibit)
    assert "not packed" in shown.evidence.tokenizer_origin
    assert g0.judge(g0.Settings(), shown.evidence).status is Status.PASS


def test_a_folder_that_is_no_pack_is_no_evidence(subject: Subject) -> None:
    subject.data.mkdir()
    shown = foundations.produce(subject)
    assert isinstance(shown, Absent)
    assert str(subject.data) in shown.why


def test_a_source_that_is_not_there_is_no_evidence(subject: Subject, tmp_path: Path) -> None:
    changes = [f'data.sources=[{{kind="text",path="{tmp_path}/none.txt"}}]']
    resolved = decode(read("cpu_smoke", changes), RunSettings)
    assert isinstance(foundations.produce(replace(subject, settings=resolved.settings)), Absent)


def test_every_implementation_of_every_kernel_is_compared(quick: None) -> None:
    found = {(each.kernel, each.implementation) for each in _kernels.comparisons()}
    expected = {
        (operator, name) for operator in choose.operators() for name in choose.usable(operator) if name != "reference"
    }
    assert found == expected
    assert expected


def test_a_kernel_that_strays_is_seen(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compare.OPERATORS["ssd"]

    def strays(*arguments: object, implementation: str, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
        out, state = whole(*arguments, implementation=implementation, **options)
        return (out * 1.01, state) if implementation == "chunked" else (out, state)

    monkeypatch.setitem(compare.OPERATORS, "ssd", strays)
    seen = Foundations(
        control=foundations.control_tokens(train(BpeSettings(size=300), TEXTS)),
        expected_control=foundations.EXPECTED,
        implementations=_kernels.implementations(),
        comparisons=_kernels.comparisons(),
        tokenizer_origin="",
    )
    words = {finding.name: finding.status for finding in g0.judge(g0.Settings(), seen).findings}
    assert words.pop("ssd/chunked") is Status.FAIL
    assert set(words.values()) == {Status.PASS}
