"""What the branches of a hybrid are worth: how far the held-out loss rises when one of them is replaced in all layers.

By zero, by its mean output, and by what it says about another text (`core.diagnostics.branches`). A model whose blocks
have no such branch has no figure: "not a number", which reports leave out.
"""

import math

from think.core import assembled
from think.core.ablations.measures import Figure, Measure
from think.core.data.store import Packed
from think.core.diagnostics.branches import WAYS, branches, contributions
from think.core.runs import RunFolder

BRANCHES = ("rwkv", "mamba")

TOKENS = 32_768
"Held-out tokens that are read for each replacement, the first ones."

FIGURES = {f"{branch}_by_{way}": Figure("nats per token", "higher") for branch in BRANCHES for way in WAYS}
"The rise of the loss. A branch that costs little by zero, mean and other text is close to dead weight."


def measure(run: RunFolder) -> dict[str, float]:
    """Raises BadData or Missing when the last checkpoint or its data cannot be read."""
    held = assembled.load(run.path)
    figures = dict.fromkeys(FIGURES, math.nan)
    if not branches(held.model):
        return figures
    stage = held.settings.stage1
    split = Packed.open(held.settings.data.path).split("validation")
    found = contributions(
        held.model, split, stage.evaluation.rows, stage.length, tokens=TOKENS, each_layer=False
    ).replacements
    return figures | {f"{each.branch}_by_{each.by}": each.change.value for each in found}


SPEC = Measure(FIGURES, measure)
