"""A finished run beside a finished baseline, both evaluated now on the same held-out tokens."""

from think.core.diagnostics.branches import branches, difference
from think.core.evidence import Producer, Subject
from think.core.evidence._peers import Peer, baseline, command
from think.core.evidence._trained import Finished, finished, recheck_checkpoint, source
from think.core.gates.evidence import Absent, BaselineComparison, Contestant, Exhibit
from think.core.training.evaluate import Score, evaluate

TOKENS = 1 << 16
"Held-out tokens that both read, from the head of every track."
BLOCKS = 32
"Blocks that they are cut into, for an interval."


def produce(subject: Subject) -> Exhibit | Absent:
    """Evaluate both models. A baseline of another tokenizer, other data, tokens or seed is refused by name."""
    own = finished(subject)
    if isinstance(own, Absent):
        return own
    peer = baseline(subject)
    if isinstance(peer, Absent):
        return peer
    other = finished(peer.subject(subject))
    if isinstance(other, Absent):
        return Absent(why=f"the baseline {peer.run.name}: {other.why}", remedy=other.remedy)
    unlike = _unlike(own, other, subject, peer)
    if unlike:
        preset = subject.twin.preset if subject.twin is not None else "TWIN"
        return Absent(
            why=f"{own.run.name} and its baseline {other.run.name} cannot be compared: {unlike}",
            remedy=f"`{command(subject, preset, subject.settings.stage1.seed)}`",
        )
    split, stage = own.trained.split, subject.settings.stage1
    rows = stage.evaluation.rows
    length = max(1, min(split.tokens, TOKENS) // (rows * BLOCKS))
    mine, theirs = (evaluate(each.trained.model, split, rows, length, tokens=TOKENS) for each in (own, other))
    gap = difference(mine, theirs)
    return Exhibit(
        evidence=BaselineComparison(
            run=_contestant(own, subject, mine),
            baseline=_contestant(other, peer.subject(subject), theirs),
            difference=gap.value,
            low=gap.low,
            high=gap.high,
            blocks=gap.count,
            held_out_tokens=mine.tokens,
            evaluations=own.seen.evaluations,
            gradient_ratios=own.seen.gradient_ratios,
            branches=tuple(sorted({name for _, name in branches(own.trained.model)})),
        ),
        source=source(subject, own.run, own.spans, own.trained),
    )


def _unlike(own: Finished, other: Finished, subject: Subject, peer: Peer) -> str | None:
    """In what the two runs differ that must be equal; None when they can be compared."""
    pairs = {
        "data": (own.trained.packed.digest[:12], other.trained.packed.digest[:12]),
        "tokens": (own.seen.tokens, other.seen.tokens),
        "seed": (subject.settings.stage1.seed, peer.settings.stage1.seed),
    }
    found = [f"{name} {one} and {two}" for name, (one, two) in pairs.items() if one != two]
    return ", ".join(found) or None


def _contestant(finished: Finished, subject: Subject, score: Score) -> Contestant:
    return Contestant(
        run=finished.run.name,
        steps=finished.seen.steps_done,
        tokens=finished.seen.tokens,
        parameters=sum(each.numel() for each in finished.trained.model.parameters()),
        seed=subject.settings.stage1.seed,
        pack=finished.trained.packed.digest,
        checkpoint=finished.trained.digest,
        loss=score.loss,
    )


SPEC = Producer(produce, recheck_checkpoint)
