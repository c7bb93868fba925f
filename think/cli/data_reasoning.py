"""`think data reasoning`: problems and puzzles with known answers, written as JSON lines, and files of them checked."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.options import Json
from think.core.errors import UsageError

if TYPE_CHECKING:
    from think.core.data.reasoning.records import Record

TaskSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting of the task, such as length=7; may be repeated."),
]

DEFAULT_COUNT = 500
DEFAULT_SEED = 0


def _names() -> tuple[list[str], list[str]]:
    from think.core import plugins

    return plugins.names("think.core.data.reasoning.kinds"), plugins.names("think.core.data.puzzles.tasks")


def _kinds(incomplete: str) -> list[str]:
    return [name for names in _names() for name in names if name.startswith(incomplete)]


def _splits(incomplete: str) -> list[str]:
    from think.core.data.puzzles import SPLITS

    return [name for name in SPLITS if name.startswith(incomplete)]


def reasoning(
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="JSONL file to write.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Problems to write.")] = DEFAULT_COUNT,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed gives other problems.")] = DEFAULT_SEED,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", autocompletion=_kinds, help="Kinds of problem (repeat it), or one task of puzzles."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", autocompletion=_splits, help="Of puzzles: train, validation or test."),
    ] = None,
    task_settings: TaskSettings = None,
    gold_reports: Annotated[
        bool, typer.Option("--gold-reports/--no-gold-reports", help="Whether a correct worked report is included.")
    ] = True,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Check every line of a file; writes nothing.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a different file of that name.")] = False,
    json: Json = False,
) -> None:
    """Write reasoning problems whose answers can be checked, or check a file of them"""
    if check is not None:
        _check(check, output)
        return
    if output is None:
        raise UsageError("neither --output nor --check is given", expected="a file to write, or one to check")
    from think.core import durable
    from think.core.data.reasoning import records

    drawn: Counter[str] = Counter()
    with console.progress(count, "problems") as progress:

        def counted() -> Iterator["Record"]:
            for record in _drawn(kind or [], count, seed, split, task_settings, gold_reports):
                drawn[record["kind"]] += 1
                progress.advance()
                yield record

        written = records.write(counted(), output, force=force)
    digest = durable.sha256_of(output)
    console.result(
        "think.data.reasoning/1",
        {"file": str(output), "count": count, "seed": seed, "kinds": drawn, "sha256": digest, "written": written},
        "\n".join(
            [
                f"{output}: {count} problems, seed {seed}" + ("" if written else " (the file held them already)"),
                *(f"  {number:6d} {name}" for name, number in sorted(drawn.items())),
                f"  sha256 {digest}",
            ]
        ),
    )


def _drawn(
    kinds: list[str], count: int, seed: int, split: str | None, changes: list[str] | None, gold_reports: bool
) -> Iterator["Record"]:
    """Records of kinds of problem in turn, or of one task of puzzles."""
    from think.core.data import puzzles
    from think.core.data.puzzles.choice import settings_for
    from think.core.data.puzzles.records import generate
    from think.core.data.reasoning import records

    _, tasks = _names()
    chosen = [kind for kind in kinds if kind in tasks]
    if not chosen:
        if split is not None or changes:
            raise UsageError(
                f"{'--split' if split is not None else '--set'} is for puzzles",
                expected=f"--kind with one of {', '.join(tasks)}",
            )
        return records.generate(count, seed, kinds=kinds, gold_reports=gold_reports)
    if len(kinds) > 1:
        raise UsageError("one file holds puzzles of one task", where="--kind", expected="a single --kind")
    settings = settings_for(chosen[0], task_changes(changes))
    part = next((name for name in puzzles.SPLITS if name == (split or "train")), None)
    if part is None:
        raise UsageError(
            f"there is no split {split!r}", where="--split", expected=f"one of {', '.join(puzzles.SPLITS)}"
        )
    return generate(chosen[0], settings, part, count, seed)


def task_changes(changes: list[str] | None) -> dict[str, Any]:
    """`--set KEY=VALUE` as settings of a task; values are TOML literals, a bare word is a text."""
    from think.presets.literals import parse_change, parse_value

    found: dict[str, Any] = {}
    for given in changes or []:
        pair = parse_change(given)
        if pair is None or len(pair[0]) != 1:
            raise UsageError(f"{given!r} does not change a setting", where="--set", expected="KEY=VALUE")
        found[str(pair[0][0])] = parse_value(pair[1])
    return found


def _check(file: Path, output: Path | None) -> None:
    from think.core.data.puzzles.records import check

    if output is not None:
        raise UsageError("--check writes nothing", where="--output", expected="one of --check and --output")
    found = check(file)
    total = sum(found.values())
    lines = [f"{file}: {total} records, all sound", *(f"  {n:6d} {name}" for name, n in sorted(found.items()))]
    data = {"file": str(file), "count": total, "kinds": found}
    console.result("think.data.reasoning.check/1", data, "\n".join(lines))
