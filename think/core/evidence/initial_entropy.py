"""Entropy of the first guesses of freshly initialised models, on random tokens."""

import torch

from think.core import seeding
from think.core.evidence import Producer, Subject
from think.core.evidence._probe import full_context
from think.core.gates.evidence import Exhibit, InitialEntropy, Source
from think.core.models import build
from think.core.provenance import commit

SEEDS = 3
"Initialisations looked at, beginning with the run's own."
ROWS = 4
LENGTH = 128
"Positions are ROWS times LENGTH for each initialisation: the spread of a mean over so many is below one per cent."


def produce(subject: Subject) -> Exhibit:
    """Build the model SEEDS times, as stage 1 would, and average the entropy of its predictions, in nats."""
    first = subject.settings.stage1.seed
    vocabulary = subject.settings.model.vocabulary
    length = min(LENGTH, full_context(subject.settings.model) or LENGTH)
    with seeding.untouched():
        means = tuple(_entropy(subject, seed, length) for seed in range(first, first + SEEDS))
    commit_now, dirty = commit()
    return Exhibit(
        evidence=InitialEntropy(nats=means, vocabulary=vocabulary, positions=ROWS * length),
        source=Source(digests=dict(subject.digests), seed=first, commit=commit_now, dirty=dirty),
    )


@torch.no_grad()
def _entropy(subject: Subject, seed: int, length: int) -> float:
    seeding.start(seed, "stage1", "initialisation")
    model = build(subject.settings.model).eval()
    source = seeding.generator(seed, "gates", "tokens")
    tokens = torch.randint(subject.settings.model.vocabulary, (ROWS, length), generator=source)
    logits, _ = model(tokens)
    log_shares = logits.double().log_softmax(dim=-1)
    return float(-(log_shares.exp() * log_shares).sum(dim=-1).mean())


SPEC = Producer(produce)
