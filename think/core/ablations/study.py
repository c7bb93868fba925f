"""What a study file says, and what can be wrong with it before a preset is opened. No torch.

A study names a preset, what is changed about it by name, seeds, and how long each training lasts. Everything else is
held equal: variants may change neither the data nor their order nor the number of tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from think.presets.base import Settings

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
Line = Annotated[str, Field(min_length=1)]

SHARED = {
    "stage1.steps": "the budget says it",
    "stage1.seed": "`seeds` says it",
    "stage1.rows": "the order of the data hangs on it",
    "stage1.reset_period": "the order of the data hangs on it",
    "data": "pairs are trained on the same data; `data` says where they are",
    "tokenizer": "losses in nats per token compare only for one tokenizer",
    "runtime": "it says how a machine computes, and never what comes out",
    "gates": "gates judge runs and do not change them",
}
"What no variant may change, with the reason. A section stands for all of its keys."

LEFT_TO_THE_STUDY = ("stage1.steps", "stage1.seed", "data.path")
"What a study says by keys of its own, so that not even all variants together may change it."


class BudgetSettings(Settings):
    """How long each training lasts: one of the two."""

    steps: PositiveInt | None = None
    "optimizer steps of the base; others get the steps that read as many tokens"
    minutes: PositiveFloat | None = None
    "minutes that the base trains here, by a speed that is measured once and then recorded as a number of tokens"


class VariantSettings(Settings):
    """One of the things that are compared."""

    name: Name
    "a word for tables and plots"
    summary: Line | None = None
    "what it is, in one line"
    preset: Line | None = None
    "a preset of its own, by name or by file beside the study; the study's when absent"
    changes: tuple[str, ...] = ()
    "key=value, as --set takes them"


class StudySettings(Settings):
    """A study file."""

    summary: Line
    "the question, and what is held equal"
    preset: Line
    "the preset that variants change, by name or by file beside the study"
    base: Name
    "the variant that the others are compared with"
    seeds: tuple[Seed, ...]
    "one training of each variant with each of these; pairs share a seed"
    budget: BudgetSettings
    "how long each training lasts"
    data: Line | None = None
    "folder of the packed data; the preset's when absent"
    metric: Line = "held_out_loss"
    "the figure that verdicts are about"
    also: tuple[Line, ...] = ()
    "other figures to be reported, without verdicts"
    measures: tuple[Line, ...] = ("training",)
    "where figures come from: files of think/core/ablations/measures"
    changes: tuple[str, ...] = ()
    "key=value for all variants, below their own"
    variants: tuple[VariantSettings, ...]
    "what is compared, two or more"


@dataclass(frozen=True)
class Mistake:
    """Something wrong at `path` in the file, such as ("variants", 1, "name")."""

    path: tuple[str | int, ...]
    what: str
    expected: str | None = None
    remedy: str | None = None


def mistakes(study: StudySettings) -> Iterator[Mistake]:
    """Everything that the file alone shows to be wrong."""
    names = [variant.name for variant in study.variants]
    if not study.seeds:
        yield Mistake(("seeds",), "there are no seeds", "one or more, such as [0, 1, 2]", "verdicts need two or more")
    for index, seed in enumerate(study.seeds):
        if seed in study.seeds[:index]:
            yield Mistake(("seeds", index), f"seed {seed} is named twice", "every seed once")
    if (study.budget.steps is None) == (study.budget.minutes is None):
        yield Mistake(("budget",), "a budget is either steps or minutes", "steps = 1000, or minutes = 3.0; not both")
    if len(names) < 2:
        yield Mistake(("variants",), f"{len(names)} variants leave nothing to compare", "two or more [[variants]]")
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Mistake(("variants", index, "name"), f"two variants are named {name!r}", "a name for each")
    if names and study.base not in names:
        yield Mistake(("base",), f"there is no variant {study.base!r} to compare with", f"one of {', '.join(names)}")
    if study.metric in study.also:
        yield Mistake(("also",), f"{study.metric!r} is the metric already", "other figures")


def forbidden(key: str, *, of_all: bool) -> str | None:
    """Why a change of this dotted key has no place in a study; None where it has.

    of_all: a change for all variants, which leaves pairs alike whatever it changes.
    """
    if of_all:
        return SHARED.get(key, "`data` says it") if key in LEFT_TO_THE_STUDY else None
    section = key.partition(".")[0]
    return SHARED.get(key) or SHARED.get(section)
