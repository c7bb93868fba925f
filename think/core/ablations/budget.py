"""How long each training lasts: steps as the study says, or minutes turned into steps by a speed measured once.

The measured speed is recorded with the steps that it gave, under what it hangs on: the minutes, the base's model and
training, and the data. So a study that is run again, or another study on the same base, gets the same number of
tokens, however busy the machine is by then.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from think.core.ablations.cells import Study, common_steps, deciding_but_for_time, tokens_of
from think.core.ablations.ledger import Ledger
from think.core.data.store import Packed
from think.core.device import Machine
from think.core.training.speed import measure


@dataclass(frozen=True)
class Budget:
    """steps: of the base.   tokens: of every cell.   speed: tokens per second behind it; None where steps were given.

    fewer: the study asked for more steps than this, of which not every variant could read the tokens exactly.
    """

    steps: int
    tokens: int
    speed: float | None = None
    minutes: float | None = None
    fewer: int | None = None

    def said(self) -> str:
        text = f"{self.tokens:,} tokens a cell ({self.steps:,} steps of the base)"
        if self.minutes is not None and self.speed is not None:
            text += f", from {self.minutes:g} minutes at {self.speed:,.0f} tokens per second, measured once"
        return text if self.fewer is None else f"{text}, for {self.fewer:,} steps would not suit every variant"


def resolve(
    study: Study, packed: Packed, ledger: Ledger, machine: Machine, *, record: bool, say: Callable[[str], None]
) -> Budget:
    """The budget of a study; minutes are measured when no earlier run has recorded them, and recorded if `record`.

    Raises BadSettings when no number of steps gives all variants equal tokens.
    """
    asked = study.settings.budget
    if asked.steps is not None:
        return _budget(study, asked.steps)
    assert asked.minutes is not None, "a study is checked before it is resolved"
    key = hashlib.sha256(
        f"{asked.minutes:g} {packed.digest} {deciding_but_for_time(study.base.settings)}".encode()
    ).hexdigest()
    budgets = ledger.read().budgets
    if key not in budgets:
        say(f"measuring the speed of the base, {study.base.name}, to turn {asked.minutes:g} minutes into tokens")
        settings = study.base.settings
        speed = measure(settings.model, settings.stage1, machine).tokens_per_second
        steps = max(int(asked.minutes * 60 * speed / tokens_of(settings.stage1, 1)), 1)
        found = {"key": key, "study": study.name, "minutes": asked.minutes, "steps": steps, "tokens_per_second": speed}
        if not record:
            return _budget(study, steps, speed)
        ledger.append("budget", found)
        budgets = ledger.read().budgets  # of two that measured at once, the first one counts for both
    return _budget(study, budgets[key]["steps"], budgets[key]["tokens_per_second"])


def _budget(study: Study, wanted: int, speed: float | None = None) -> Budget:
    steps = common_steps(study, wanted)
    return Budget(
        steps=steps,
        tokens=tokens_of(study.base.settings.stage1, steps),
        speed=speed,
        minutes=study.settings.budget.minutes,
        fewer=None if steps == wanted else wanted,
    )
