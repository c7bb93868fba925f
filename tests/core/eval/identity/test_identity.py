"""Identity probes: a perfect memory gets all, none gets exactly chance, and a real model is asked without a trace."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from tests.core.ablations.conftest import TREE
from think.core import seeding
from think.core.assembled import Assembled
from think.core.data.tokenizer import BOS, CharacterSettings, train
from think.core.errors import BadData
from think.core.eval.identity.facts import KINDS, LEAST_VALUES, PEOPLE, SPLITS, Kind, small_talk
from think.core.eval.identity.listener import ModelListener
from think.core.eval.identity.run import Count, run
from think.core.models import build
from think.core.settings import RunSettings


@dataclass
class Perfect:
    """Knows the last value that each person told of each fact; a token is a word."""

    known: dict[tuple[str, str], str] = field(default_factory=dict)
    forgets: bool = True
    limit: int | None = None
    heard: int = 0

    def read(self, text: str, *, forget: bool = False) -> int:
        if forget and self.forgets:
            self.known = {}
        for person, said, value in re.findall(r"^(\w+):.*?My ([\w ]+?) is (\w+)\.$", text, re.MULTILINE):
            self.known[person, said] = value
        self.heard += len(text.split())
        return len(text.split())

    def another(self) -> "Perfect":
        return Perfect(dict(self.known), self.forgets, self.limit, self.heard)

    def likelihoods(self, prompt: str, values: list[str]) -> list[float] | None:
        if self.limit is not None and self.heard > self.limit:
            return None
        found = re.search(r"^(\w+): What is my ([\w ]+?)\?", prompt)
        assert found
        held = self.known.get((found[1], found[2]))
        return [0.0 if value == held else -1.0 for value in values]


class Deaf(Perfect):
    """Prefers a value by its letters, whatever it heard."""

    def another(self) -> "Deaf":
        return Deaf()

    def likelihoods(self, prompt: str, values: list[str]) -> list[float] | None:
        return [float(sum(map(ord, prompt + value)) % 17) for value in values]


class Muddled(Perfect):
    """Knows what was told, not by whom, and keeps the first of it."""

    def another(self) -> "Muddled":
        return Muddled(dict(self.known))

    def read(self, text: str, *, forget: bool = False) -> int:
        if forget:
            self.known = {}
        for said, value in re.findall(r"My ([\w ]+?) is (\w+)\.$", text, re.MULTILINE):
            for person in PEOPLE:
                self.known.setdefault((person, said), value)
        return len(text.split())


def by_name(counts: list[Count]) -> dict[str, Count]:
    return {f"{count.probe} {count.distance} {count.unit}": count for count in counts}


def test_one_that_remembers_is_always_right_and_its_control_exactly_at_chance() -> None:
    counts = run(Perfect(), longest=2048, draws=2)
    assert set(by_name(counts)) == {
        "recall 1 turns", "recall 5 turns", "recall 10 turns", "recall 512 tokens", "recall 2048 tokens",
        "isolation 1 turns", "correction 1 turns",
    }  # fmt: skip
    for count in counts:
        assert count.right == count.asked == (160 if count.probe == "isolation" else 80)
        assert count.control_right * LEAST_VALUES == count.asked, "the design is balanced"
        assert count.remembers
        assert count.accuracy.low > 0.95
        assert (count.chance, count.confused) == (0.1, 0)
        if count.unit == "tokens":
            assert count.distance <= count.tokens / count.asked < count.distance + 20


def test_one_that_does_not_hear_is_exactly_at_chance() -> None:
    for count in run(Deaf(), longest=512):
        assert count.right * LEAST_VALUES == count.control_right * LEAST_VALUES == count.asked
        assert not count.remembers


def test_one_that_mixes_up_persons_and_keeps_what_was_corrected_is_told_apart() -> None:
    found = by_name(run(Muddled(), longest=1))
    assert found["recall 1 turns"].accuracy.value == 1.0
    isolation, correction = found["isolation 1 turns"], found["correction 1 turns"]
    assert isolation.right + isolation.confused == isolation.asked
    assert isolation.confused == isolation.asked // 2
    assert correction.confused == correction.asked


def test_a_control_that_did_not_forget_would_be_seen() -> None:
    assert all(count.control_right == count.asked for count in run(Perfect(forgets=False), longest=1))


def test_what_is_too_long_is_not_asked_and_not_counted_as_wrong() -> None:
    found = by_name(run(Perfect(limit=600), longest=8192))
    assert found["recall 512 tokens"].asked == 40
    late = found["recall 8192 tokens"]
    assert (late.asked, late.too_long, late.remembers) == (0, True, False)
    assert json.dumps(late.as_json())


def test_two_runs_ask_the_same() -> None:
    assert [c.as_json() for c in run(Deaf(), longest=512)] == [c.as_json() for c in run(Deaf(), longest=512)]
    first, again, other = (next(small_talk("test", draw, "Anna")) for draw in (0, 0, 1))
    assert first == again
    assert first != other


def test_splits_share_neither_values_nor_small_talk() -> None:
    for kind in KINDS:
        one, other = (set(kind.of(split)) for split in SPLITS)
        assert one.isdisjoint(other)
        assert min(len(one), len(other)) >= LEAST_VALUES
        assert len(set(kind.values)) == len(kind.values)
    said = [{next(talk) for _ in range(100)} for talk in (small_talk(split, 0, "Anna") for split in SPLITS)]
    assert said[0].isdisjoint(said[1])


def test_small_talk_names_no_value() -> None:
    words = {value.lower() for kind in KINDS for value in kind.values} | {kind.said for kind in KINDS}
    for split in SPLITS:
        talk = small_talk(split, 0, "Anna")
        for _ in range(40):
            assert words.isdisjoint(re.findall(r"\w+", next(talk).lower()))


def test_fewer_than_ten_values_are_refused() -> None:
    with pytest.raises(BadData, match="2 values"):
        run(Perfect(), kinds=[Kind("side", "side", ("left", "right", "up", "down"))])


@pytest.fixture(scope="module")
def held() -> Assembled:
    """An untrained model of every branch with a tokenizer of letters."""
    text = "".join(chr(code) for code in range(32, 127)) + "\n"
    tokenizer = train(CharacterSettings(), [text * 3])
    tree = json.loads(json.dumps(TREE))
    rwkv = {"heads": 2, "mix_rank": 2, "decay_rank": 2}
    tree["model"] |= {"vocabulary": 160, "mixer": {"kind": "hybrid", "rwkv": rwkv,
        "mamba": {"expand": 1, "head_width": 8, "state": 4}, "fusion": {"kind": "hybrid_norm"},
        "memory": {"h0": True, "norm": {"groups": 4, "period": 64}}}}  # fmt: skip
    settings = RunSettings.model_validate_json(json.dumps(tree))
    seeding.start(0, "test")
    return Assembled(build(settings.model).eval(), tokenizer, settings, Path("none"), None)


def test_likelihoods_are_those_of_the_whole_text_read_at_once(held: Assembled) -> None:
    listener = ModelListener(held)
    listener.read("Anna: My work is baking.\n")
    prompt, values = KINDS[2].asked("Anna"), KINDS[2].of("test")
    found = listener.likelihoods(prompt, values)
    assert found is not None
    for value, likelihood in zip(values, found, strict=True):
        before = held.tokenizer.encode("Anna: My work is baking.\n" + prompt)
        ids = [BOS, *before, *held.tokenizer.encode(f" {value}")]
        with torch.no_grad():
            logits, _ = held.model(torch.tensor([ids]))
        log_probability = torch.log_softmax(logits[0].double(), -1)
        whole = sum(float(log_probability[at - 1, ids[at]]) for at in range(1 + len(before), len(ids)))
        assert likelihood == pytest.approx(whole, abs=1e-4)
    assert listener.likelihoods(prompt, values) == found, "asking leaves no trace"


def test_forgetting_hides_what_was_read_before(held: Assembled) -> None:
    found = []
    for value in ("baking", "fishing"):
        listener = ModelListener(held)
        listener.read(f"Anna: My work is {value}.\n".ljust(40))
        listener.read("Bot: I see.\n", forget=True)
        found.append(listener.likelihoods(KINDS[2].asked("Anna"), KINDS[2].of("test")))
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_real_model_is_asked_everything_and_its_control_is_at_chance(held: Assembled) -> None:
    for count in run(ModelListener(held), longest=1, kinds=KINDS[:1], turns=(1,)):
        assert count.asked == (20 if count.probe == "isolation" else 10)
        assert count.control_right * LEAST_VALUES == count.asked


def test_a_tokenizer_that_cannot_write_the_values_is_refused(held: Assembled) -> None:
    letters = train(CharacterSettings(), ["abc :?.\n" * 3])
    other = Assembled(held.model, letters, held.settings, held.path, None)
    listener = ModelListener(other)
    listener.read("a")
    with pytest.raises(BadData, match="cannot write the values"):
        listener.likelihoods("a", ["red", "blue"])
