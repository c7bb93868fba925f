"""From sources to settings: right values with right origins, and every mistake named at its line."""

import contextlib
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from think.presets.base import Fraction, Settings, knob
from think.presets.catalog import Header
from think.presets.decode import Resolved, SettingsError, decode
from think.presets.fields import leaves
from think.presets.literals import literal
from think.presets.sources import Layer, Origin, Sources, Value, read


class AdamW(Settings):
    """Adam with decoupled decay."""

    kind: Literal["adamw"] = "adamw"
    betas: tuple[Fraction, Fraction] = knob((0.9, 0.95), acts_on="optimizer")
    "decay of the two moments"
    decay: NonNegativeFloat = knob(0.1, acts_on="optimizer")
    "weight decay per step"


class Muon(Settings):
    """Orthogonal steps."""

    kind: Literal["muon"] = "muon"
    momentum: Fraction = knob(0.95, acts_on="optimizer")
    "share of the last step that is kept"
    decay: NonNegativeFloat = knob(0.2, acts_on="optimizer")
    "weight decay per step"


Optimizer = Annotated[AdamW | Muon, Field(discriminator="kind")]


class Step(Settings):
    """One step of a curriculum."""

    length: PositiveInt = knob(acts_on="schedule")
    "tokens"


class Training(Settings):
    """A stage."""

    rows: PositiveInt = knob(acts_on="data")
    "rows of a batch"
    optimizer: Optimizer = AdamW(decay=0.5)
    "what moves the weights"
    curriculum: list[Step] = knob([], acts_on="schedule")
    "lengths"
    others: list[Optimizer] = knob([], acts_on="optimizer")
    "further optimizers"
    folder: Path = knob(Path("x"), acts_on="data")
    "where"


class Model(Settings):
    """A model."""

    width: PositiveInt = knob(acts_on="graph")
    "channels"
    heads: PositiveInt = knob(1, acts_on="graph")
    "heads"
    cap: float | None = knob(30.0, acts_on="graph")
    "bound"
    form: Literal["small", "large"] | None = knob(None, acts_on="graph")
    "form"

    @model_validator(mode="after")
    def _fits(self) -> "Model":
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} must be a multiple of heads = {self.heads}")
        return self


class Gate(Settings):
    """Thresholds."""

    least: int = knob(3, acts_on="judge")
    "samples"


class Gates(Settings):
    """All gates."""

    g1: Gate | None = None
    g2: Gate | None = Gate(least=7)


class Run(Settings):
    """Everything."""

    model: Model
    training: Training
    gates: Gates = Field(default_factory=Gates)
    threads: Literal["auto"] | PositiveInt = knob("auto", acts_on="runtime")
    "threads"


GOOD = """\
threads = 2
[model]
width = 8
cap = 1
[training]
rows = 4
curriculum = [
  { length = 1 },
  { length = 2 },
]
[training.optimizer]
kind = "adamw"
betas = [0.5, 0.6]
[gates.g1]
"""


def resolve(folder: Path, text: str, changes=(), environment=None, flags=None) -> Resolved[Run]:
    (folder / "good.toml").write_text(GOOD)
    (folder / "my.toml").write_text(text)
    return decode(read(folder / "my.toml", changes, environment or {}, flags), Run)


def mistakes(folder: Path, text: str, changes=(), environment=None) -> list[str]:
    """Every problem as one line, with the folder taken out."""
    with pytest.raises(SettingsError) as caught:
        resolve(folder, text, changes, environment)
    assert caught.value.exit == 78
    return [str(problem).replace(f"{folder}/", "").replace("\n    ", " | ") for problem in caught.value.problems]


def test_values_arrive_typed_and_each_leaf_knows_its_origin(tmp_path):
    text = 'extends = "good.toml"\n[training]\nfolder = "a/b"\n'
    found = resolve(tmp_path, text, ["model.heads=2"], {}, {"training.rows": 6})
    assert found.settings == Run(
        model=Model(width=8, heads=2, cap=1.0),
        training=Training(
            rows=6, optimizer=AdamW(betas=(0.5, 0.6), decay=0.5), curriculum=[Step(length=1), Step(length=2)],
            folder=Path("a/b"),
        ),
        gates=Gates(g1=Gate(), g2=Gate(least=7)),
        threads=2,
    )  # fmt: skip
    good, mine = f"{tmp_path}/good.toml", f"{tmp_path}/my.toml"
    assert {key: [str(origin) for origin in origins] for key, origins in found.origins.items()} == {
        "model.width": [f"{good}:3"],
        "model.heads": ["--set model.heads"],
        "model.cap": [f"{good}:4"],
        "model.form": ["default"],
        "training.rows": ["flag for training.rows", f"{good}:6"],
        "training.optimizer.kind": [f"{good}:12"],
        "training.optimizer.betas": [f"{good}:13"],
        "training.optimizer.decay": ["default"],
        "training.curriculum": [f"{good}:7"],
        "training.others": ["default"],
        "training.folder": [f"{mine}:3"],
        "gates.g1.least": ["default"],
        "gates.g2.least": ["default"],
        "threads": [f"{good}:1"],
    }
    assert list(found.overrides) == ["model.heads", "training.rows"]
    assert found.header == Header("my", extends="good.toml")


