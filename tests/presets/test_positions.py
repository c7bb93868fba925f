"""Lines of keys: every key that the parser found has one, and it is the line that the key stands on."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.presets.literals import bare, literal
from think.presets.positions import json_lines, toml_lines

EVERYTHING = '''\
top = 1  # not a [header]
"quoted key" = "a # b"

[model]
mixer.kind = "hybrid"
layers = [1,
    # a comment with ] and "
    2, [3,
    4]]
text = """
[model.fake]
fake = ""\\"1
"""
raw = \'\'\'
fake = 2\'\'\'
[ model . 'inner table' ]
when = 1979-05-27 07:32:00
where = { a = 1, b.c = { d = [ { e = 1 } ] } }
[[stage]]
from = 0.0
[[stage]]
from = 0.5
[stage.deep]
x = """a"""""
y = 1
'''


def paths(node, path=()):
    """Every key and list element of a parsed tree."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from paths(child, (*path, key))


def test_every_toml_construct_has_the_line_it_stands_on():
    lines = toml_lines(EVERYTHING)
    assert set(lines) == set(paths(tomllib.loads(EVERYTHING)))
    expected = {
        ("top",): 1, ("quoted key",): 2, ("model",): 4, ("model", "mixer", "kind"): 5, ("model", "layers"): 6,
        ("model", "layers", 1): 8, ("model", "layers", 2, 1): 9, ("model", "text"): 10, ("model", "raw"): 14,
        ("model", "inner table"): 16, ("model", "inner table", "when"): 17,
        ("model", "inner table", "where", "b", "c", "d", 0, "e"): 18, ("stage", 0): 19, ("stage", 1, "from"): 22,
        ("stage", 1, "deep"): 23, ("stage", 1, "deep", "y"): 25,
    }  # fmt: skip
    assert {path: lines[path] for path in expected} == expected


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
TREES = st.dictionaries(
    KEYS, st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
)


@given(TREES)
def test_what_is_written_as_toml_is_read_back_with_a_line_for_each_key(tree):
    text = "".join(f"\n{bare(key)} = {literal(value)} # {len(key)}\n" for key, value in tree.items())
    assert tomllib.loads(text) == tree
    lines = toml_lines(text)
    assert set(lines) == set(paths(tree))
    for number, key in enumerate(tree):
        assert lines[(key,)] == 2 * number + 2


@given(TREES, st.sampled_from([None, 1]))
def test_every_json_key_has_a_line(tree, indent):
    text = json.dumps(tree, indent=indent)
    lines, repeated = json_lines(text)
    assert set(lines) == set(paths(tree))
    assert repeated == []
    if indent is None:
        assert set(lines.values()) <= {1}
    else:
        for path, line in lines.items():
            if isinstance(path[-1], str):
                assert text.splitlines()[line - 1].lstrip().startswith(json.dumps(path[-1]) + ": ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1,\n"a": 2}', [(("a",), 2, 1)]),
        ('{"m": {"b": 1, "c": 0,\n\n"b": 2}, "b": 3}', [(("m", "b"), 3, 1)]),
        ('[{"a": 1}, {"a": 2}]', []),
        (r'{"a": 1, "\u0061": 2}', [(("a",), 1, 1)]),
    ],
)
def test_repeated_json_keys_are_found(text, expected):
    assert json_lines(text)[1] == expected
