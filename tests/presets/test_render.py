"""Rendering loses nothing, comparing finds every change, explaining tells the truth, equal settings digest alike."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, NonNegativeInt

from think.presets.base import Settings, knob
from think.presets.decode import Resolved, decode
from think.presets.digest import canonical, digest, intact
from think.presets.positions import toml_lines
from think.presets.problems import SettingsError
from think.presets.render import ABSENT, as_toml, diff, explain
from think.presets.sources import read


class Square(Settings):
    """One form."""

    kind: Literal["square"] = "square"
    side: float = knob(1.0, acts_on="graph")
    "metres"


class Circle(Settings):
    """Another form."""

    kind: Literal["circle"] = "circle"
    radius: float = knob(acts_on="graph", may_change_on_resume=True)
    "metres"
    side: float = knob(2.0, acts_on="graph")
    "metres"


Form = Annotated[Square | Circle, Field(discriminator="kind")]


class Inner(Settings):
    """A table in a table."""

    note: str | None = knob(None, acts_on="data")
    "said"
    path: Path = knob(Path("x"), acts_on="data")
    "where"
    pair: tuple[int, float] = knob((1, 2.0), acts_on="data")
    "two"
    weights: dict[str, float] = knob({}, acts_on="data")
    "free names"
    forms: list[Form] = knob([], acts_on="data")
    "many"


class Tree(Settings):
    """A settings tree with one of everything."""

    count: NonNegativeInt = knob(3, acts_on="schedule")
    "how many"
    threads: Literal["auto"] | int = knob("auto", acts_on="runtime")
    "threads"
    form: Form = Circle(radius=4.0)
    "form"
    inner: Inner = Field(default_factory=Inner)
    "inner"
    extra: Inner | None = None
    "off unless wanted"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
FORM = st.builds(Square, side=NUMBER) | st.builds(Circle, radius=NUMBER, side=NUMBER)
INNER = st.builds(
    Inner,
    note=st.none() | TEXT.filter(lambda text: text != "none"),  # which is how a preset writes None
    path=st.sampled_from([Path("a/b"), Path("/c d"), Path('"'), Path("ü")]),
    pair=st.tuples(st.integers(), NUMBER),
    weights=st.dictionaries(TEXT, NUMBER, max_size=3),
    forms=st.lists(FORM, max_size=3),
)
TREES = st.builds(
    Tree,
    count=st.integers(0, 10**18),
    threads=st.just("auto") | st.integers(),
    form=FORM,
    inner=INNER,
    extra=st.none() | INNER,
)


def resolve(tree: Settings) -> Resolved[Any]:
    return decode(read(None, flags=tree.model_dump(mode="json")), type(tree))


def resolve_text(folder: Path, text: str, name: str = "x.toml") -> Resolved[Any]:
    (folder / name).write_text(text, encoding="utf-8")
    return decode(read(folder / name), Tree)


@given(TREES)
def test_a_rendered_tree_reads_back_as_an_equal_one(tmp_path_factory, tree):
    resolved = resolve(tree)
    assert resolved.settings == tree
    again = resolve_text(tmp_path_factory.mktemp("render"), as_toml(resolved))
    assert again.settings == tree
    assert again.digests == resolved.digests
    assert diff(resolved, again) == []


@given(TREES)
def test_each_section_of_a_rendered_tree_is_sealed(tree):
    text = as_toml(resolve(tree))
    sections = {"form", "inner"} | ({"extra"} if tree.extra else set())
    assert intact(text) == sections
    assert intact(text.replace("\n[inner]\n", "\n# a remark\n\n[inner]\n")) == sections
    assert intact(text.replace("pair = [", "pair = [1, ", 1)) != sections


def test_every_rendered_leaf_carries_its_origin(tmp_path):
    (tmp_path / "base.toml").write_text('summary = "base"\n[inner]\npair = [1, 2]\n')
    top = tmp_path / "top.toml"
    top.write_text('summary = "top"\nparameters = 5\nextends = "base.toml"\ncount = 7\n')
    resolved = decode(read(top, ["form.side=3"]), Tree)
    text = as_toml(resolved)
    lines = text.splitlines()
    assert f"count = 7  # {top}:4" in lines
    assert f"pair = [1, 2.0]  # {tmp_path}/base.toml:3" in lines
    assert "side = 3.0  # --set form.side" in lines
    assert "radius = 4.0  # default" in lines
    assert 'extra = "none"  # default' in lines
    assert f"# digest {resolved.digests['inner']}" in lines
    assert lines[2:4] == ['summary = "top"', "parameters = 5"]
    leaves = {".".join(map(str, path)) for path in toml_lines(text)}
    assert set(resolved.origins) <= leaves, "every leaf is written, the default ones too"


def test_a_hostile_file_name_cannot_break_out_of_its_comment(tmp_path):
    resolved = resolve_text(tmp_path, "count = 1\n", name="x\ncount = 9 #.toml")
    assert resolve_text(tmp_path, as_toml(resolved)).settings.count == 1


def test_differences_name_both_values_both_origins_and_the_channel(tmp_path):
    left = resolve_text(tmp_path, 'count = 1\n[form]\nkind = "square"\n[inner]\npair = [1, 2]', "left.toml")
    right = resolve_text(tmp_path, "[form]\nside = 1.0\n[inner]\npair = [1, 2.0]", "right.toml")
    found = {one.key: (one.left, one.right, str(one.left_origin), str(one.right_origin)) for one in diff(left, right)}
    assert found == {
        "count": (1, 3, f"{tmp_path}/left.toml:1", "default"),
        "form.kind": ("square", "circle", f"{tmp_path}/left.toml:3", "default"),
        "form.radius": (ABSENT, 4.0, "None", "default"),
    }
    facts = {one.key: (one.channel, one.may_change_on_resume) for one in diff(left, right)}
    assert facts["form.radius"] == ("graph", True)
    assert facts["count"] == ("schedule", False)


@given(TREES, TREES)
def test_two_trees_differ_exactly_when_something_is_found_to_differ(one, other):
    assert (diff(resolve(one), resolve(other)) == []) == (one == other)


def test_an_explanation_tells_value_shadows_default_and_what_was_dropped(tmp_path):
    (tmp_path / "base.toml").write_text('count = 1\n[form]\nkind = "circle"\nradius = 3.0\n')
    (tmp_path / "top.toml").write_text('extends = "base.toml"\ncount = 2\n[form]\nkind = "square"\n')
    resolved = decode(read(tmp_path / "top.toml"), Tree)
    (count,) = explain(Tree, "count", resolved)
    assert (count.documentation, count.allowed, count.channel) == ("how many", "a whole number, at least 0", "schedule")
    assert (count.default, count.required) == (3, False)
    assert [(value.raw, str(value.origin)) for value in count.history] == [
        (2, f"{tmp_path}/top.toml:2"),
        (1, f"{tmp_path}/base.toml:1"),
    ]
    (radius,) = explain(Tree, "form.radius", resolved)
    assert (radius.kinds, radius.history) == ({"form": ["circle"]}, [])
    assert [gone.value.raw for gone in radius.dropped] == [3.0]


def test_a_default_of_a_table_is_the_default_of_its_keys():
    sides = {one.kinds["form"][0]: one for one in explain(Tree, "form.side")}
    assert {kind: one.default for kind, one in sides.items()} == {"square": 1.0, "circle": 2.0}
    (radius,) = explain(Tree, "form.radius")
    assert (radius.default, radius.required) == (4.0, False)


def test_a_table_is_explained_key_by_key():
    assert {one.key for one in explain(Tree, "inner")} == {f"inner.{name}" for name in Inner.model_fields}


@pytest.mark.parametrize(
    ("key", "remedy"), [("coumt", "did you mean count?"), ("radius", "did you mean form.radius?"), ("iner", "inner")]
)
def test_an_unknown_key_gets_the_nearest(key, remedy):
    with pytest.raises(SettingsError) as caught:
        explain(Tree, key)
    assert remedy in (caught.value.remedy or "")


def test_equal_settings_have_equal_digests_whatever_their_source(tmp_path):
    toml = resolve_text(tmp_path, "count = 3\n[inner]\npair = [1, 2]\n[form]\nradius = 4e0\n")
    (tmp_path / "x.json").write_text('{"form": {"kind": "circle", "radius": 4}}')
    sources = [
        toml,
        decode(read(tmp_path / "x.json"), Tree),
        decode(read(None, ["inner.pair=[1, 2.0]"]), Tree),
        decode(read(None, [], {"THINK_FORM__RADIUS": "4"}), Tree),
        resolve(Tree()),
    ]
    assert len({json.dumps(one.digests) for one in sources}) == 1
    assert len({digest(one.settings) for one in sources}) == 1


def test_a_section_s_digest_does_not_depend_on_its_neighbours():
    one, other = resolve(Tree()), resolve(Tree(form=Square()))
    assert one.digests["inner"] == other.digests["inner"]
    assert one.digests["form"] != other.digests["form"]


@given(TREES, TREES)
def test_digests_are_equal_exactly_for_equal_settings(one, other):
    assert (digest(one) == digest(other)) == (one == other)


def test_canonical_form_is_fixed():
    """The digests of stored runs hang on this text."""
    assert canonical(Square(side=0.1)) == '{"kind":"square","side":0.1}'
    assert canonical(Square(side=1e22)) == '{"kind":"square","side":1e+22}'
    assert canonical(Square(side=-0.0)) == '{"kind":"square","side":0}'
    assert canonical(None) == "null"
