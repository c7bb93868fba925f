"""What the branches of a finished run's model are worth on its held-out text."""

from think.core.diagnostics.branches import contributions
from think.core.evidence import Producer, Subject
from think.core.evidence._trained import finished, recheck_checkpoint, source
from think.core.gates.evidence import Absent, BranchWorth, Exhibit, Worth

TOKENS = 1 << 15
"Held-out tokens read for each replacement, from the head of every track."
BLOCKS = 32
"Blocks that they are cut into, for an interval."


def produce(subject: Subject) -> Exhibit | Absent:
    """Evaluate the model that the run ended with, whole and with each branch replaced in all layers and in each."""
    found = finished(subject)
    if isinstance(found, Absent):
        return found
    split, settings = found.trained.split, subject.settings.stage1
    rows = max(2, settings.evaluation.rows)
    length = max(1, min(settings.longest, min(split.tokens, TOKENS) // (rows * BLOCKS)))
    seen = contributions(found.trained.model, split, rows, length, tokens=TOKENS)
    return Exhibit(
        evidence=BranchWorth(
            loss=seen.whole.loss,
            tokens=seen.whole.tokens,
            blocks=len(seen.whole.block_losses),
            worths=tuple(
                Worth(
                    layer=each.layer,
                    branch=each.branch,
                    by=each.by,
                    change=each.change.value,
                    low=each.change.low,
                    high=each.change.high,
                )
                for each in seen.replacements
            ),
        ),
        source=source(subject, found.run, found.spans, found.trained),
    )


SPEC = Producer(produce, recheck_checkpoint)
