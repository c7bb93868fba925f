"""What the code must not contain, read from its syntax trees: each rule is one function that yields offending lines."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "think"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
FAMILIES = (
    "core/data/sources",
    "core/data/puzzles/tasks",
    "core/models/mixers",
    "core/gates/checks",
    "core/training/stages",
)

Rule = Callable[[ast.AST], Iterator[int]]


def named(node: ast.AST) -> str:
    """The dotted name of an expression, empty when it is more than names and dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = named(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module or ''}.{alias.name}" for alias in node.names] + [node.module or ""]
    return []


def calls(node: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            yield named(inner.func), inner


def prints(tree: ast.AST) -> Iterator[int]:
    for name, call in calls(tree):
        if name in ("print", "pprint", "typer.echo", "typer.secho", "input", "typer.prompt", "typer.confirm"):
            yield call.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and named(node) in ("sys.stdout", "sys.stderr"):
            yield node.lineno


def reads_the_environment(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if named(node) in ("os.environ", "os.environb") or (
            isinstance(node, ast.Call) and named(node.func) == "os.getenv"
        ):
            yield node.lineno
        if {"os.environ", "os.getenv"} & set(imported(node)):
            yield node.lineno


def reads_arguments(tree: ast.AST) -> Iterator[int]:
    yield from (node.lineno for node in ast.walk(tree) if named(node) == "sys.argv")


def pickles(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if {name.partition(".")[0] for name in imported(node)} & {"pickle", "dill", "joblib", "shelve", "marshal"}:
            yield node.lineno
    for name, call in calls(tree):
        if name in ("torch.load", "torch.save", "pandas.read_pickle"):
            yield call.lineno
        if any(keyword.arg == "allow_pickle" for keyword in call.keywords):
            yield call.lineno


def swallows_keywords(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.args.kwarg is not None:
            yield node.lineno


def defaults_a_setting(tree: ast.AST) -> Iterator[int]:
    """`settings.get(key, default)` and `getattr(settings, key, default)`: the default would be a second truth."""
    for name, call in calls(tree):
        about = named(call.args[0]) if name == "getattr" and call.args else name.rpartition(".")[0]
        if not re.search(r"settings|preset|config|\.s$", about, re.IGNORECASE):
            continue
        if (name == "getattr" and len(call.args) == 3) or (name.endswith(".get") and len(call.args) == 2):
            yield call.lineno


def catches_everything(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and not _cleans_up(node):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or named(kind) in ("Exception", "BaseException") for kind in kinds):
                yield node.lineno


def _cleans_up(handler: ast.ExceptHandler) -> bool:
    """Whether it ends by raising the same error again."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def imports_click(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if any(name.partition(".")[0] == "click" for name in imported(node)):
            yield node.lineno


def seeds_the_world(tree: ast.AST) -> Iterator[int]:
    """Randomness comes from a generator that is handed in, or from core/seeding.py."""
    for name, call in calls(tree):
        if name in (
            "random.seed",
            "np.random.seed",
            "numpy.random.seed",
            "torch.manual_seed",
            "torch.cuda.manual_seed",
        ):
            yield call.lineno


def strings_instead_of_shapes(tree: ast.AST) -> Iterator[int]:
    """`from __future__ import annotations` would turn jaxtyping shapes into text that nobody checks."""
    names = [name for node in ast.walk(tree) for name in imported(node)]
    if any(name.startswith("jaxtyping") for name in names) and "__future__.annotations" in names:
        yield 1


RECORD_WRITERS = {"core/telemetry/writer.py", "core/training/ledger.py"}
"A telemetry record's fields are its keywords; records.py checks them by kind."

EXAMPLES = {"core/gates/checks/g1.py"}
"Its keywords make the variants of one example."

RULES: dict[str, tuple[Rule, str, set[str]]] = {
    "only the console prints": (prints, "", {"cli/console.py", "cli/progress.py", "cli/doctor.py", "cli/app.py"}),
    "no environment variable below the command line": (reads_the_environment, "core kernels presets", set()),
    "no argument vector below the command line": (reads_arguments, "core kernels presets", set()),
    "no pickle": (pickles, "", set()),
    "no keyword catch-all": (swallows_keywords, "core kernels presets", RECORD_WRITERS | EXAMPLES),
    "no second default of a setting": (defaults_a_setting, "", set()),
    "errors are caught by name": (catches_everything, "", {"cli/app.py"}),
    "typer carries its own click": (imports_click, "", set()),
    "random streams are seeded in one place": (seeds_the_world, "", {"core/seeding.py", "core/effects/laboratory.py"}),
    "shapes stay types": (strings_instead_of_shapes, "", set()),
}
"Rule: (finder, parts of the package it holds in, files that are its home)."


@pytest.mark.parametrize("rule", RULES)
def test_no_file_breaks_the_rule(rule):
    find, parts, homes = RULES[rule]
    broken = []
    for path in MODULES:
        relative = path.relative_to(PACKAGE).as_posix()
        if relative in homes or (parts and relative.partition("/")[0] not in parts.split()):
            continue
        broken += [f"think/{relative}:{line}" for line in find(ast.parse(path.read_text(encoding="utf-8")))]
    assert not broken, f"{rule}: {', '.join(broken)}"


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("only the console prints", "import sys\nsys.stderr.write('x')"),
        ("no environment variable below the command line", "from os import environ"),
        ("no argument vector below the command line", "import sys\nx = sys.argv[1]"),
        ("no pickle", "import torch\ntorch.load('x')"),
        ("no pickle", "import numpy\nnumpy.load('x', allow_pickle=True)"),
        ("no keyword catch-all", "def f(a, **kwargs): ..."),
        ("no second default of a setting", "x = self.settings.get('a', 1)"),
        ("no second default of a setting", "x = getattr(settings, 'a', 1)"),
        ("errors are caught by name", "try: ...\nexcept (ValueError, Exception): ..."),
        ("typer carries its own click", "from click import echo"),
        ("random streams are seeded in one place", "import torch\ntorch.manual_seed(1)"),
        ("shapes stay types", "from __future__ import annotations\nfrom jaxtyping import Float"),
    ],
)
def test_the_rule_finds_what_it_forbids(rule, text):
    assert list(RULES[rule][0](ast.parse(text)))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_says_what_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "a module begins with its docstring"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_plugin_has_a_one_line_summary_and_a_spec(family):
    for path in (PACKAGE / family).glob("[!_]*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        assert summary.endswith((".", ":")), f"{path.name}: the first line is shown in lists, so it is a sentence"
        assert len(summary) <= 120, f"{path.name}: the first line is shown in lists"
        assigned = {name for node in tree.body for name in _targets(node)}
        assert "SPEC" in assigned, f"{path.name} has no SPEC"


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [named(target) for target in node.targets]
    return [named(node.target)] if isinstance(node, ast.AnnAssign) else []


VERSIONED = re.compile(r"(^|_)(v\d+|new|old|final|temp|tmp|copy|legacy|misc|stuff|utils?|helpers?)(_|$)")


@pytest.mark.parametrize("folder", ["think", "tests", "benchmarks"])
def test_file_names_say_what_is_inside_and_not_when_it_was_made(folder):
    found = [path.name for path in (ROOT / folder).rglob("*.py") if VERSIONED.search(path.stem)]
    assert not found
