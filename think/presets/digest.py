"""One digest for equal settings, whatever file, format or spelling they came from.

sha256 over canonical JSON: keys sorted, no blanks, UTF-8, numbers in their shortest form (1, 1.0 and 1e0 are one
number, -0.0 is 0). The values decide, not what was written: a default that is spelt out changes nothing.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

LARGEST_EXACT = 2.0**53
"Up to here a whole float and its integer are the same number."


def digest(section: BaseModel | None) -> str:
    """Hex sha256 of one section, or of a whole settings tree."""
    return hashlib.sha256(canonical(section).encode("utf-8")).hexdigest()


def canonical(section: BaseModel | None) -> str:
    """The canonical JSON that is hashed."""
    tree = None if section is None else section.model_dump(mode="json")
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
