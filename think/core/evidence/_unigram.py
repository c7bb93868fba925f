"""A model that knows only how often each token occurs: the least that a language model must beat.

p(v) = (count of v among scored training targets + 1) / (scored training targets + V)         add-one, Laplace

V tokens of the vocabulary
"""

from dataclasses import dataclass

import numpy as np

from think.core.data.batches import passes
from think.core.data.store import Split
from think.core.data.tokenizer import BOS

READ = 1 << 22
"Tokens counted at a time: 32 MiB of int64."


@dataclass(frozen=True)
class Unigram:
    """nats: -ln p of every token id.   fitted_on: training targets counted."""

    nats: np.ndarray
    fitted_on: int

    def blocks(self, split: Split, rows: int, length: int, count: int) -> list[tuple[float, float]]:
        """(nats, scored tokens) of the first `count` batches of a pass over a split, as evaluation reads it."""
        found = []
        for batch, _ in zip(passes(split, rows, length), range(count), strict=False):
            weights = batch.weights.numpy().astype(np.float64)
            found.append((float((self.nats[batch.targets.numpy()] * weights).sum()), float(weights.sum())))
        return found


def fit(split: Split, vocabulary: int) -> Unigram:
    """Count the tokens, or labels, that training is scored on; `vocabulary` is at least as many as there are ids."""
    counts = np.zeros(vocabulary, dtype=np.int64)
    for start in range(0, split.tokens, READ):
        stop = min(split.tokens, start + READ)
        tokens = split.gather_labels(np.arange(start, stop)) if split.labelled else split.read(start, stop)
        if split.masked or split.labelled:
            tokens = tokens[split.mask(start, stop) > 0]
        counts += np.bincount(tokens, minlength=vocabulary)
    if not (split.masked or split.labelled):
        counts[BOS] = 0  # begins every document and is never a target
    total = int(counts.sum())
    return Unigram(np.log(total + vocabulary) - np.log(counts + 1.0), total)
