"""`think eval reasoning`: held-out puzzles before a trained run, answered in several ways."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.data_reasoning import TaskSettings
from think.cli.options import Json
from think.core.errors import BadSettings, UsageError

if TYPE_CHECKING:
    from think.core.assembled import Assembled
    from think.core.eval.reasoning.measure import Measured

DEFAULT_ARMS = ("greedy", "random_legal")
DEFAULT_COUNT, DEFAULT_SAMPLES, DEFAULT_SEED = 1000, 8, 0


def _arms(incomplete: str) -> list[str]:
    from think.core import plugins

    return [name for name in plugins.names("think.core.eval.reasoning.arms") if name.startswith(incomplete)]


def reasoning(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Run name or folder; the newest when absent.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="PATH", help="Checkpoint or exported folder, in place of a run.")
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            "--arm", autocompletion=_arms, help="Way of answering, may be repeated; greedy and chance when absent."
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Different puzzles.")] = DEFAULT_COUNT,
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Answers or beams for each puzzle, of arms that have several.")
    ] = DEFAULT_SAMPLES,
    split: Annotated[str, typer.Option("--split", help="test or validation.")] = "test",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the puzzles and the draws.")] = DEFAULT_SEED,
    task_settings: TaskSettings = None,
    json: Json = False,
) -> None:
    """Held-out puzzles of a run's task: share solved by each way of answering, with intervals and costs"""
    from think.cli.data_reasoning import task_changes
    from think.cli.generate import assemble
    from think.core import plugins
    from think.core.data import puzzles
    from think.core.data.puzzles.choice import settings_for, task_of
    from think.core.data.puzzles.items import distinct
    from think.core.eval.reasoning.arms import FAMILY
    from think.core.eval.reasoning.measure import measure

    part = next((name for name in puzzles.SPLITS if name == split and name != "train"), None)
    if part is None:
        raise UsageError(
            f"puzzles of {split!r}", where="--split", expected="test or validation, which nobody trains on"
        )
    arms = list(dict.fromkeys(arm or DEFAULT_ARMS))
    for name in arms:
        plugins.load(FAMILY, name)
    thinker = assemble(run, model)
    trained = _trained_on(thinker)
    if trained.split == part:
        raise BadSettings(f"this run was trained on puzzles of the {part} split", expected="another --split")
    settings = settings_for(trained.task.kind, {**_given(trained.task), **task_changes(task_settings)})
    task = task_of(settings)
    asked = distinct(task, settings, part, count, seed)
    found: list[Measured] = []
    with console.progress(len(asked) * len(arms), "puzzles") as progress:
        for name in arms:
            found.append(
                measure(
                    name,
                    thinker.model,
                    thinker.tokenizer,
                    task,
                    settings,
                    part,
                    asked,
                    samples=samples,
                    seed=seed,
                    advance=lambda done: progress.advance(done),
                )
            )
    data: dict[str, Any] = {
        "model": str(thinker.path),
        "step": thinker.step,
        "task": settings.model_dump(mode="json"),
        "split": part,
        "count": len(asked),
        "samples": samples,
        "seed": seed,
        "chance": task.chance(settings),
        "arms": [one.as_json() | ({} if one is found[0] else {"against": one.against(found[0])}) for one in found],
    }
    console.result("think.eval.reasoning/1", data, lambda: _say(data))


def _trained_on(thinker: "Assembled") -> Any:
    """The source of puzzles that a run was trained on. Raises BadSettings where it has not exactly one."""
    sources: list[Any] = [source for source in thinker.settings.data.sources if _kind(source) == "puzzles"]
    if len(sources) != 1:
        raise BadSettings(
            f"this run was trained on {len(sources)} sources of puzzles",
            where=str(thinker.path),
            expected="a run of a preset such as path_star, countdown or sudoku4",
            remedy="think train stage1 --preset sudoku4",
        )
    return sources[0]


def _kind(source: Any) -> str:
    return str(source.kind)


def _given(settings: Any) -> dict[str, Any]:
    given: dict[str, Any] = settings.model_dump(mode="json", exclude={"kind"})
    return given


def _say(data: dict[str, Any]) -> None:
    task = " ".join(f"{key}={value}" for key, value in data["task"].items() if key != "kind")
    console.out(
        f"{data['task']['kind']} {task}".rstrip()
        + f": {data['count']:,} different puzzles of the {data['split']} split, chance {100 * data['chance']:.1f} %"
    )
    rows = []
    for arm in data["arms"]:
        against = arm.get("against")
        rows.append(
            [
                arm["arm"],
                f"{arm['solved']:,} of {arm['count']:,}",
                f"{100 * arm['share']:.1f} %",
                f"{100 * arm['low']:.1f} – {100 * arm['high']:.1f}",
                f"{arm['tokens_per_puzzle']:.1f}",
                f"{arm['flops_per_puzzle'] / 1e6:,.1f}",
                f"{arm['seconds']:.1f}",
                "" if against is None else f"{against['only_this']} : {against['only_that']}, p = {against['p']:.2g}",
            ]
        )
    paired = f"alone : {data['arms'][0]['arm']} alone"
    console.table(["arm", "solved", "share", "95 %", "tokens", "MFLOP", "seconds", paired], rows)
