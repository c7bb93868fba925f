"""Cells: one variant trained with one seed. What pairs share is proven by digests, not taken from settings.

The id of a cell is the digest of all that decides its result: the settings of model and stage, the data, and the
versions of this package and of torch. Equal ids are the same training, whichever study asks for it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from shlex import join
from typing import Any

import torch
from pydantic import ValidationError

from think.core import plugins
from think.core.ablations.study import Seed, StudySettings
from think.core.data.batches import Tracks
from think.core.data.store import Packed
from think.core.device import Machine
from think.core.errors import BadSettings
from think.core.models.count import flops_per_token, parameters
from think.core.settings import RunSettings
from think.core.training.schedule import clock
from think.core.training.stages import Request
from think.core.training.stages.stage1 import Stage1Settings

STAGES = "think.core.training.stages"

WINDOW = 64
"Tokens of each row that are read at three places for the digest of the order of the data."

FEWER_STEPS = 0.1
"Share of the steps asked for that may be given up so that all variants read equally many tokens."


@dataclass(frozen=True)
class Variant:
    """One of the things compared, resolved.

    where      file:line, for messages
    preset     what --preset is given
    changes    what --set is given, of the study and of the variant
    settings   with the preset's own steps and seed; a cell has its own
    """

    name: str
    where: str
    preset: str
    changes: tuple[str, ...]
    settings: RunSettings
    summary: str | None = None


@dataclass(frozen=True)
class Study:
    """A study with its variants resolved. `given`: what names it on a command line, with the data where they were."""

    name: str
    given: tuple[str, ...]
    where: str
    settings: StudySettings
    variants: tuple[Variant, ...]

    def command(self, verb: str) -> str:
        """The line that runs or reports this study."""
        return join(["think", "ablate", verb, *self.given])

    @property
    def base(self) -> Variant:
        return next(variant for variant in self.variants if variant.name == self.settings.base)


@dataclass(frozen=True)
class Shared:
    """What the two cells of a pair must have in common: digest of the data, digest of their order, and tokens read."""

    pack: str
    order: str
    tokens: int

    def as_json(self) -> dict[str, Any]:
        return {"pack": self.pack, "order": self.order, "tokens": self.tokens}

    def unlike(self, other: "Shared") -> str | None:
        """In what the two differ; None when they may be paired."""
        pairs = {
            "data": (self.pack[:12], other.pack[:12]),
            "order of the data": (self.order[:12], other.order[:12]),
            "tokens": (f"{self.tokens:,}", f"{other.tokens:,}"),
        }
        found = [f"{what} {one}, not {two}" for what, (one, two) in pairs.items() if one != two]
        return "; ".join(found) or None


@dataclass(frozen=True)
class Cell:
    """One training. `flops` weighs it among others; `settings` are those that it is trained with."""

    id: str
    variant: Variant
    seed: int
    settings: RunSettings
    parameters: int
    flops: float
    shared: Shared

    @property
    def name(self) -> str:
        """Name of its run folder."""
        return f"{self.variant.name}-seed{self.seed}-{self.id[:8]}"

    @property
    def steps(self) -> int:
        return self.settings.stage1.steps

    def command(self, out: str) -> list[str]:
        """What follows `think train`, to train it into the run folder `out`."""
        changes = [*self.variant.changes, f"stage1.steps={self.steps}"]
        given = [part for change in changes for part in ("--set", change)]
        data = ["--data", self.settings.data.path]
        return ["stage1", "--preset", self.variant.preset, *given, *data, "--seed", str(self.seed), "--out", out]


def refuse_equal(variants: Sequence[Variant]) -> None:
    """Raises BadSettings naming two variants whose models and training are the same."""
    met: dict[str, Variant] = {}
    for variant in variants:
        text = deciding_but_for_time(variant.settings)
        if text in met:
            other = met[text]
            raise BadSettings(
                f"the variants {other.name!r} and {variant.name!r} are the same",
                where=variant.where,
                expected="settings that differ from every other variant's",
                remedy=f"take one out, or change one of them; {other.name!r} stands at {other.where}",
            )
        met[text] = variant


def open_data(study: Study, machine: Machine) -> dict[str, Packed]:
    """The data of each variant, checked against its settings.

    Raises Missing, BadData and BadSettings as training would, and BadSettings for a variant on other data than the
    base's.
    """
    check = plugins.load(STAGES, "stage1").check
    packs: dict[str, Packed] = {}
    for variant in [study.base, *study.variants]:
        settings = variant.settings
        packs[variant.name] = check(
            Request(
                settings=settings.stage1,
                model=settings.model,
                tokenizer=settings.tokenizer,
                data=settings.data,
                pack_command=f"think data pack --preset {variant.preset}",
                machine=machine,
                preset=variant.preset,
                digests={},
            )
        )
        one, other = packs[study.base.name], packs[variant.name]
        if one.digest != other.digest:
            raise BadSettings(
                f"the variant {variant.name!r} would be trained on other data than the base {study.base.name!r}: "
                f"{other.path} ({other.digest[:12]}…), not {one.path} ({one.digest[:12]}…)",
                where=variant.where,
                expected="the same packed data for all variants",
                remedy="name one folder for all: data = FOLDER at the top of the study",
            )
    return packs


def tokens_of(settings: Stage1Settings, steps: int) -> int:
    """Tokens that so many steps read."""
    return settings.rows * clock(settings.schedule, steps, settings.length, settings.curriculum).tokens_per_row


def steps_for(settings: Stage1Settings, tokens: int) -> int | None:
    """The number of steps that reads exactly so many tokens; None when there is none."""
    few, many = 0, -(-tokens // (settings.rows * min([settings.length, *(s.length for s in settings.curriculum)])))
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if tokens_of(settings, middle) >= tokens else (middle, many)
    return many if many and tokens_of(settings, many) == tokens else None


def common_steps(study: Study, wanted: int) -> int:
    """The most steps of the base, `wanted` or a little less, whose tokens every variant can read exactly.

    Raises BadSettings when there is no such number.
    """
    base = study.base.settings.stage1
    for steps in range(wanted, int(wanted * (1 - FEWER_STEPS)), -1):
        tokens = tokens_of(base, steps)
        if all(steps_for(variant.settings.stage1, tokens) is not None for variant in study.variants):
            return steps
    tokens = tokens_of(base, wanted)
    odd = next(v for v in study.variants if steps_for(v.settings.stage1, tokens) is None)
    raise BadSettings(
        f"the variant {odd.name!r} cannot read exactly the {tokens:,} tokens that {wanted:,} steps of the base read",
        where=odd.where,
        expected="lengths of which a whole number of steps gives the same tokens",
        remedy="choose another budget, or lengths that divide one another",
    )


def cells(study: Study, packs: dict[str, Packed], steps: int, seeds: Sequence[Seed]) -> list[Cell]:
    """Every cell, seed by seed, so that pairs are complete as early as can be.

    steps: of the base. Raises BadSettings where a variant reads other tokens, or in another order, than the base.
    """
    tokens = tokens_of(study.base.settings.stage1, steps)
    sizes = {v.name: _sizes(v.settings) for v in study.variants}
    found: list[Cell] = []
    for seed in seeds:
        made = []
        for variant in study.variants:
            own = steps_for(variant.settings.stage1, tokens)
            if own is None:
                raise BadSettings(
                    f"the variant {variant.name!r} cannot read exactly {tokens:,} tokens", where=variant.where
                )
            settings = _at(variant, own, seed)
            pack = packs[variant.name]
            shared = Shared(pack.digest, order_of(pack, settings.stage1, tokens), tokens)
            count, flops = sizes[variant.name]
            made.append(Cell(_id(settings, pack), variant, seed, settings, count, flops * tokens, shared))
        base = next(cell for cell in made if cell.variant.name == study.base.name)
        for cell in made:
            _refuse_unlike(cell, base)
        found += made
    return found


def order_of(packed: Packed, settings: Stage1Settings, tokens: int) -> str:
    """Digest of what each row reads at the start, in the middle and at the end of so many tokens."""
    tracks = Tracks(packed.split("train"), settings.rows, settings.seed)
    per_row = tokens // settings.rows
    window = min(WINDOW, per_row, tracks.epoch_length)
    total = hashlib.sha256(f"{settings.rows} {settings.reset_period}".encode())
    for position in (0, (per_row - window) // 2, per_row - window):
        total.update(tracks.at(position, window).tokens.numpy().tobytes())
    return total.hexdigest()


def deciding(settings: RunSettings) -> str:
    """Canonical text of the sections that decide a result beside the data."""
    return _canonical(_deciding(settings, timed=True))


def deciding_but_for_time(settings: RunSettings) -> str:
    """The same without the number of steps and the seed."""
    return _canonical(_deciding(settings))


def run_folder(root: Path, cell: Cell) -> Path:
    """Where a cell is trained; `root` is the folder of all ablations."""
    return root / "cells" / cell.name


def _refuse_unlike(cell: Cell, base: Cell) -> None:
    unlike = cell.shared.unlike(base.shared)
    if unlike:
        raise BadSettings(
            f"the variant {cell.variant.name!r} cannot be paired with the base {base.variant.name!r}: {unlike}",
            where=cell.variant.where,
            expected="equal rows, resets, data and tokens",
            remedy="leave to the preset of the base what decides the order of the data",
        )


def _at(variant: Variant, steps: int, seed: int) -> RunSettings:
    """The settings of one cell, validated once more: a short budget may not hold a warm-up."""
    stage = {**variant.settings.stage1.model_dump(mode="json"), "steps": steps, "seed": seed}
    try:
        made = Stage1Settings.model_validate_json(json.dumps(stage))
    except ValidationError as error:
        raise BadSettings(
            f"the variant {variant.name!r} cannot be trained for {steps:,} steps: {error.errors()[0]['msg']}",
            where=variant.where,
            remedy="a larger budget, or a change of the study such as stage1.schedule.warmup=20",
        ) from None
    return variant.settings.model_copy(update={"stage1": made})


def _sizes(settings: RunSettings) -> tuple[int, float]:
    return parameters(settings.model), float(flops_per_token(settings.model, settings.stage1.longest))


def _id(settings: RunSettings, packed: Packed) -> str:
    decides = {
        **_deciding(settings, timed=True),
        "pack": packed.digest,
        "package": version("think-toolkit"),
        "torch": torch.__version__,
    }
    return hashlib.sha256(_canonical(decides).encode()).hexdigest()


def _deciding(settings: RunSettings, *, timed: bool = False) -> dict[str, Any]:
    """Sections that change a result; without `timed` not how long, nor with which seed."""
    stage = settings.stage1.model_dump(mode="json")
    if not timed:
        stage = {key: value for key, value in stage.items() if key not in ("steps", "seed")}
    return {"model": settings.model.model_dump(mode="json"), "stage1": stage}


def _canonical(tree: Any) -> str:
    return json.dumps(tree, sort_keys=True, separators=(",", ":"))