def test_a_default_lies_under_what_is_said_about_its_table(tmp_path):
    """One key of a section that has a default changes that key and leaves the default's others."""
    minimal = "[model]\nwidth = 1\n[training]\nrows = 1\n"
    one = resolve(tmp_path, minimal + "[training.optimizer]\nbetas = [0, 0]\n").settings.training.optimizer
    assert one == AdamW(betas=(0.0, 0.0), decay=0.5)
    other = resolve(tmp_path, minimal + '[training.optimizer]\nkind = "muon"\n').settings.training.optimizer
    assert other == Muon(decay=0.2), "another kind has its own defaults"
    assert resolve(tmp_path, minimal).settings.gates.g2 == Gate(least=7)


def test_the_word_none_switches_off_what_a_lower_layer_or_a_default_switched_on(tmp_path):
    text = 'extends = "good.toml"\n[model]\ncap = "none"\n[gates]\ng1 = "none"\n'
    found = resolve(tmp_path, text, ["gates.g2=none"]).settings
    assert (found.model.cap, found.gates.g1, found.gates.g2) == (None, None, None)
    assert "rows = " in mistakes(tmp_path, 'extends = "good.toml"', ["training.rows=none"])[0]


def test_another_kind_in_a_higher_layer_drops_the_old_keys_and_says_so(tmp_path):
    found = resolve(tmp_path, 'extends = "good.toml"', ["training.optimizer.kind=muon"])
    assert found.settings.training.optimizer == Muon()
    (gone,) = found.dropped
    assert (gone.value.raw, str(gone.changed_by)) == ([0.5, 0.6], "--set training.optimizer.kind")
    assert "training.optimizer.betas" not in found.origins


def test_keys_of_another_kind_in_the_same_layer_are_an_error(tmp_path):
    text = 'extends = "good.toml"\n[training.optimizer]\nkind = "muon"\nbetas = [0, 0]\n'
    (mistake,) = mistakes(tmp_path, text)
    assert mistake == (
        'my.toml:4: training.optimizer.betas is not a setting | expected: training.optimizer with kind = "muon" '
        'has decay, kind, momentum | remedy: betas belongs to kind = "adamw"'
    )


def test_all_mistakes_come_at_once_each_with_its_line_and_what_is_legal(tmp_path):
    text = """\
extends = "good.toml"
sumary = "typing mistake in the header"
threads = 0
[model]
widht = 3
cap = "x"
form = "smal"
[training]
curriculum = [{ length = 1 },
  { length = 0 }, { lenght = 1 }]
others = [{ kind = "adamw", betas = [0,
  2] }, { kind = "mun" }, { decay = 1 }]
folder = 3
[training.optimizer]
kind = "nothing"
[gates]
g1 = 5
[extra]
"""
    found = mistakes(tmp_path, text, ["model.heads=2.0", "oops"], {"THINK_TRAINING__ROWS": "[1]"})
    expected = [
        ("--set:", "'oops' does not say which key to set"),
        ("--set model.heads:", "model.heads = 2.0 is a number", "expected: a whole number, above 0"),
        ("THINK_TRAINING__ROWS:", "training.rows = [1] is a list", "a whole number"),
        ("my.toml:2:", "sumary is not a setting", "did you mean summary?"),
        ("my.toml:3:", "threads = 0 is out of range", 'expected: "auto" or a whole number, above 0'),
        ("my.toml:5:", "model.widht is not a setting", "did you mean model.width?"),
        ("my.toml:6:", 'model.cap = "x" is text', 'expected: a number or "none" (off)'),
        ("my.toml:7:", 'model.form = "smal" is not one of its words', 'did you mean "small"?'),
        ("my.toml:10:", "training.curriculum[1].length = 0 is out of range"),
        (
            "my.toml:10:",
            "training.curriculum[2].lenght is not a setting",
            "did you mean training.curriculum[2].length?",
        ),
        ("my.toml:12:", "training.others[0].betas[1] = 2 is out of range"),
        ("my.toml:12:", 'training.others[1].kind = "mun" does not exist', 'did you mean "muon"?'),
        ("my.toml:12:", "training.others[2].kind is missing", 'expected: one of "adamw", "muon"'),
        ("my.toml:13:", "training.folder = 3 is a whole number", "expected: a path"),
        ("my.toml:15:", 'training.optimizer.kind = "nothing" does not exist', 'one of "adamw", "muon"'),
        ("my.toml:17:", "gates.g1 = 5 is a whole number"),
        ("my.toml:18:", "extra is not a setting"),
    ]
    for parts in expected:
        assert [line for line in found if line.startswith(parts[0]) and all(part in line for part in parts)], parts
    assert len(found) == len(expected), found
    assert not [line for line in found if "pydantic" in line or "Input should" in line]


