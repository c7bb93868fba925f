"""Documents and set-up files agree with the code: commands exist, links resolve, versions are exact."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from think.cli import lazy
from think.cli.app import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "think").rglob("*.md")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FENCE = re.compile(r"^```(?:sh|bash|console)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands_in(path: Path) -> list[list[str]]:
    """Words of each `think …` and `make …` line in the shell fences of a document."""
    found = []
    for block in FENCE.findall(path.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s#.*", "", line.strip().removeprefix("$ ")).strip()
            if line.split(" ")[0] in ("think", "make"):
                found.append(shlex.split(line.replace("…", "...")))
    return found


SHOWN = [(path.relative_to(ROOT).as_posix(), words) for path in DOCUMENTS for words in commands_in(path)]


@pytest.mark.parametrize(
    ("document", "words"), SHOWN, ids=lambda value: value if isinstance(value, str) else "_".join(value)
)
def test_a_command_in_a_document_exists_with_its_options(document, words):
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert all(word in targets for word in words[1:] if "=" not in word), f"{document}: {' '.join(words)}"
        return
    rest = words[1:]
    if not rest or rest[0].startswith("-"):
        return
    assert rest[0] in COMMANDS, f"{document}: there is no command {rest[0]!r}"
    command, path = lazy.load(rest[0], COMMANDS[rest[0]].target), rest.pop(0)
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        # the group itself says what the words mean: `think gate g0` is `think gate judge g0`
        context = command.make_context(path, rest, resilient_parsing=True)
        name, rest = context._protected_args[0], [*context.args]
        assert name in command.commands, f"{document}: think {path} has no {name!r}"
        command, path = command.commands[name], f"{path} {name}"
    options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    for word in rest:
        if word.startswith("--") and word not in ("--", "--help"):
            assert word.partition("=")[0] in options, f"{document}: think {path} has no {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_to_files_resolve(document):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (document.parent / target).exists(), f"{document.name}: {target} does not exist"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_into_the_code_exist(document):
    if document.name == "CHANGELOG.md" or "decisions" in document.parts:
        return  # what they tell was true on its day
    for path in re.findall(r"`((?:think|tests|docs|benchmarks)/[\w/.-]+\.\w+)`", document.read_text(encoding="utf-8")):
        if not any(word in path for word in ("NAME", "NNNN")):
            assert (ROOT / path).exists(), f"{document.name}: {path} does not exist"


def test_constraints_are_exact_and_cover_every_dependency():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, separator, version = line.partition("==")
            assert separator, f"{line!r} is no exact version"
            assert re.fullmatch(r"[0-9][0-9a-z.]*(post\d+)?", version), f"{line!r}: no local builds, hashes or paths"
            pinned[_canonical(name)] = version
    assert pinned["torch"] == "2.13.0"
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in wanted:
        name = _canonical(re.split(r"[<>=!\[; ]", requirement)[0])
        assert name in pinned, f"{name} is not in constraints.txt"
    for requirement in PROJECT["build-system"]["requires"]:
        name, _, version = requirement.partition("==")
        assert pinned[_canonical(name)] == version, "the build uses the version of constraints.txt"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_changelog_tells_of_this_version():
    assert f"## {PROJECT['project']['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


PRIVATE = re.compile(r"(?<![\w.])/(?:home|root|Users|work|opt)/\w|index-url|extra-index|find-links|localhost:\d")


def test_no_machine_path_and_no_package_index_stands_in_the_repository():
    found = []
    for path in tracked():
        if path.suffix in (".md", ".py", ".toml", ".txt", ".cfg", "") and path != Path(__file__) and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{path.relative_to(ROOT)}: {hit.group()}" for hit in PRIVATE.finditer(text)]
    assert not found


def test_no_large_or_binary_file_is_tracked():
    for path in tracked():
        if path.is_file():
            assert path.stat().st_size < 512 * 1024, f"{path} is large"
            assert b"\0" not in path.read_bytes()[:4096], f"{path} is binary"
