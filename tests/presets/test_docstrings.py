"""The string under a field is found where the class stands, in any of the ways that classes stand in files."""

from pydantic import create_model

from think.core.settings import RunSettings
from think.presets.base import Settings, knob
from think.presets.docstrings import documentation
from think.presets.fields import leaves


class Outer:
    class Inner(Settings):
        depth: int = knob(1, acts_on="graph")
        """steps from the root,
        counted from one"""
        plain: int = knob(1, acts_on="graph")


class Heir(Outer.Inner):
    plain: int = knob(2, acts_on="graph")
    "said by the heir"


def test_a_string_of_several_lines_is_one_line() -> None:
    assert documentation(Outer.Inner, "depth") == "steps from the root, counted from one"


def test_a_field_without_a_string_has_none_and_an_heir_has_its_own() -> None:
    assert documentation(Outer.Inner, "plain") == ""
    assert documentation(Heir, "plain") == "said by the heir"
    assert documentation(Heir, "depth") == "steps from the root, counted from one"


def test_a_class_in_a_function_and_one_that_no_source_declares() -> None:
    class Local(Settings):
        width: int = knob(1, acts_on="graph")
        "of a local class"

    assert documentation(Local, "width") == "of a local class"
    assert documentation(create_model("Made", __base__=Local), "width") == "of a local class"
    assert documentation(create_model("Made", height=(int, 1)), "height") == ""


def test_every_setting_is_documented() -> None:
    assert [leaf.dotted for leaf in leaves(RunSettings) if not leaf.documentation] == []
