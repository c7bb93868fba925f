"""Every finished training of one preset, by seed, beside its twin's and beside counting models."""

import math

from think.core.data.store import Packed
from think.core.data.tokenizer import CONTROL
from think.core.evidence import Producer, Subject
from think.core.evidence import _ngram as ngram
from think.core.evidence._peers import Peer, command, peers
from think.core.evidence._trained import Finished, finished, recheck_checkpoint, source
from think.core.gates.checks.g5 import ORDERS
from think.core.gates.evidence import Absent, Exhibit, ScaleComparison, SeedPair
from think.core.training.evaluate import Score, evaluate

TOKENS = 1 << 16
"Held-out tokens that all read, from the head of every track."
BLOCKS = 32


def produce(subject: Subject) -> Exhibit | Absent:
    """Evaluate all runs of the model and of its twin on the same held-out tokens; pairs are of one seed."""
    own = finished(subject)
    if isinstance(own, Absent):
        return own
    if subject.twin is None or subject.root is None:
        return Absent(why="the preset names no twin to compare with", remedy="name one in the preset: twin = NAME")
    pack = own.trained.packed.digest
    mine, theirs = (_by_seed(subject, model, pack) for model in (subject.digests["model"], subject.twin.model))
    pairs: list[SeedPair] = []
    left_out: list[str] = []
    twin_parameters = 0
    for seed, peer in sorted(mine.items()):
        if seed not in theirs:
            left_out.append(f"{peer.run.name}: `{command(subject, subject.twin.preset, seed)}` makes its twin")
            continue
        ends = [finished(each.subject(subject)) for each in (peer, theirs[seed])]
        left_out += [end.why for end in ends if isinstance(end, Absent)]
        one, other = ends
        if isinstance(one, Absent) or isinstance(other, Absent):
            continue
        if not one.seen.tokens == other.seen.tokens == own.seen.tokens:
            left_out.append(f"{one.run.name} and {other.run.name} were trained on unequal numbers of tokens")
            continue
        twin_parameters = _parameters(other)
        loss, twin_loss = (_score(subject, each).loss for each in (one, other))
        pairs.append(SeedPair(seed=seed, run=one.run.name, loss=loss, baseline=other.run.name, baseline_loss=twin_loss))
    score = _score(subject, own)
    counting, counted, width = _counting(subject, own.trained.packed, score)
    return Exhibit(
        evidence=ScaleComparison(
            preset=subject.place.removeprefix("--preset ").removeprefix("--run "),
            parameters=_parameters(own),
            baseline_preset=subject.twin.preset,
            baseline_parameters=twin_parameters or _parameters(own),
            trained_on=own.seen.tokens,
            pairs=tuple(pairs),
            unpaired=tuple(left_out),
            counting=counting,
            counted=counted,
            held_out_tokens=score.tokens,
            bytes_per_token=width,
        ),
        source=source(subject, own.run, own.spans, own.trained),
    )


def _by_seed(subject: Subject, model: str, pack: str) -> dict[int, Peer]:
    """The newest finished run of each seed with this model, these data and as many steps as asked."""
    found: dict[int, Peer] = {}
    for peer in peers(subject.root, {"model": model, "pack": pack}) if subject.root is not None else ():
        if peer.settings.stage1.steps == subject.settings.stage1.steps:
            found.setdefault(peer.settings.stage1.seed, peer)
    return found


def _shape(subject: Subject, tokens: int) -> tuple[int, int]:
    """Rows and length of the batches in which held-out text is read."""
    rows = subject.settings.stage1.evaluation.rows
    return rows, max(1, min(tokens, TOKENS) // (rows * BLOCKS))


def _score(subject: Subject, run: Finished) -> Score:
    split = run.trained.split
    return evaluate(run.trained.model, split, *_shape(subject, split.tokens), tokens=TOKENS)


def _counting(subject: Subject, packed: Packed, score: Score) -> tuple[dict[int, float], int, float]:
    """Loss of each counting model on the tokens that were scored, tokens counted, and bytes per scored token."""
    split, train = packed.split("validation"), packed.split("train")
    vocabulary = max(packed.tokenizer.size, len(CONTROL))
    rows, length = _shape(subject, split.tokens)
    losses, counted = {}, 0
    for order in ORDERS:
        model = ngram.fit(train, vocabulary, order)
        counted = model.fitted_on
        blocks = model.blocks(split, rows, length, len(score.blocks))
        scored = sum(weight for _, weight in blocks)
        losses[order] = sum(nats for nats, _ in blocks) / scored if scored else math.nan
    size = min(split.tokens, TOKENS)
    text = split.read(0, size)[split.mask(0, size) > 0]
    return losses, counted, len(packed.tokenizer.decode(text.tolist()).encode()) / max(len(text), 1)


def _parameters(run: Finished) -> int:
    return sum(each.numel() for each in run.trained.model.parameters())


SPEC = Producer(produce, recheck_checkpoint)