def test_what_is_missing_is_named_with_its_meaning(tmp_path):
    found = mistakes(tmp_path, "[model]\nheads = 2\n[[training]]\nrows = 3\n")
    assert found[0].startswith("my.toml:1: model.width is missing (channels) | expected: a whole number, above 0")
    assert found[1].startswith("my.toml:3: training = [{ rows = 3 }] is a list | expected: a table with rows")
    (empty, _) = mistakes(tmp_path, "")
    assert empty.startswith("my.toml: model is missing | expected: a table with width, heads")


def test_a_rule_between_settings_names_all_places(tmp_path):
    (mistake,) = mistakes(tmp_path, 'extends = "good.toml"\n\n[model]\nheads = 3\n')
    assert mistake == (
        "good.toml:3: model: width = 8 must be a multiple of heads = 3 | "
        "remedy: these stand at model.width: good.toml:3, model.heads: my.toml:4"
    )


@pytest.mark.parametrize("change", ["model.width=0x" + "f" * 5000, "model.width=\udcff", '"model\udcff".width=1'])
def test_what_is_no_data_at_all_is_refused(tmp_path, change):
    (mistake,) = mistakes(tmp_path, 'extends = "good.toml"', [change])
    assert "model" in mistake


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_infinity_and_nan_are_refused(tmp_path, value):
    (mistake,) = mistakes(tmp_path, f'extends = "good.toml"\n[model]\ncap = {value}\n')
    assert mistake.startswith("my.toml:3: model.cap")


KEYS = [
    ("model", ["width", "heads", "cap", "form"]),
    ("training", ["rows", "curriculum", "folder"]),
    ("training.optimizer", ["kind", "betas", "decay"]),
    ("gates.g1", ["least"]),
]


@given(data=st.data(), blank=st.integers(0, 5))
def test_any_misspelt_key_is_named_with_its_line(tmp_path_factory, data, blank):
    table, legal = data.draw(st.sampled_from(KEYS))
    key = data.draw(st.sampled_from(legal))
    at = data.draw(st.integers(0, len(key) - 1))
    letter = data.draw(st.sampled_from("abcxyz_"))
    misspelt = data.draw(st.sampled_from([key[:at] + key[at + 1 :], key[:at] + letter + key[at:], key[:at] + letter]))
    assume(misspelt and misspelt not in legal)
    assume(not any(leaf.dotted.rpartition(".")[2] == misspelt for leaf in leaves(Run)))
    text = f'extends = "good.toml"\n[{table}]\n' + "\n" * blank + f"{misspelt} = 1\n"
    found = mistakes(tmp_path_factory.mktemp("presets"), text)
    assert any(line.startswith(f"my.toml:{3 + blank}: {table}.{misspelt} is not a setting") for line in found), found


LEAVES = {
    "model.width": st.sampled_from([8, 16]),
    "model.heads": st.sampled_from([1, 2, 4, 8]),
    "model.cap": st.one_of(st.just("none"), st.floats(-9, 9)),
    "training.rows": st.integers(1, 9),
    "training.optimizer.decay": st.floats(0, 9),
    "gates.g2.least": st.integers(),
    "threads": st.one_of(st.just("auto"), st.integers(1, 64)),
}


@given(st.lists(st.fixed_dictionaries({}, optional=LEAVES), min_size=1, max_size=5))
def test_each_leaf_has_the_value_and_origin_of_the_highest_layer_that_sets_it(layers):
    base = {"model.width": 8, "training.rows": 1}
    stacked = Sources(tuple(
        Layer([(tuple(key.split(".")), Value(raw, Origin("preset", f"{number}:{key}"))) for key, raw in layer.items()])
        for number, layer in enumerate([base, *layers])
    ))  # fmt: skip
    found = decode(stacked, Run)
    for key in LEAVES:
        speakers = [number for number, layer in enumerate([base, *layers]) if key in layer]
        assert [str(origin) for origin in found.origins[key]] == (
            [f"{number}:{key}" for number in reversed(speakers)] or ["default"]
        )
        if speakers:
            value = found.settings
            for part in key.split("."):
                value = getattr(value, part)
            raw = [base, *layers][speakers[-1]][key]
            assert value == (None if raw == "none" else raw)


@given(st.sampled_from(["model.width", "training.optimizer", "gates", "threads", "nothing", "model"]), st.data())
def test_no_value_at_all_makes_anything_but_a_settings_error(key, data):
    value = data.draw(st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["kind", "x", "g1"]), inner),
        max_leaves=4,
    ))  # fmt: skip
    sources = read(None, ["model.width=8", "training.rows=1"], {}, {key: value})
    with contextlib.suppress(SettingsError):
        decode(sources, Run)


def test_literal_of_every_leaf_can_be_given_by_set(tmp_path):
    found = resolve(tmp_path, 'extends = "good.toml"')
    changes = [
        f"{key}={literal(values[0].raw)}"
        for key, values in found.history.items()
        if values[0].origin.layer != "default"
    ]
    again = decode(read(None, changes), Run)
    assert again.settings.model == found.settings.model
    assert again.settings.training == found.settings.training
