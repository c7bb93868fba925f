"""The sweep: try every case, and say for each setting whether it does what it says."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from think.core.effects.cases import Case
from think.core.effects.fixtures import REFUSED
from think.core.effects.laboratory import Laboratory, settings_of
from think.core.errors import MachineCannot, ThinkError
from think.core.settings import RunSettings
from think.presets.base import Channel

HARMLESS: tuple[Channel, ...] = ("cadence", "evaluation")
"Channels that watch a run: whatever acts on them must leave the weights as they are, to the bit."

NOT_COMPARED = ("runtime.compile",)
"Runtime settings whose result is compared by a test of their own: compiling takes longer than the whole sweep."

CLOSE = 2e-3
"Relative difference of losses that another kernel or thread count may make in a few steps; rounding, amplified."


@dataclass(frozen=True)
class Effect:
    """What became of one setting. `moved`: the channel moved, and nothing else that it must leave alone."""

    case: Case
    value: Any
    moved: bool
    why: str


def sweep(
    laboratory: Laboratory, every: Iterable[Case], tell: Callable[[Case], Any] = lambda case: None
) -> Iterator[Effect]:
    """Try each case in turn."""
    for case in every:
        tell(case)
        yield try_case(laboratory, case)


def try_case(laboratory: Laboratory, case: Case) -> Effect:
    """Change one setting to each of its other values until its channel moves."""
    before = settings_of(case.tree)
    if unsteady := laboratory.unsteady(case.channel, case.key, before):
        return Effect(case, None, False, f"two equal runs differ in {unsteady}")
    tried: list[str] = []
    for other in case.others:
        try:
            after = settings_of(case.changed(other))
        except ValidationError:
            continue
        why = _stood_still(laboratory, case, before, after)
        if why is None:
            return Effect(case, other, True, "")
        tried.append(f"{other!r}: {why}")
    return Effect(case, None, False, "; ".join(tried) or "no other value was legal")


def _stood_still(laboratory: Laboratory, case: Case, before: RunSettings, after: RunSettings) -> str | None:
    """What is wrong with the effect of a change, None when it is as it should be."""
    old = laboratory.fingerprint(case.channel, case.key, before)
    try:
        new = laboratory.fingerprint(case.channel, case.key, after)
    except ThinkError as error:
        honest = case.key in REFUSED and (case.channel != "runtime" or isinstance(error, MachineCannot))
        return None if honest else f"refused: {error.what}"
    still = [part for part in old if old[part] == new[part]]
    if still:
        return f"{', '.join(still)} did not change"
    if case.channel in HARMLESS and laboratory.weights(before, case.key) != laboratory.weights(after, case.key):
        return "the weights changed too"
    if case.channel == "runtime" and case.key not in NOT_COMPARED:
        losses = zip(laboratory.result(before), laboratory.result(after), strict=True)
        if not all(math.isclose(one, other, rel_tol=CLOSE) for one, other in losses):
            return "the losses changed too"
    return None
