"""`think data reasoning`: problems with known answers, written as JSON lines."""

from pathlib import Path
from typing import Annotated

import typer

from think.cli.console import console
from think.cli.options import Json

DEFAULT_COUNT = 500
DEFAULT_SEED = 0


def _kinds(incomplete: str) -> list[str]:
    from think.core import plugins

    return [name for name in plugins.names("think.core.data.reasoning.kinds") if name.startswith(incomplete)]


def reasoning(
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="JSONL file to write.")],
    count: Annotated[int, typer.Option("--count", min=1, help="Problems to write.")] = DEFAULT_COUNT,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed gives other problems.")] = DEFAULT_SEED,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", autocompletion=_kinds, help="Only this kind of problem; may be repeated."),
    ] = None,
    gold_reports: Annotated[
        bool, typer.Option("--gold-reports/--no-gold-reports", help="Whether a correct worked report is included.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a different file of that name.")] = False,
    json: Json = False,
) -> None:
    """Write reasoning problems whose answers can be checked"""
    from collections import Counter
    from collections.abc import Iterator

    from think.core import durable
    from think.core.data.reasoning import records

    drawn: Counter[str] = Counter()
    with console.progress(count, "problems") as progress:

        def counted() -> Iterator[records.Record]:
            for record in records.generate(count, seed, kinds=kind or (), gold_reports=gold_reports):
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
