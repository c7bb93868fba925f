"""The string under a field is its documentation. It is read from the source when somebody asks for it.

pydantic would read all of them whenever a class is made: a quarter of the time that the settings take to import.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path


def documentation(owner: type, field: str) -> str:
    """What stands under a field of a settings class, or of one that it inherits from, in one line; "" for nothing."""
    for cls in owner.__mro__:
        if field in (found := documented(cls)):
            return found[field]
    return ""


@cache
def documented(cls: type) -> Mapping[str, str]:
    """The fields that a class itself declares with a string under them. None of a class that no source declares."""
    return _of_module(cls.__module__).get(cls.__qualname__, {})


@cache
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """By class, as Python qualifies its name."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if (not name.startswith("think.") and not name.startswith("tests.")) or file is None:
        return {}
    return dict(_classes(ast.parse(Path(file).read_text(encoding="utf-8")), ""))


def _classes(node: ast.AST, within: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield within + child.name, _fields(child)
            yield from _classes(child, f"{within}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            yield from _classes(child, f"{within}{child.name}.<locals>.")
        else:
            yield from _classes(child, within)


def _fields(node: ast.ClassDef) -> dict[str, str]:
    found = {}
    for one, below in zip(node.body, node.body[1:], strict=False):
        match one, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found
