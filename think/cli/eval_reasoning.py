"""`think eval reasoning`: held-out puzzles before a trained run, answered in several ways."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.data_reasoning import TaskSettings
from think.cli.options import Json
from think.core.errors import BadSettings, UsageError

if TYPE_CHECKING:
    from think.core.assembled import Assembled
    from think.core.data.puzzles import Split, Task
    from think.core.eval.reasoning.measure import Exam, Measured
    from think.core.planning.rules import SearchSettings
    from think.core.training.predecessor import Predecessor

DEFAULT_ARMS = ("greedy", "random_legal")
DEFAULT_COUNT, DEFAULT_SAMPLES, DEFAULT_SEED = 1000, 8, 0
DEFAULT_SIMULATIONS, DEFAULT_CONSIDERED, DEFAULT_VALUE_SCALE = 64, 16, 1.0
SEARCH, LATENT = "search", "search_latent"


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
    match: Annotated[
        bool, typer.Option("--match", help="Give arms that have several as many samples as cost what `search` costs.")
    ] = False,
    critic: Annotated[
        str | None, typer.Option("--critic", metavar="RUN", help="Run of stage 3, for arms that search or judge.")
    ] = None,
    larger: Annotated[
        str | None, typer.Option("--larger", metavar="RUN", help="Another run of the task, for the arm `larger`.")
    ] = None,
    simulations: Annotated[
        int, typer.Option("--simulations", min=1, help="Of a search, at each choice.")
    ] = DEFAULT_SIMULATIONS,
    considered: Annotated[
        int | None,
        typer.Option("--considered", min=1, help="Actions that a search looks at; 16, or all, when absent."),
    ] = None,
    value_scale: Annotated[
        float, typer.Option("--value-scale", help="Weight of values against the policy in a search, above 0.")
    ] = DEFAULT_VALUE_SCALE,
    rules_below: Annotated[
        bool,
        typer.Option(
            "--rules-below/--no-rules-below",
            help="Whether the rules say what is legal within a search, or the model's policy is all there is.",
        ),
    ] = True,
    split: Annotated[str, typer.Option("--split", help="test or validation.")] = "test",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the puzzles and the draws.")] = DEFAULT_SEED,
    task_settings: TaskSettings = None,
    json: Json = False,
) -> None:
    """Held-out puzzles of a run's task: share solved by each way of answering, with intervals and costs"""
    from think.cli.data_reasoning import task_changes
    from think.cli.generate import assemble
    from think.core.data.puzzles.choice import settings_for, task_of
    from think.core.data.puzzles.items import distinct
    from think.core.eval.reasoning.measure import Exam
    from think.core.eval.reasoning.results import keep

    part = held_out(split)
    arms = list(dict.fromkeys(arm or DEFAULT_ARMS))
    _require(arms, critic, larger, match=match)
    judge = None if critic is None else critic_named(critic)
    thinker = assemble(run, model if judge is None or run is not None else judge.of("stage1").path)
    trained = trained_on(thinker)
    refuse_its_own(trained, part)
    settings = settings_for(trained.task.kind, {**given_settings(trained.task), **task_changes(task_settings)})
    task = task_of(settings)
    search = search_settings(task, simulations, considered, value_scale)
    exam = Exam(
        thinker.model,
        thinker.tokenizer,
        task,
        settings,
        part,
        distinct(task, settings, part, count, seed),
        seed,
        planner=None if judge is None else _planner(judge, thinker, task, search, rules_below),
        latent=None if judge is None or LATENT not in arms else _latent(judge, thinker, task, search),
        larger=None if larger is None else _other(larger),
    )
    found = _measured(exam, arms, samples, match=match)
    asked_run = thinker.path.parent.parent if thinker.path.parent.name == "checkpoints" else None
    data: dict[str, Any] = {
        "run": thinker.path.name if asked_run is None else asked_run.name,
        "model": str(thinker.path),
        "step": thinker.step,
        "task": settings.model_dump(mode="json"),
        "split": part,
        "count": len(exam.puzzles),
        "samples": None if match else samples,
        "critic": None if judge is None else str(judge.path),
        "critic_run": critic,
        "larger": larger,
        "search": None if judge is None else search.model_dump(mode="json") | {"rules_below": rules_below},
        "seed": seed,
        "chance": task.chance(settings),
        "arms": [one.as_json() | ({} if one is found[0] else {"against": one.against(found[0])}) for one in found],
    }
    data["command"] = shlex.join(["think", *sys.argv[1:]])
    data["kept"] = None if asked_run is None else str(keep(asked_run, data))
    console.result("think.eval.reasoning/1", data, lambda: _say(data))


