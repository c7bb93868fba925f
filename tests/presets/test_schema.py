"""The editor's schema: draft 4, partial files complete, and every real preset fits it."""

import tomllib
from typing import Any

import pytest

from think.core.settings import RunSettings
from think.presets import catalog
from think.presets.fields import leaves
from think.presets.schema import schema

SCHEMA = schema(RunSettings)
NOT_IN_DRAFT_4 = {"$defs", "const", "prefixItems", "discriminator", "required", "if", "contains", "propertyNames"}


def nodes(node: Any):
    if isinstance(node, dict):
        yield node
        for key, child in node.items():
            if key in ("properties", "definitions"):
                for inner in child.values():
                    yield from nodes(inner)
            elif key not in ("default", "enum"):
                yield from nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from nodes(child)


def test_nothing_is_beyond_draft_4():
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-04/schema#"
    for node in nodes(SCHEMA):
        assert not NOT_IN_DRAFT_4 & set(node)
        for bound in ("exclusiveMinimum", "exclusiveMaximum"):
            assert node.get(bound, True) is True
        if "$ref" in node:
            assert set(node) == {"$ref"}
            assert node["$ref"].removeprefix("#/definitions/") in SCHEMA["definitions"]


def fits(value: Any, node: dict[str, Any]) -> bool:
    """A validator for the part of draft 4 that the schema uses, written from the specification."""
    if "$ref" in node:
        return fits(value, SCHEMA["definitions"][node["$ref"].rpartition("/")[2]])
    if not all(fits(value, part) for part in node.get("allOf", [])):
        return False
    if "anyOf" in node and not any(fits(value, part) for part in node["anyOf"]):
        return False
    if "enum" in node and value not in node["enum"]:
        return False
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    if "type" in node and (
        not isinstance(value, kinds[node["type"]]) or (isinstance(value, bool) != (node["type"] == "boolean"))
    ):
        return False
    if isinstance(value, dict):
        known = node.get("properties", {})
        if node.get("additionalProperties") is False and set(value) - set(known):
            return False
        return all(fits(child, known[key]) for key, child in value.items() if key in known)
    if isinstance(value, list) and isinstance(node.get("items"), dict):
        return all(fits(child, node["items"]) for child in value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = node.get("minimum", -float("inf")), node.get("maximum", float("inf"))
        return (value > low if node.get("exclusiveMinimum") else value >= low) and (
            value < high if node.get("exclusiveMaximum") else value <= high
        )
    return True


@pytest.mark.parametrize("name", catalog.names())
def test_every_shipped_preset_fits(name):
    assert fits(tomllib.loads(catalog.find(name).file.read_text()), SCHEMA)


@pytest.mark.parametrize(
    "text",
    ["sumary = 'x'", "[model]\nwidht = 1", "[model]\nwidth = 0", "[model.mixer]\nkind = 'x'", "parameters = 'x'"],
)
def test_mistakes_do_not_fit(text):
    assert not fits(tomllib.loads(text), SCHEMA)


def test_a_partial_file_fits_and_off_is_sayable():
    assert fits({"model": {"anchors": "none"}, "extends": "cpu_smoke"}, SCHEMA)


def test_every_leaf_has_its_documentation_in_the_schema():
    described = {node["description"] for node in nodes(SCHEMA) if "description" in node}
    for leaf in leaves(RunSettings):
        assert any((leaf.documentation or "?") in text for text in described), leaf.dotted
