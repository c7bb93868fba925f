"""The folder is the registry.

A family is a package; its members are the modules in it whose names do not begin with an underscore. Names are listed
without importing anything, so listing stays fast; `load` imports one module and takes its `SPEC`. Adding a member is
adding a file: nothing here or elsewhere is edited.
"""

import ast
import difflib
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from think.core.errors import UsageError


def folder(family: str) -> Path:
    """The folder of a family, named as a package, such as `think.core.models.mixers`; imports its parents only."""
    spec = importlib.util.find_spec(family)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(family)
    return Path(next(iter(spec.submodule_search_locations)))


def names(family: str) -> list[str]:
    """Sorted names of the members of a family."""
    return sorted(path.stem for path in folder(family).glob("*.py") if not path.stem.startswith("_"))


def summary(family: str, name: str) -> str:
    """First line of a member's docstring, read without importing it."""
    text = ast.get_docstring(ast.parse((folder(family) / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def load(family: str, name: str) -> Any:
    """The `SPEC` of one member. Raises UsageError with the nearest and all names when there is no such file."""
    available = names(family)
    if name not in available:
        nearest = difflib.get_close_matches(name, available, n=1)
        raise UsageError(
            f"there is no {family.rpartition('.')[2].rstrip('s')} named {name!r}",
            expected=f"one of {', '.join(available)}",
            remedy=f"did you mean {nearest[0]!r}?" if nearest else None,
        )
    return importlib.import_module(f"{family}.{name}").SPEC
