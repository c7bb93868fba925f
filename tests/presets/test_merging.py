"""Layers over layers: who wins, who is remembered, and what a change of kind does."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.presets.literals import literal
from think.presets.positions import Path as Key
from think.presets.problems import SettingsError
from think.presets.sources import Flag, Layer, Origin, Sources, Value, dotted, read


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_precedence_and_every_origin(tmp_path):
    write(tmp_path, "base.toml", "[model]\nwidth = 1\nlayers = 1\ntied = true\ngamma = 1\nkept = 1\n")
    top = write(tmp_path, "top.json", '{"extends": "base.toml", "model": {\n"width": 2, "layers": 2,\n"tied": false}}')
    environment = {"THINK_MODEL__WIDTH": "3", "THINK_MODEL__LAYERS": "3", "HOME": "/", "THINK_RUNS": "x"}
    changes = ["model.width=4", "model.gamma = 0.5"]
    sources = read(top, changes, environment, {"model.width": Flag("--width", 5), "model.tied": None}, ["THINK_RUNS"])
    stack = sources.stack()
    said = {
        dotted(key): [(value.raw, str(value.origin)) for value in (winner, *stack.shadowed.get(key, []))]
        for key, winner in stack.winners.items()
    }
    assert said == {
        "model.width": [
            (5, "--width"),
            (4, "--set model.width"),
            (3, "THINK_MODEL__WIDTH"),
            (2, f"{top}:2"),
            (1, f"{tmp_path}/base.toml:2"),
        ],
        "model.layers": [(3, "THINK_MODEL__LAYERS"), (2, f"{top}:2"), (1, f"{tmp_path}/base.toml:3")],
        "model.tied": [(False, f"{top}:3"), (True, f"{tmp_path}/base.toml:4")],
        "model.gamma": [(0.5, "--set model.gamma"), (1, f"{tmp_path}/base.toml:5")],
        "model.kept": [(1, f"{tmp_path}/base.toml:6")],
    }
    assert sources.problems == ()


def test_a_list_replaces_a_list_as_a_whole_and_a_table_does_not_replace_a_table(tmp_path):
    write(tmp_path, "base.toml", "[data]\nsources = [1, 2, 3]\n[data.mix]\na = 1\nb = 1\n")
    top = write(tmp_path, "top.toml", 'extends = "base.toml"\n[data]\nsources = [9]\nmix = { b = 2 }\n')
    assert read(top).stack().tree() == {"data": {"sources": [9], "mix": {"a": 1, "b": 2}}}


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        ('gate = "none"', "[gate]\nleast = 3", {"gate": {"least": 3}}),
        ("[gate]\nleast = 3", 'gate = "none"', {"gate": "none"}),
        ("[gate]\nleast = 3", "[gate]", {"gate": {"least": 3}}),
        ("[gate]", "[gate]\nleast = 3", {"gate": {"least": 3}}),
        ("[gate]", "", {"gate": {}}),
    ],
)
def test_a_table_can_be_switched_off_and_on(tmp_path, lower, upper, expected):
    write(tmp_path, "base.toml", lower)
    assert read(write(tmp_path, "top.toml", f'extends = "base.toml"\n{upper}')).stack().tree() == expected


def test_another_kind_starts_its_table_afresh_and_remembers_what_it_dropped(tmp_path):
    write(tmp_path, "base.toml", '[optimizer]\nkind = "adamw"\nbeta = 1\nname = "x"\n[optimizer.deep]\ny = 1\n')
    top = write(tmp_path, "top.toml", 'extends = "base.toml"\n[optimizer]\nmomentum = 0.9\nkind = "muon"\n')
    stack = read(top).stack()
    assert stack.tree() == {"optimizer": {"kind": "muon", "momentum": 0.9}}
    assert [(dotted(gone.path), gone.kind, gone.changed_to, str(gone.changed_by)) for gone in stack.dropped] == [
        (key, "adamw", "muon", f"{top}:4") for key in ("optimizer.beta", "optimizer.name", "optimizer.deep.y")
    ]


def test_the_same_kind_again_drops_nothing(tmp_path):
    write(tmp_path, "base.toml", '[optimizer]\nkind = "adamw"\nbeta = 1\n')
    top = write(tmp_path, "top.toml", 'extends = "base.toml"\n[optimizer]\nkind = "adamw"\n')
    assert read(top, ["optimizer.kind=adamw"]).stack().tree() == {"optimizer": {"kind": "adamw", "beta": 1}}


def test_a_kind_that_nobody_named_is_the_default_kind():
    sources = read(None, ["o.kind=muon"], {"THINK_O__BETA": "1"})
    assert sources.stack(lambda path: "adamw").tree() == {"o": {"kind": "muon"}}
    assert sources.stack(lambda path: "muon").tree() == {"o": {"kind": "muon", "beta": 1}}


NAMES = st.sampled_from(["a", "b", "c"])
TREE = st.dictionaries(
    NAMES,
    st.recursive(st.integers(0, 3), lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3), max_leaves=6),
)


def layer(tree: dict, name: str) -> Layer:
    entries: list[tuple[Key, Value]] = []

    def walk(node, path):
        if isinstance(node, dict):
            for key, child in node.items():
                walk(child, (*path, key))
        else:
            entries.append((path, Value(node, Origin("preset", f"{name}:{dotted(path)}"))))

    walk(tree, ())
    return Layer(entries)


def flattened(*layers: Layer) -> Layer:
    """Several layers as the one that their winners make."""
    return Layer(list(Sources(layers).stack().winners.items()))


ONE_SHAPE = st.dictionaries(
    st.sampled_from([("a",), ("b", "a"), ("b", "b"), ("b", "c", "a"), ("b", "c", "b"), ("c", "a")]), st.integers(0, 3)
)
"Values by place. No place is a table in one layer and a value in another: what a value hides is lost in a flattening."


@given(ONE_SHAPE, ONE_SHAPE, ONE_SHAPE)
def test_merging_is_associative(one, two, three):
    low, middle, high = (
        Layer([(path, Value(value, Origin("preset", name))) for path, value in held.items()])
        for held, name in ((one, "low"), (two, "middle"), (three, "high"))
    )
    together = Sources((low, middle, high)).stack().winners
    assert Sources((flattened(low, middle), high)).stack().winners == together
    assert Sources((low, flattened(middle, high))).stack().winners == together


@given(st.lists(TREE, min_size=1, max_size=4))
def test_the_winner_is_the_highest_layer_that_speaks_of_a_leaf(trees):
    layers = [layer(tree, str(number)) for number, tree in enumerate(trees)]
    stack = Sources(tuple(layers)).stack()
    for number, one in enumerate(layers):
        for path, value in one.entries:
            above = [other for higher in layers[number + 1 :] for other, _ in higher.entries]
            overruled = any(path[: len(other)] == other or other[: len(path)] == path for other in above)
            assert (stack.winners.get(path) == value) == (not overruled)


@given(st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
))  # fmt: skip
def test_set_reads_every_toml_literal_as_itself(value):
    sources = read(None, [f"a.b={literal(value)}"])
    assert sources.problems == ()
    assert sources.values["a.b"].raw == value
    assert type(sources.values["a.b"].raw) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=adamw", "adamw"), ("a.b= data/my text.txt ", "data/my text.txt"), ("a.b=x=y", "x=y"), ("a.b=1e-3", 1e-3),
        ("a.b=2024-01-31", "2024-01-31"), ("a.b=true", True), ("a.b=True", "True"), ("a.b=1_000", 1000),
        ('"a"."b"=1', 1), ("a.b='1'", "1"),
    ],
)  # fmt: skip
def test_set_takes_toml_or_a_bare_word(text, value):
    assert read(None, [text]).values["a.b"].raw == value


@pytest.mark.parametrize("text", ["a.b", "=1", "a b=1", "a.b=", "a.b=[1", 'a.b="x', "a.b=1\nc=2", "a..b=1", ""])
def test_what_set_cannot_read_is_a_problem_and_stops_nothing_else(text):
    sources = read(None, [text, "c.d=1"])
    assert len(sources.problems) == 1
    assert sources.values["c.d"].raw == 1


def test_the_last_of_two_changes_of_one_key_wins():
    stack = read(None, ["a.b=1", "a.b=2"]).stack()
    assert stack.winners[("a", "b")].raw == 2
    assert [value.raw for value in stack.shadowed[("a", "b")]] == [1]


@pytest.mark.parametrize("name", ["THINK_SEED", "THINK_", "THINK___X", "THINK_A__", "THINK_THREDS"])
def test_an_unknown_name_in_the_environment_is_a_problem(name):
    (problem,) = read(None, [], {name: "1"}, own_names=["THINK_THREADS"]).problems
    assert name in problem.what
    if name == "THINK_THREDS":
        assert problem.remedy == "did you mean THINK_THREADS?"


def refused(file) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read(file)
    return caught.value


BAD_FILES = {
    "syntax.toml": (b"a = 1\nb = = 2\n", ":2", "not valid TOML"),
    "unfinished.toml": (b'a = 1\n\nb = "x', ":3", "not valid TOML"),
    "twice.toml": (b"[m]\na = 1\na = 2\n", ":3", "not valid TOML"),
    "encoding.toml": "a = 1\nb = 'é'\n".encode("latin-1"),
    "deep.toml": (b"a = " + b"[" * 9000, "", "nested too deeply"),
    "digits.toml": (b"a = " + b"1" * 9000, "", "not valid TOML"),
    "syntax.json": (b'{"a": 1,\n"b": }', ":2", "not valid JSON"),
    "list.json": (b"[1]", ":1", "one JSON object"),
    "twice.json": (b'{"m": {"a": 1,\n"a": 2}}', ":2", "'a' is given twice, first on line 1"),
    "nan.json": (b'{"a": NaN}', "", "NaN is not a number"),
    "empty.json": (b"", ":1", "not valid JSON"),
    "deep.json": (b'{"a": ' * 9000, "", "nested too deeply"),
    "settings.yaml": (b"a: 1", "", "neither TOML nor JSON"),
    "binary.toml": (bytes(range(256)), "", ""),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_its_line(tmp_path, name):
    content = BAD_FILES[name]
    raw, place, what = content if isinstance(content, tuple) else (content, ":2", "byte 0xe9 is not UTF-8")
    (tmp_path / name).write_bytes(raw)
    error = refused(tmp_path / name)
    assert error.exit == 78
    assert f"{name}{place}" in (error.where or "")
    assert what in error.what


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert refused(tmp_path / "absent.toml").exit == 66
    (tmp_path / "folder.toml").mkdir()
    error = refused(tmp_path / "folder.toml")
    assert (error.exit, error.what) == (78, "this is a folder, not a preset")


def test_windows_line_ends_and_a_byte_order_mark_keep_the_lines(tmp_path):
    (tmp_path / "crlf.toml").write_bytes(b"\xef\xbb\xbfa = 1\r\n[m]\r\nb = 2\r\n")
    assert str(read(tmp_path / "crlf.toml").values["m.b"].origin).endswith(":3")


def test_json_and_toml_of_one_tree_mean_the_same(tmp_path):
    tree = {"model": {"width": 64, "tied": True, "name": "x\n"}, "stages": [{"length": 1}]}
    (tmp_path / "a.json").write_text(json.dumps(tree))
    (tmp_path / "a.toml").write_text("".join(f"{key} = {literal(value)}\n" for key, value in tree.items()))
    assert read(tmp_path / "a.json").stack().tree() == read(tmp_path / "a.toml").stack().tree() == tree
