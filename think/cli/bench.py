"""`think bench`: how fast kernels and training steps are on this machine."""

import ast
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from think.cli.console import console
from think.cli.options import Changes, Json, Preset

if TYPE_CHECKING:
    from think.core.training.speed import StepSpeed
    from think.kernels.bench import Timing

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Time kernels and training steps on this machine")

COLUMNS = ("kernel", "size", "implementation", "forward ms", "[min-max]", "+ backward ms", "[min-max]", "x reference")


@app.callback()
def bench() -> None:
    """Time kernels and training steps on this machine."""


def _operators(incomplete: str) -> list[str]:
    from think.kernels.choose import operators

    return [name for name in operators() if name.startswith(incomplete)]


def _suite() -> dict[str, Path]:
    """The scripts of benchmarks/ by name; empty where think is not run from a checkout."""
    folder = Path(__file__).parents[2] / "benchmarks"
    return {path.stem: path for path in folder.glob("[!_]*.py")}


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def _first_line(path: Path) -> str:
    """The first sentence of what a script says about itself."""
    return " ".join(_docstring(path).partition("\n\n")[0].split()).partition(": ")[0].rstrip(".")


def _arguments(path: Path) -> str:
    """What a script cannot run without: the words of its usage that stand outside brackets."""
    usage = re.search(rf"python benchmarks/{path.name}(.*(?:\n {{10,}}.*)*)", _docstring(path))
    return " ".join(re.sub(r"\[[^\]]*\]", "", usage[1] if usage else "").split())


def _scripts(incomplete: str) -> list[str]:
    return [name for name in ("all", *sorted(_suite())) if name.startswith(incomplete)]


@app.command()
def kernels(
    operator: Annotated[
        list[str] | None,
        typer.Option("--kernel", metavar="NAME", autocompletion=_operators, help="Only this one; may be repeated."),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", metavar="N", help="Alternating rounds, at least 7; the default.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="Processor threads; every core by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Time every implementation of every kernel, in alternating rounds."""
    from think.core.device import available_cores
    from think.core.errors import UsageError
    from think.kernels import choose
    from think.kernels.bench import FEWEST_ROUNDS, SIZES, measure

    known = choose.operators()
    for name in operator or ():
        if name not in known:
            raise UsageError(f"there is no kernel named {name!r}", expected=f"one of {', '.join(known)}")
    rounds = FEWEST_ROUNDS if rounds is None else rounds
    if rounds < FEWEST_ROUNDS:
        raise UsageError(f"--rounds {rounds} is too few for a median", expected=f"at least {FEWEST_ROUNDS}")
    asked = [(name, size, resets) for name in operator or known for size in SIZES for resets in (False, True)]
    rows: list[Timing] = []
    with console.progress(len(asked), "timing kernels") as progress:
        for name, size, resets in asked:
            rows += measure(name, size, rounds=rounds, resets=resets, threads=threads or available_cores())
            progress.advance(note=f"{name}, {size.name}")
    console.result("think.bench-kernels/1", [asdict(row) for row in rows], lambda: _kernel_table(rows))


@app.command()
def step(
    preset: Preset = None,
    changes: Changes = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Timed steps, at least 7; the default.")
    ] = None,
    json: Json = False,
) -> None:
    """Time training steps of a preset on made-up tokens: latency, tokens per second, resident memory."""
    from think.cli import environment
    from think.cli.settings import announce, load
    from think.core import device
    from think.core.errors import UsageError
    from think.core.training.speed import FEWEST_STEPS, WARM_UP, measure

    if preset is None:
        raise UsageError("no preset was given", expected="--preset NAME|FILE", remedy="think preset list")
    steps = FEWEST_STEPS if steps is None else steps
    if steps < FEWEST_STEPS:
        raise UsageError(f"--steps {steps} is too few for a median", expected=f"at least {FEWEST_STEPS}")
    resolved = load(preset, changes)
    announce(resolved)
    settings = resolved.settings
    machine = device.resolve(environment.prefer(settings.runtime))
    with console.progress(steps + WARM_UP, f"timing {steps} steps") as progress:
        speed = measure(settings.model, settings.stage1, machine, steps=steps, watcher=progress.advance)
    console.result("think.bench-step/1", {"preset": preset, **asdict(speed)}, lambda: _describe(preset, speed))


@app.command()
def suite(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Scripts to run, or all; a list without any.", autocompletion=_scripts
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List or run the benchmarks of a checkout; each prints a table and writes JSON to benchmarks/results."""
    import subprocess
    import sys

    from think.core.errors import Missing, ThinkError, UsageError

    known = _suite()
    if not known:
        raise Missing(
            "the benchmarks are not installed with think",
            expected="a checkout, whose folder benchmarks/ holds them",
            remedy="think bench kernels, or think bench step --preset NAME",
        )
    alone = [name for name in sorted(known) if not _arguments(known[name])]
    wanted = alone if names == ["all"] else names or []
    for name in wanted:
        if name not in known:
            raise UsageError(f"there is no benchmark named {name!r}", expected=f"all, or of {', '.join(sorted(known))}")
        if name not in alone:
            raise UsageError(
                f"benchmark {name!r} needs arguments: {_arguments(known[name])}",
                remedy=f"python benchmarks/{name}.py --help",
            )
    if not wanted:
        rows = [(name, _first_line(path), _arguments(path)) for name, path in sorted(known.items())]
        data = [{"name": name, "measures": line, "needs": needs} for name, line, needs in rows]
        console.result("think.bench-suite/1", data, lambda: console.table(("name", "measures", "needs"), rows))
        return
    for name in wanted:
        console.note(f"benchmarks/{name}.py")
        done = subprocess.run([sys.executable, str(known[name])], check=False, stdout=2 if json else None)
        if done.returncode:
            raise ThinkError(f"it ended with exit code {done.returncode}", where=f"benchmarks/{name}.py")
    console.result("think.bench-suite/1", [{"name": name, "ran": True} for name in wanted])


def _kernel_table(rows: "list[Timing]") -> None:
    console.table(
        COLUMNS,
        [
            (
                row.operator,
                row.case,
                row.implementation,
                f"{row.forward:.2f}",
                f"[{row.forward_least:.2f}-{row.forward_most:.2f}]",
                f"{row.both:.2f}",
                f"[{row.both_least:.2f}-{row.both_most:.2f}]",
                f"{row.speed_up:.1f}",
            )
            for row in rows
        ],
        title=f"medians of {rows[0].rounds} alternating rounds, {rows[0].threads} threads",
    )


def _describe(preset: str, speed: "StepSpeed") -> str:
    kernels = ", ".join(f"{operator} {name}" for operator, name in speed.kernels.items())
    return "\n".join(
        (
            f"{preset}: {speed.parameters:,} parameters, {speed.rows} rows x {speed.length} tokens, {speed.precision}, "
            f"{speed.device}, {speed.threads} threads; {kernels}",
            f"step      {speed.median:.1f} ms [{speed.least:.1f}-{speed.most:.1f}], median of {speed.steps}",
            f"speed     {speed.tokens_per_second:,.0f} tokens/s",
            f"resident  {speed.resident:,.0f} MiB at most, {speed.resident_before:,.0f} MiB before the model",
        )
    )
