"""What `think eval reasoning`, `think eval sweep` and `think plan` share: an exam of a trained run, by its options."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.core.errors import BadSettings, UsageError

if TYPE_CHECKING:
    from think.core.assembled import Assembled
    from think.core.critics import CriticRun as Judge
    from think.core.data.puzzles import Split
    from think.core.eval.reasoning.measure import Exam
    from think.core.eval.reasoning.searching import Searching

SEARCH, LATENT = "search", "search_latent"
DEFAULT_COUNT, DEFAULT_SAMPLES, DEFAULT_SEED = 1000, 8, 0
DEFAULT_SIMULATIONS, DEFAULT_RULE, DEFAULT_HEADS, DEFAULT_PRIOR = 64, "gumbel", "all", "model"


def arms(incomplete: str) -> list[str]:
    """Names of ways of answering that begin so."""
    from think.core import plugins

    return [name for name in plugins.names("think.core.eval.reasoning.arms") if name.startswith(incomplete)]


Run = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run name or folder; the newest when absent.")]
Model = Annotated[
    Path | None, typer.Option("--model", metavar="PATH", help="Checkpoint or exported folder, in place of a run.")
]
Count = Annotated[int, typer.Option("--count", min=1, help="Different puzzles.")]
Samples = Annotated[
    int, typer.Option("--samples", min=1, help="Answers or beams for each puzzle, of arms that have several.")
]
CriticRun = Annotated[
    str | None,
    typer.Option(
        "--critic", metavar="RUN", help="Run of stage 3 or 4, for arms that search or judge; a RUN of stage 4 has one."
    ),
]
Larger = Annotated[
    str | None, typer.Option("--larger", metavar="RUN", help="Another run of the task, for the arm `larger`.")
]
Simulations = Annotated[int, typer.Option("--simulations", min=1, help="Of a search, at each choice.")]
Rule = Annotated[
    str, typer.Option("--rule", metavar="gumbel|puct", help="How a search chooses, at its root and below it.")
]
Considered = Annotated[
    int | None,
    typer.Option("--considered", min=1, help="Actions that a search by gumbel looks at; 16, or all, when absent."),
]
ValueScale = Annotated[
    float | None,
    typer.Option("--value-scale", help="Weight of values against the policy in a search by gumbel; 1 when absent."),
]
Exploration = Annotated[
    float | None, typer.Option("--exploration", help="Weight of the policy in a search by puct; 1.25 when absent.")
]
Heads = Annotated[
    str,
    typer.Option("--heads", metavar="all|0+2", help="Heads of the critic that judge, by their layers from 0 on."),
]
Caution = Annotated[
    float | None,
    typer.Option("--caution", help="Standard deviations of the heads off their mean; as trained when absent."),
]
Prior = Annotated[
    str,
    typer.Option(
        "--prior",
        metavar="model|fused",
        help="Policy of searches in the exact world: the model's, or that of all layers, which stage 4 has learned.",
    ),
]
RulesBelow = Annotated[
    bool,
    typer.Option(
        "--rules-below/--no-rules-below",
        help="Whether the rules say what is legal within a search, or the model's policy is all there is.",
    ),
]
KeepTree = Annotated[
    bool,
    typer.Option(
        "--keep-tree",
        help="A search goes on with what the one before it foresaw below the action taken, where its world is exact.",
    ),
]
SplitName = Annotated[str, typer.Option("--split", help="test or validation.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the puzzles and the draws.")]


@dataclass(frozen=True)
class Asked:
    """An exam and what it was made of. judge: the run that has the critic; None where no arm needs one."""

    exam: "Exam"
    thinker: "Assembled"
    judge: "Judge | None"
    searching: "Searching"
    arms: Sequence[str]

    def searched(self, searching: "Searching") -> "Asked":
        """The same puzzles, searched otherwise. Raises as `assembly.planner` and `assembly.latent` do."""
        from think.core.eval.reasoning.assembly import latent, planner

        search = searching.settings(self.exam.task)
        if self.judge is None:
            return replace(self, searching=searching)
        beside = planner(
            self.judge,
            self.thinker,
            self.exam.task,
            search,
            legality=searching.rules_below,
            keep=searching.keep_tree,
            heads=searching.heads,
            caution=searching.caution,
            prior=searching.prior,
        )
        foreseen = latent(self.judge, self.thinker, self.exam.task, search) if LATENT in self.arms else None
        return replace(self, searching=searching, exam=replace(self.exam, planner=beside, latent=foreseen))

    @property
    def run(self) -> Path | None:
        """Folder of the run that is asked; None for a model that lies outside of one."""
        return self.thinker.run

    def as_json(self) -> dict[str, Any]:
        """What was asked of whom, as results keep it."""
        exam, judge, run = self.exam, self.judge, self.run
        return {
            "run": self.thinker.path.name if run is None else run.name,
            "model": str(self.thinker.path),
            "step": self.thinker.step,
            "task": exam.settings.model_dump(mode="json"),
            "split": exam.split,
            "count": len(exam.puzzles),
            "critic": None if judge is None else str(judge.path),
            "critic_run": None if judge is None else judge.run,
            "search": None if judge is None else self.searching.as_json(exam.task),
            "seed": exam.seed,
            "chance": exam.task.chance(exam.settings),
            "command": shlex.join(["think", *sys.argv[1:]]),
        }


def ask(
    run: str | None,
    model: Path | None,
    arms: Sequence[str],
    critic: str | None,
    larger: str | None,
    searching: "Searching",
    split: str,
    count: int,
    seed: int,
    changes: list[str] | None,
) -> Asked:
    """Puzzles that were held out from a run, and the models that answer them. Raises for what cannot be asked."""
    from think.cli.data_reasoning import task_changes
    from think.cli.generate import assemble
    from think.core.critics import held_critic
    from think.core.data.puzzles.choice import settings_for, task_of
    from think.core.data.puzzles.items import distinct
    from think.core.eval.reasoning.measure import Exam

    part = held_out(split)
    searching.check()
    _refuse_unmoved(arms, searching)
    _require_larger(arms, larger)
    wanting = None if critic is not None else _wanting(arms)
    if wanting is not None and run is None and model is None:
        raise _no_critic(wanting)
    judge = None if critic is None else critic_named(critic)
    thinker = assemble(run, model if judge is None or run is not None else judge.model)
    if wanting is not None and (judge := held_critic(thinker)) is None:
        raise _no_critic(wanting)
    trained = trained_on(thinker)
    refuse_its_own(trained, part)
    settings = settings_for(trained.task.kind, {**given_settings(trained.task), **task_changes(changes)})
    task = task_of(settings)
    searching.settings(task)
    puzzles = distinct(task, settings, part, count, seed)
    other = None if larger is None else _other(larger)
    exam = Exam(thinker.model, thinker.tokenizer, task, settings, part, puzzles, seed, larger=other)
    return Asked(exam, thinker, judge, searching, arms).searched(searching)


def _refuse_unmoved(arms: Sequence[str], searching: "Searching") -> None:
    """Raises UsageError for a prior that no arm would follow, and for trees where none are kept."""
    from think.core.eval.reasoning.searching import MODEL
    from think.core.eval.reasoning.sweep import split

    if searching.prior != MODEL:
        split("prior", arms)
    if searching.keep_tree:
        split("keep_tree", arms)


def _wanting(arms: Sequence[str]) -> str | None:
    """An arm that needs a critic, or the dynamics that come with one; None where no arm does."""
    needs = _needs(arms)
    return needs.get("critic", needs.get("dynamics"))


def _no_critic(arm: str) -> UsageError:
    return UsageError(
        f"{arm} needs a trained critic, or the dynamics that one stands on",
        where="--critic",
        expected="a run of stage 3 or 4, or RUN itself one of stage 4",
        remedy="train one with `think train stage3 --preset NAME`, which says what it stands on; then --critic RUN",
    )


def _require_larger(arms: Sequence[str], larger: str | None) -> None:
    """Raises UsageError for an arm that needs another model, where none was named."""
    if "larger" in _needs(arms) and larger is None:
        raise UsageError(
            "larger is System 1 of another run, and none was named",
            where="--larger",
            expected="a run that was trained on the same task",
            remedy="think runs list",
        )


def _needs(arms: Sequence[str]) -> dict[str, str]:
    """What arms need beside the model, each with the name of such an arm."""
    from think.core import plugins
    from think.core.eval.reasoning.arms import FAMILY

    return {need: name for name in arms for need in plugins.load(FAMILY, name).needs}


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


def critic_named(name: str) -> "Judge":
    """The run of stage 3 or 4 of that name. Raises as `critic_run` does."""
    from think.cli import environment
    from think.core.critics import critic_run
    from think.core.runs import RunFolder

    return critic_run(RunFolder.open(environment.runs_folder(), name))


def _other(name: str) -> Any:
    """Model and tokenizer of another run."""
    from think.cli.generate import assemble

    other = assemble(name, None)
    return other.model, other.tokenizer


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