def _require(arms: list[str], critic: str | None, larger: str | None, *, match: bool) -> None:
    """Raises UsageError for an arm that is not there or lacks what it needs, before anything is read."""
    from think.core import plugins
    from think.core.eval.reasoning.arms import FAMILY

    needs = {need: name for name in arms for need in plugins.load(FAMILY, name).needs}
    wanting = needs.get("critic", needs.get("dynamics"))
    if wanting is not None and critic is None:
        raise UsageError(
            f"{wanting} needs a trained critic, or the dynamics that one stands on",
            where="--critic",
            expected="a run of stage 3",
            remedy="train one with `think train stage3 --preset NAME`, which says what it stands on; then --critic RUN",
        )
    if "larger" in needs and larger is None:
        raise UsageError(
            "larger is System 1 of another run, and none was named",
            where="--larger",
            expected="a run that was trained on the same task",
            remedy="think runs list",
        )
    if match and SEARCH not in arms:
        raise UsageError("nothing is there to match", where="--match", expected=f"--arm {SEARCH} among the arms")


def held_out(split: str) -> "Split":
    """The split of that name. Raises UsageError for one that is not held out."""
    from think.core.data import puzzles

    for name in puzzles.SPLITS:
        if name == split and name != "train":
            return name
    raise UsageError(f"puzzles of {split!r}", where="--split", expected="test or validation, which nobody trains on")


def refuse_its_own(trained: Any, part: "Split") -> None:
    """Raises BadSettings where a run was trained on what is to test it."""
    if trained.split == part:
        raise BadSettings(f"this run was trained on puzzles of the {part} split", expected="another --split")


def critic_named(name: str) -> "Predecessor":
    """The run of stage 3 of that name. Raises as `critic_run` does."""
    from think.cli import environment
    from think.core.eval.reasoning.assembly import critic_run
    from think.core.runs import RunFolder

    return critic_run(RunFolder.open(environment.runs_folder(), name))


def _planner(judge: "Predecessor", thinker: "Assembled", task: "Task", search: "SearchSettings", rules: bool) -> Any:
    from think.core.eval.reasoning.assembly import planner

    return planner(judge, thinker, task, search, legality=rules)


def _latent(judge: "Predecessor", thinker: "Assembled", task: "Task", search: "SearchSettings") -> Any:
    from think.core.eval.reasoning.assembly import latent

    return latent(judge, thinker, task, search)


def _other(name: str) -> Any:
    """Model and tokenizer of another run."""
    from think.cli.generate import assemble

    other = assemble(name, None)
    return other.model, other.tokenizer


def search_settings(task: "Task", simulations: int, considered: int | None, value_scale: float) -> "SearchSettings":
    """What a search is told. Raises UsageError and BadSettings for what no search of the task can do."""
    from think.core.planning.rules import Gumbel, SearchSettings

    if not 0 < value_scale < float("inf"):
        raise UsageError(f"{value_scale} is no weight of values", where="--value-scale", expected="a number above 0")
    looked_at = min(DEFAULT_CONSIDERED, len(task.actions)) if considered is None else considered
    search = SearchSettings(
        simulations=simulations, rule=Gumbel(considered=looked_at, noise=0.0, value_scale=value_scale)
    )
    search.check(len(task.actions))
    return search


def _measured(exam: "Exam", arms: list[str], samples: int, *, match: bool) -> "list[Measured]":
    """Every arm in its turn; where samples are to match, the search comes first, for its cost is what they match."""
    found: dict[str, Measured] = {}
    with console.progress(len(exam.puzzles) * len(arms), "puzzles") as progress:
        for name in sorted(arms, key=lambda name: match and name != SEARCH):
            wanted = samples
            if match and name != SEARCH:
                wanted = exam.matched(name, found[SEARCH].flops / len(exam.puzzles))
            found[name] = exam.measure(name, wanted, lambda done: progress.advance(done))
    return [found[name] for name in arms]


def trained_on(thinker: "Assembled") -> Any:
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


def given_settings(settings: Any) -> dict[str, Any]:
    """The settings of a task as they were given."""
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
                arm["arm"] + ("" if arm["samples"] is None else f" × {arm['samples']}"),
                f"{arm['solved']:,} of {arm['count']:,}",
                f"{100 * arm['share']:.1f} %",
                f"{100 * arm['low']:.1f} – {100 * arm['high']:.1f}",
                f"{arm['tokens_per_puzzle']:.1f}",
                f"{arm['flops_per_puzzle'] / 1e6:,.1f}",
                f"{arm['seconds']:.1f}",
                "" if against is None else f"{against['only_this']} : {against['only_that']}, p = {against['p']:.2g}",
                ""
                if against is None
                else f"{100 * against['difference']:+.1f} ({100 * against['difference_low']:+.1f} … "
                f"{100 * against['difference_high']:+.1f})",
            ]
        )
    paired = f"alone : {data['arms'][0]['arm']} alone"
    if data["kept"] is not None:
        console.note(f"kept in {data['kept']}; `think eval page` makes a page of such results")
    console.table(["arm", "solved", "share", "95 %", "tokens", "MFLOP", "seconds", paired, "points"], rows)
