"""`think plan`: one search from a prompt, its tree drawn."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import Branching, console
from think.cli.data_reasoning import TaskSettings
from think.cli.exams import DEFAULT_PRIOR, DEFAULT_SEED, DEFAULT_SIMULATIONS, Prior
from think.cli.options import Json
from think.core.errors import Missing, UsageError

if TYPE_CHECKING:
    from think.core.assembled import Assembled
    from think.core.critics import CriticRun
    from think.core.data.puzzles import Environment, Puzzle, Task
    from think.core.planning.outline import Branch

DEFAULT_DEPTH, DEFAULT_MOST, DEFAULT_SPLIT = 6, 5, "test"
DEEPEST = 100
"Levels that are shown at most."


def plan(
    prompt: Annotated[
        str | None, typer.Argument(metavar="[PROMPT]", help="Text of a puzzle's prompt, - reads it; or --puzzle.")
    ] = None,
    puzzle: Annotated[
        int | None, typer.Option("--puzzle", metavar="N", min=1, help="The N-th held-out puzzle, in place of a prompt.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Of --puzzle: test (default) or validation.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of --puzzle: another seed, others.")] = None,
    task_settings: TaskSettings = None,
    critic: Annotated[
        str | None,
        typer.Option("--critic", metavar="RUN", help="Run of stage 3 or 4; the newest of stage 3 when absent."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Run of stage 1 whose newest critic is meant, or one of stage 4."),
    ] = None,
    simulations: Annotated[int, typer.Option("--simulations", min=1, help="Of the search.")] = DEFAULT_SIMULATIONS,
    considered: Annotated[
        int | None, typer.Option("--considered", min=1, help="Actions that it looks at; 16, or all, when absent.")
    ] = None,
    value_scale: Annotated[
        float | None, typer.Option("--value-scale", help="Weight of values against the policy, above 0; 1 when absent.")
    ] = None,
    rules_below: Annotated[
        bool,
        typer.Option(
            "--rules-below/--no-rules-below",
            help="Of --puzzle: whether the rules say what is legal within the search, or at its root alone.",
        ),
    ] = True,
    prior: Prior = DEFAULT_PRIOR,
    depth: Annotated[int, typer.Option("--depth", min=1, max=DEEPEST, help="Levels shown.")] = DEFAULT_DEPTH,
    most: Annotated[int, typer.Option("--most", min=1, help="Children shown of a node.")] = DEFAULT_MOST,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw the tree there as well.")] = None,
    json: Json = False,
) -> None:
    """Search from a prompt with a trained critic, and draw the tree"""
    text = _typed(prompt, puzzle)
    if puzzle is None:
        _only_for_puzzles(split, seed, task_settings, rules_below)
    judge = critic_for(critic, run, prior)
    thinker, task, asked, rules, facts = _asked(judge, run, puzzle, split, seed, task_settings)
    from think.core.data.puzzles.encoding import Encoding
    from think.core.eval.reasoning import lookahead
    from think.core.eval.reasoning.assembly import planner
    from think.core.eval.reasoning.searching import Searching

    search = Searching(simulations, considered=considered, value_scale=value_scale, prior=prior).settings(task)
    legality = rules_below and rules is not None
    planned = lookahead.plan(
        planner(judge, thinker, task, search, legality=legality, prior=prior),
        Encoding(task, thinker.tokenizer),
        asked.prompt() if asked is not None else text,
        rules,
    )
    root = planned.tree(most=most, depth=depth)
    judged = None if asked is None else planned.judged(asked, task)
    data: dict[str, Any] = {
        "model": str(thinker.path),
        "step": thinker.step,
        "critic": str(judge.path),
        **facts,
        "prompt": asked.prompt() if asked is not None else text,
        "search": planned.search.model_dump(mode="json") | {"prior": prior},
        "rules": "none" if rules is None else "below the root" if legality else "at the root",
        "considered": int(planned.found.considered[0]),
        "evaluations": int(planned.found.evaluations[0]),
        "names": list(task.names),
        "action": int(planned.found.action[0]),
        "line": list(planned.line),
        "answer": list(planned.answer),
        "tree": root.as_json(),
        "judged": None if judged is None else {"solved": judged.solved, "reason": judged.reason, "taken": judged.taken},
        "svg": None if svg is None else str(svg),
    }
    if svg is not None:
        _draw(svg, root, task)
    console.result("think.plan/1", data, lambda: _say(data, root, asked))


def _typed(prompt: str | None, puzzle: int | None) -> str:
    """The prompt, empty where a puzzle is asked for. Raises UsageError unless exactly one of them was given."""
    from think.cli.generate import read_prompt, unescaped

    if (prompt is None) == (puzzle is None):
        raise UsageError(
            "neither a PROMPT nor --puzzle was given" if prompt is None else "a PROMPT and --puzzle were both given",
            expected="one of them",
            remedy="think plan --puzzle 1",
        )
    if prompt is None:
        return ""
    text = read_prompt().removesuffix("\n").removesuffix("\r") if prompt == "-" else unescaped(prompt, "PROMPT")
    if not text:
        raise UsageError("the prompt is empty", where="PROMPT", expected="the text of a puzzle's prompt")
    return text


def _only_for_puzzles(split: str | None, seed: int | None, changes: list[str] | None, rules_below: bool) -> None:
    """Raises UsageError for an option that would do nothing to a prompt."""
    given = {
        "--split": split is not None,
        "--seed": seed is not None,
        "--set": bool(changes),
        "--no-rules-below": not rules_below,
    }
    for option in (name for name, there in given.items() if there):
        raise UsageError(
            f"{option} is for --puzzle: of a prompt no rules are known, and no other is drawn",
            where=option,
            expected="a PROMPT without it, or --puzzle N",
        )


def critic_for(critic: str | None, run: str | None, prior: str = DEFAULT_PRIOR) -> "CriticRun":
    """The run with a critic that was named, or is meant.

    Without a name: that of `run` if it is of stage 4, else the newest finished run of stage 3, of those that stand on
    `run` if that was named; the newest of stage 4 where there is none, or where its policy of all layers is asked for.
    Raises Missing where there is none, and BadSettings when what was named is of another stage.
    """
    from think.cli import environment
    from think.cli.exams import critic_named
    from think.core.critics import critic_run
    from think.core.predecessors import candidates
    from think.core.runs import RunFolder

    if critic is not None:
        return critic_named(critic)
    root = environment.runs_folder()
    below = None if run is None else RunFolder.open(root, run)
    stages = ("stage3", "stage4") if prior == DEFAULT_PRIOR else ("stage4", "stage3")
    for folder in (folder for stage in stages for folder in candidates(root, stage)):
        found = critic_run(folder)
        if below is None or below.path.resolve() in found.model.resolve().parents:
            console.note(f"critic {found.path}")
            return found
    whose = "" if below is None else f" that stands on {below.name}"
    raise Missing(
        f"no run of stage 3 or 4 has finished{whose}, and a search needs a trained critic",
        where=str(root),
        expected="a run of `think train stage3`, or --critic RUN",
        remedy="think train stage3 --preset NAME, which says what it stands on",
    )


def _asked(
    judge: "CriticRun",
    run: str | None,
    number: int | None,
    split: str | None,
    seed: int | None,
    changes: list[str] | None,
) -> "tuple[Assembled, Task, Puzzle | None, Environment | None, dict[str, Any]]":
    """The model with its task; of a puzzle that, its rules and what names it."""
    from think.cli.data_reasoning import task_changes
    from think.cli.exams import given_settings, held_out, refuse_its_own, trained_on
    from think.cli.generate import assemble
    from think.core.data.puzzles.batch import environment
    from think.core.data.puzzles.choice import settings_for, task_of
    from think.core.data.puzzles.items import distinct

    part = held_out(DEFAULT_SPLIT if split is None else split)
    thinker = assemble(run, None if run is not None else judge.model)
    trained = trained_on(thinker)
    settings = settings_for(trained.task.kind, {**given_settings(trained.task), **task_changes(changes)})
    task, facts = task_of(settings), {"task": settings.model_dump(mode="json")}
    if number is None:
        return thinker, task, None, None, {**facts, "puzzle": None}
    refuse_its_own(trained, part)
    drawn = DEFAULT_SEED if seed is None else seed
    puzzle = distinct(task, settings, part, number, drawn)[-1]
    rules = environment(task, settings, part)
    rules.load([puzzle])
    facts["puzzle"] = {"number": number, "split": part, "seed": drawn, "is": puzzle.model_dump(mode="json")}
    return thinker, task, puzzle, rules, facts


def _draw(file: Path, root: "Branch", task: "Task") -> None:
    from think.core.durable import replace_file
    from think.core.errors import InputOutput
    from think.core.planning.outline import picture

    try:
        replace_file(file, picture(root, lambda action: task.names[action]).encode())
    except OSError as error:
        raise InputOutput(
            f"the picture cannot be written: {error.strerror or error}",
            where=str(file),
            remedy="name a file in a folder that is there, and that you may write to",
        ) from error


def _say(data: dict[str, Any], root: "Branch", puzzle: "Puzzle | None") -> None:
    search, names = data["search"], data["names"]
    asked = data["puzzle"]
    task = " ".join(f"{key}={value}" for key, value in data["task"].items() if key != "kind")
    which = "a prompt" if asked is None else f"puzzle {asked['number']:,} of the {asked['split']} split"
    console.out(f"{data['task']['kind']} {task}".rstrip() + f": {which}")
    console.out(data["prompt"] if puzzle is None else puzzle.shown())
    console.out(
        f"{search['simulations']:,} simulations, {data['considered']} actions considered, "
        f"{data['evaluations']:,} places evaluated; {_RULES[data['rules']]}"
    )
    console.tree(_branching(root, names))
    console.out(f"line: {' '.join(names[action] for action in data['line'])}   (* in the tree)")
    if data["answer"] != data["line"]:
        console.out(f"with what the rules force: {' '.join(names[action] for action in data['answer'])}")
    judged = data["judged"]
    if judged is None:
        console.out("whether it is right cannot be said: the rules of this prompt are not known")
    else:
        console.out(f"by the rules, asked afterwards: {judged['reason']}")
    if data["svg"] is not None:
        console.out(f"picture: {data['svg']}")


_RULES = {
    "none": "no rules are known, so any action may follow, and the model ends its turn where it would",
    "at the root": "the rules say what is legal at the root; below it any action may follow",
    "below the root": "the rules say what is legal, and nothing else",
}


def _branching(branch: "Branch", names: list[str]) -> Branching:
    """A node as a line of text: the action, visits, value and prior."""
    figures = f"{branch.visits:,} visit{'' if branch.visits == 1 else 's'}  value {branch.value:.3f}"
    if branch.action is None:
        text = f"root  {figures}"
    else:
        text = f"{'* ' if branch.chosen else '  '}{names[branch.action]}  {figures}  prior {branch.prior:.3f}"
    text += "  ends" if branch.ends else ""
    children = [_branching(child, names) for child in branch.children]
    if branch.others:
        children.append(Branching(f"  and {branch.others:,} more", "dim"))
    return Branching(text, "bold cyan" if branch.chosen else "", tuple(children))
