"""`think eval`: tasks with exact answers, as a command for each family; it trains what it is asked to test."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.eval_identity import identity
from think.cli.eval_page import page
from think.cli.eval_reasoning import reasoning
from think.cli.eval_steering import steering
from think.cli.eval_studies import studies
from think.cli.eval_sweep import sweep
from think.cli.options import Changes, Json, Preset
from think.core.errors import UsageError

if TYPE_CHECKING:
    from think.core.data.tasks import Family
    from think.core.eval.scoring import Score
    from think.core.eval.summary import AtSize
    from think.core.eval.tasks import Result
    from think.core.runs import RunFolder
    from think.core.settings import RunSettings
    from think.presets.decode import Resolved

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Test what models can do: solve puzzles, follow a state, find again what they saw",
)
app.command()(reasoning)
app.command()(sweep)
app.command()(identity)
app.command()(steering)
app.command()(page)
app.command()(studies)


def _names(incomplete: str) -> list[str]:
    from think.core import plugins
    from think.core.data import tasks

    return [name for name in plugins.names(tasks.FAMILY) if name.startswith(incomplete)]


Task = Annotated[
    str | None, typer.Argument(metavar="[TASK]", autocompletion=_names, help="Which task; `think eval list` has all.")
]
Runs = Annotated[
    list[str] | None,
    typer.Option("--run", metavar="RUN", help="A run that was trained on a task; trains nothing. May be repeated."),
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Optimizer steps; the preset's when absent.")]
Seeds = Annotated[str | None, typer.Option("--seeds", metavar="0,1,2", help="One training with each; 0 when absent.")]
Sizes = Annotated[
    str | None, typer.Option("--sizes", metavar="40,64,128", help="Sizes to test at; the task's own when absent.")
]
Rows = Annotated[int | None, typer.Option("--rows", min=2, help="Test rows of each size; 512 when absent.")]


@app.command()
def tracking(
    task: Task = None,
    preset: Preset = None,
    changes: Changes = None,
    steps: Steps = None,
    seeds: Seeds = None,
    run: Runs = None,
    sizes: Sizes = None,
    rows: Rows = None,
    json: Json = False,
) -> None:
    """Follow a state: train on short sequences, test on longer ones (parity, z5, s3, s5)."""
    _evaluate("tracking", task, preset, changes, steps, seeds, run, sizes, rows)


@app.command()
def recall(
    task: Task = None,
    preset: Preset = None,
    changes: Changes = None,
    steps: Steps = None,
    seeds: Seeds = None,
    run: Runs = None,
    sizes: Sizes = None,
    rows: Rows = None,
    json: Json = False,
) -> None:
    """Find again what was seen: pairs, texts, tables (mqar, copying, pointer_chase)."""
    _evaluate("recall", task, preset, changes, steps, seeds, run, sizes, rows)


@app.command("list")
def list_tasks(json: Json = False) -> None:
    """List the tasks: sizes, guessing, and what theory says of each architecture."""
    from think.core import plugins
    from think.core.data import tasks

    found = []
    for name in plugins.names(tasks.FAMILY):
        task = tasks.load(name)
        found.append(
            {
                "task": name,
                "family": task.family,
                "summary": plugins.summary(tasks.FAMILY, name),
                "symbols": task.symbols,
                "size": task.size,
                "trained": list(task.trained),
                "tested": list(task.tested),
                "chance": {str(size): task.chance(size) for size in task.tested},
                "theory": [
                    {"architecture": one.architecture, "says": one.says, "source": one.source}
                    for one in task.predictions
                ],
            }
        )
    console.result("think.eval.list/1", found, lambda: _show_tasks(found))


def _evaluate(
    family: "Family",
    name: str | None,
    preset: str | None,
    changes: list[str] | None,
    steps: int | None,
    seeds: str | None,
    runs: list[str] | None,
    sizes: str | None,
    rows: int | None,
) -> None:
    from think.core.eval.tasks import ROWS

    at = None if sizes is None else sorted(set(_numbers("--sizes", sizes, least=1)))
    count = ROWS if rows is None else rows
    if runs:
        given = {"--preset": preset, "--set": changes, "--steps": steps, "--seeds": seeds}
        for option, value in given.items():
            if value is not None:
                raise UsageError(
                    f"{option} says how to train, and --run names what was trained", remedy="leave one of the two out"
                )
        folders = _open(family, name, runs)
    else:
        if name is None or preset is None:
            raise UsageError(
                "there is nothing to test",
                expected="a TASK and a --preset to train, or a --run that was trained on one",
                remedy=f"think eval {family} {_names('')[0]} --preset NAME, or think eval list",
            )
        _require_family(family, name)
        folders = [
            _train(name, preset, changes, steps, seed)
            for seed in ([0] if seeds is None else _numbers("--seeds", seeds, least=0))
        ]
    _answer([_test(folder, at, count) for folder in folders])


def _require_family(family: "Family", name: str) -> None:
    from think.core.data import tasks

    found = tasks.load(name).family
    if found != family:
        raise UsageError(f"{name} is a task of {found}, not of {family}", remedy=f"think eval {found} {name} …")


def _numbers(option: str, text: str, *, least: int) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < least:
        raise UsageError(
            f"{text!r} is no list of whole numbers from {least} on", where=option, expected="such as 1,2,3"
        )
    if len(set(found)) < len(found):
        raise UsageError(f"{text} names a number twice", where=option)
    return found


# ---- training -------------------------------------------------------------------------------------------------------


def _train(name: str, preset: str, changes: list[str] | None, steps: int | None, seed: int) -> "RunFolder":
    """The finished run of one seed, trained now as far as it was not trained before."""
    from think.cli import environment
    from think.cli.settings import announce
    from think.cli.train import trained
    from think.core import runs

    root = environment.runs_folder()
    resolved = _resolved(name, preset, changes, steps, seed, root)
    announce(resolved)
    pack = _packed(resolved, preset)
    out = f"{name}-{Path(preset).stem}-{_recipe(resolved, pack)}-seed{seed}"
    folder = runs.RunFolder(runs.locate(root, out))
    if folder.path.is_dir() and folder.summary().state == "finished":
        console.note(f"run {folder.path} was trained before")
        return folder
    console.note(f"run {folder.path}")
    return trained(resolved, preset, out).folder


def _resolved(
    name: str, preset: str, changes: list[str] | None, steps: int | None, seed: int, root: Path
) -> "Resolved[RunSettings]":
    """The preset on the rows of a task: data, tokenizer and vocabulary are the task's, all else is the preset's."""
    from think.cli.settings import load
    from think.core.data import tasks
    from think.core.data.sources import task as rows
    from think.core.data.tokenizer import CONTROL
    from think.presets.sources import Flag

    table: dict[str, Any] = {"kind": "task", "task": name}
    asked = [change for change in changes or [] if change.partition("=")[0].strip() != "model.vocabulary"]
    own = load(preset, asked).settings.data.sources
    if len(own) == 1 and isinstance(own[0], rows.Settings) and own[0].task == name:
        table = own[0].model_dump(mode="json", exclude_none=True)
    digest = rows.origins(rows.Settings.model_validate(table))[0].sha256
    flags = {
        "data.sources": Flag("TASK", [table]),
        "data.path": Flag("TASK", str(root / "tasks" / f"{name}-{digest[:12]}")),
        "tokenizer.kind": Flag("TASK", "character"),
        "model.vocabulary": Flag("TASK", len(CONTROL) + tasks.load(name).symbols),
        "stage1.seed": Flag("--seeds", seed),
        "stage1.steps": Flag("--steps", steps),
    }
    return load(preset, changes, flags)


def _packed(resolved: "Resolved[RunSettings]", preset: str) -> str:
    """Pack the rows where that was not done before; gives the digest of the pack."""
    from think.core.data import pack as packing
    from think.core.data.manifest import FILE_NAME
    from think.core.data.store import Packed
    from think.core.data.tokenizer import train

    data = resolved.settings.data
    folder = Path(data.path)
    if not (folder / FILE_NAME).is_file():
        tokenizer = train(resolved.settings.tokenizer, packing.texts(data.sources, data))
        with console.progress(1.0, "generating rows") as progress:
            packing.pack(data.sources, data, tokenizer, folder, progress.advance)
    return Packed.open(folder).digest


def _recipe(resolved: "Resolved[RunSettings]", pack: str) -> str:
    """Eight hex digits that name model, training and data, whatever the seed."""
    from hashlib import sha256

    from think.presets.digest import canonical

    stage = resolved.settings.stage1.model_copy(update={"seed": 0})
    text = " ".join([resolved.digests["model"], canonical(stage), pack])
    return sha256(text.encode()).hexdigest()[:8]


# ---- testing --------------------------------------------------------------------------------------------------------


def _open(family: "Family", name: str | None, runs: Sequence[str]) -> "list[RunFolder]":
    from think.cli import environment
    from think.core.errors import BadData
    from think.core.eval.tasks import task_of
    from think.core.runs import RunFolder

    folders = [RunFolder.open(environment.runs_folder(), run) for run in runs]
    found = {task_of(folder).task: folder for folder in folders}
    for task, folder in found.items():
        if name not in (None, task):
            raise BadData(f"this run was trained on {task}, not on {name}", where=str(folder.path))
        _require_family(family, task)
    if len(found) > 1:
        raise UsageError(f"these runs were trained on different tasks: {', '.join(sorted(found))}")
    return folders


def _test(folder: "RunFolder", sizes: list[int] | None, rows: int) -> "Result":
    from think.core.eval.tasks import evaluate

    with console.progress(None, f"testing {folder.name}") as progress:

        def watch(score: "Score") -> None:
            progress.advance(1, f"size {score.size}: {score.scaled.value:.3f}")

        return evaluate(folder, sizes=sizes, rows=rows, watch=watch)


def _answer(results: "list[Result]") -> None:
    from think.core.data import tasks
    from think.core.eval.summary import summarise

    sizes = summarise(results)
    task = tasks.load(results[0].task)
    data = {
        "task": results[0].task,
        "family": task.family,
        "trained": list(results[0].trained),
        "sizes": [size.as_json() for size in sizes],
        "runs": [result.as_json() for result in results],
    }
    console.result("think.eval.task/1", data, lambda: _show(results, sizes))


def _show(results: "list[Result]", sizes: "list[AtSize]") -> None:
    from think.core.data import tasks

    first, task = results[0], tasks.load(results[0].task)
    smallest, largest = first.trained
    rows = first.scores[0].rows
    many = len(results) > 1
    whose = f"{len(results)} seeds, Student's interval over seeds" if many else "one seed, Wilson's interval of rows"
    console.table(
        [task.size, "seen", "accuracy", "guessing", "scaled", "95 % interval", "says", *(["seeds"] if many else [])],
        [
            [
                size.size,
                "yes" if size.trained else "no",
                f"{size.accuracy:.3f}",
                f"{size.chance:.3f}",
                f"{size.scaled.value:.3f}",
                f"{size.scaled.low:.3f} to {size.scaled.high:.3f}",
                size.says,
                *([" ".join(f"{value:.2f}" for value in size.each)] if many else []),
            ]
            for size in sizes
        ],
        title=f"{first.task}: trained on {smallest} to {largest} {task.size}; {rows} test rows each; {whose}",
    )
    console.out("\nwhat theory says:")
    for one in task.predictions:
        console.out(f"    {one.architecture}: {one.says}.  [{one.source}]")
    for result in results:
        console.out(f"run {result.run}")


def _show_tasks(found: list[dict[str, Any]]) -> None:
    columns = ["task", "family", "size", "trained", "tested", "guessing"]
    cells = []
    for one in found:
        levels = sorted(set(one["chance"].values()))
        guessing = f"{levels[0]:.3g}" if len(levels) == 1 else f"{levels[0]:.3g} to {levels[-1]:.3g}"
        trained = " to ".join(map(str, one["trained"]))
        cells.append([one["task"], one["family"], one["size"], trained, ", ".join(map(str, one["tested"])), guessing])
    console.table(columns, cells)
    for one in found:
        console.out(f"\n{one['task']}: {one['summary']}")
        for each in one["theory"]:
            console.out(f"    {each['architecture']}: {each['says']}.  [{each['source']}]")
