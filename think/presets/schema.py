"""The settings tree as JSON Schema for editors: completion and documentation while a preset is written.

Editors for TOML (taplo) know draft 4, and a preset is partial (it extends another), so pydantic's schema is rewritten:
definitions instead of $defs, no required keys, draft-4 bounds and tuples, "none" in the place of null, and the header
keys added. `think preset check` remains the judge; the schema only helps to type.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from think.presets.arrange import OFF
from think.presets.catalog import HEADER_KEYS
from think.presets.docstrings import documentation

DRAFT = "http://json-schema.org/draft-04/schema#"
_DROPPED = ("required", "title", "discriminator", "acts_on", "may_change_on_resume")


def schema(into: type[BaseModel]) -> dict[str, Any]:
    """The schema of a preset file."""
    rewritten = _node(into.model_json_schema(schema_generator=_Documented))
    definitions = rewritten.pop("definitions", {})
    header = {key: {"type": "string", "description": about} for key, about in HEADER_KEYS.items()}
    header["parameters"] |= {"type": "integer", "minimum": 1}  # type: ignore[dict-item]
    rewritten["properties"] = {"$schema": {"type": "string"}, **header, **rewritten["properties"]}
    return {"$schema": DRAFT, **rewritten, "definitions": definitions}


class _Documented(GenerateJsonSchema):
    """What pydantic says of a class, with the documentation of its fields."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        for name, field in found.get("properties", {}).items():
            if about := documentation(schema["cls"], name):
                field["description"] = about
        return found


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    """One schema in draft 4."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("$defs", "properties"):
            found["definitions" if key == "$defs" else key] = {name: _node(child) for name, child in value.items()}
        elif key in ("oneOf", "anyOf"):
            found["anyOf"] = [_node(child) for child in value]  # kinds may overlap once nothing is required
        elif key == "prefixItems":
            found["items"] = [_node(child) for child in value]
        elif key in ("items", "additionalProperties") and isinstance(value, Mapping):
            found[key] = _node(value)
        elif key == "$ref":
            found["allOf"] = [{"$ref": value.replace("#/$defs/", "#/definitions/")}]  # siblings of $ref are ignored
        elif key == "const":
            found["enum"] = [value]
        elif key in ("exclusiveMinimum", "exclusiveMaximum"):
            found[key.removeprefix("exclusive").lower()] = value
            found[key] = True
        elif key == "default" and value is None:
            found[key] = OFF
        elif key not in _DROPPED:
            found[key] = value
    if found.get("type") == "null":
        return {"enum": [OFF]}
    if "acts_on" in node:
        found["description"] = f"{found.get('description', '')} (acts on: {node['acts_on']})".strip()
    return found
