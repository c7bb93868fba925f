"""One digest for equal settings, whatever file, format or spelling they came from.

sha256 over canonical JSON: keys sorted, no blanks, UTF-8, numbers in their shortest form (1, 1.0 and 1e0 are one
number, -0.0 is 0). The values decide, not what was written: a default that is spelt out changes nothing.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_WRITTEN = re.compile(r"^\[(\w+)\]\n# digest ([0-9a-f]{64})$", re.MULTILINE)
"The line with which `render.as_toml` seals a section."

LARGEST_EXACT = 2.0**53
"Up to here a whole float and its integer are the same number."


def digest(section: BaseModel | None) -> str:
    """Hex sha256 of one section, or of a whole settings tree."""
    return _hash(canonical(section))


def canonical(section: BaseModel | None) -> str:
    """The canonical JSON that is hashed."""
    tree = None if section is None else section.model_dump(mode="json")
    return _canonical(tree)


def intact(text: str) -> set[str]:
    """Sections of a rendered preset that still hold what was rendered: their values give the digest that they carry.

    What the sections mean plays no part, so a later version with other defaults finds them as intact as this one.
    """
    tree = tomllib.loads(text)
    return {section for section, held in _WRITTEN.findall(text) if _hash(_canonical(_read(tree[section]))) == held}


def _read(node: Any) -> Any:
    """Rendered values as they were: the word "none" stands for what TOML has no value for."""
    if isinstance(node, dict):
        return {key: _read(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_read(value) for value in node]
    return None if node == "none" else node


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _canonical(tree: Any) -> str:
    return json.dumps(plain(tree), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plain(node: Any) -> Any:
    """JSON data with one spelling for each number."""
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [plain(value) for value in node]
    if isinstance(node, float) and abs(node) <= LARGEST_EXACT and node == int(node):
        return int(node)
    return node
