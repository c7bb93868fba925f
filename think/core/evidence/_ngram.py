"""Models that know only which token follows which few: what a language model must beat before its loss says anything.

Interpolated Kneser-Ney with one discount an order:    [Kneser & Ney 1995; Chen & Goodman 1999, section 3]

    p_n(w | h) = max(c(h w) - d_n, 0) / c(h) + d_n N(h) / c(h) p_{n-1}(w | h')
    d_n = n1 / (n1 + 2 n2), and 1/2 where either is zero

c counts windows of n tokens at the highest order; below it, in how many different contexts a window occurs (how often,
where it begins a document). N(h) is how
many different tokens follow h, h' is h without its oldest token, n1 and n2 are how many windows have count one and two.
The lowest order is interpolated with 1 / V, so that every token has a probability. Where h never occurred, p_n is
p_{n-1}. The context is cut at the beginning of a document, as a model's is. Windows are counted by 64-bit hashes; among
a hundred million windows two share one with a probability of about 0.0003.

V tokens of the vocabulary
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from think.core.data.batches import passes
from think.core.data.store import Split

Ids = NDArray[np.int64]
Hashes = NDArray[np.uint64]

MOST_TOKENS = 1 << 24
"Training tokens counted, from the beginning: sorting more would take minutes and gigabytes."

_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class _Order:
    """One order: hashes of windows in ascending order with their counts, and the same of their contexts.

    totals, kinds   for each context: the sum of the counts of its windows, and how many different ones
    """

    windows: Hashes
    counts: Ids
    contexts: Hashes
    totals: Ids
    kinds: Ids
    discount: float


@dataclass(frozen=True)
class Ngram:
    """A fitted model of `orders[-1]` and all below; nats of a token given what stands before it in its document."""

    orders: tuple[_Order, ...]
    vocabulary: int
    fitted_on: int

    def nats(self, tokens: Ids, first: Ids) -> NDArray[np.float64]:
        """-ln p of every token, in one text; first: for each position where its document begins."""
        probability = np.full(tokens.shape, 1.0 / self.vocabulary)
        for index, order in enumerate(self.orders):
            windows, contexts = _hashes(tokens, index + 1)
            inside = np.arange(len(tokens)) - index >= first
            at = _find(order.contexts, contexts)
            known = inside & (at >= 0)
            total = np.where(known, order.totals[at], 1).astype(np.float64)
            count = np.where(known, _look(order.windows, order.counts, windows), 0)
            own = np.maximum(count - order.discount, 0.0) / total
            rest = order.discount * np.where(known, order.kinds[at], 0) / total
            probability = np.where(known, own + rest * probability, probability)
        found: NDArray[np.float64] = -np.log(probability)
        return found

    def blocks(self, split: Split, rows: int, length: int, count: int) -> list[tuple[float, float]]:
        """(nats, scored tokens) of the first `count` batches of a pass over a split, as evaluation reads it.

        Each row is a track: the context runs on from batch to batch and is cut where a document begins.
        """
        batches = [batch for batch, _ in zip(passes(split, rows, length), range(count), strict=False)]
        losses = np.zeros((rows, sum(batch.tokens.shape[1] for batch in batches)))
        for row in range(rows):
            tokens = np.concatenate([batch.tokens[row].numpy() for batch in batches])
            targets = np.concatenate([batch.targets[row].numpy() for batch in batches])
            resets = np.concatenate([batch.reset[row].numpy() for batch in batches])
            starts = np.maximum.accumulate(np.where(resets, np.arange(len(tokens)), 0))
            # The target of the last place is the one token that no later place repeats.
            text = np.concatenate([tokens, targets[-1:]])
            first = np.concatenate([starts, starts[-1:]])
            unequal = text[1:] != targets  # where a document ends, the text goes on with another one
            found = self.nats(text, first)[1:]
            losses[row] = np.where(unequal, 0.0, found)
        result, start = [], 0
        for batch in batches:
            stop = start + batch.tokens.shape[1]
            weights = batch.weights.numpy().astype(np.float64)
            result.append((float((losses[:, start:stop] * weights).sum()), float(weights.sum())))
            start = stop
        return result


def fit(split: Split, vocabulary: int, order: int) -> Ngram:
    """Count the windows of 1 to `order` tokens inside the documents of a split's first MOST_TOKENS tokens."""
    size = min(split.tokens, MOST_TOKENS)
    tokens = split.read(0, size)
    document = split.starts.searchsorted(np.arange(size), side="right") - 1
    first = split.starts[document]
    orders: list[_Order] = []
    distinct: Ids | None = None  # positions where a window of the order above occurs for the first time
    for length in range(order, 0, -1):
        windows, contexts = _hashes(tokens, length)
        inside = np.arange(size) - (length - 1) >= first
        # The document's first token is given and never predicted: no window ends there.
        inside &= np.arange(size) > first
        at = np.flatnonzero(inside)
        # A window at the beginning of a document has nothing before it: there the occurrences themselves count.
        leading = at[at - (length - 1) == first[at]]
        counted = at if distinct is None else np.concatenate([distinct, leading])
        unique, counts = np.unique(windows[counted], return_counts=True)
        orders.append(_order(unique, counts, windows, contexts, counted))
        _, places = np.unique(windows[at], return_index=True)
        distinct = at[places]
    return Ngram(tuple(reversed(orders)), vocabulary, int((np.arange(size) > first).sum()))


def _order(unique: Hashes, counts: Ids, windows: Hashes, contexts: Hashes, counted: Ids) -> _Order:
    _, places = np.unique(windows[counted], return_index=True)
    context_of = contexts[counted][places]  # of each distinct window, in the order of `unique`
    held, inverse, kinds = np.unique(context_of, return_inverse=True, return_counts=True)
    totals = np.bincount(inverse, weights=counts, minlength=len(held)).astype(np.int64)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once and twice else 0.5
    return _Order(unique, counts, held, totals, kinds, discount)


def _hashes(tokens: Ids, length: int) -> tuple[Hashes, Hashes]:
    """For each position the hash of the `length` tokens that end there, and of those but the last one.

    Positions with too few tokens before them get hashes that mean nothing.
    """
    values = _mix(tokens.astype(np.uint64) + np.uint64(1))
    context = np.zeros(len(tokens), np.uint64)
    for back in range(length - 1, 0, -1):
        shifted = np.concatenate([np.zeros(back, np.uint64), values[:-back]]) if back < len(values) else values * 0
        context = _mix(context * _FACTOR + shifted)
    return _mix(context * _FACTOR + values), context


def _mix(value: Hashes) -> Hashes:
    """The finaliser of splitmix64: neighbouring numbers become unrelated ones.    [Steele et al. 2014]"""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _find(sorted_hashes: Hashes, wanted: Hashes) -> Ids:
    """Index of each hash, -1 where it is not there."""
    at = np.minimum(sorted_hashes.searchsorted(wanted), max(len(sorted_hashes) - 1, 0))
    if not len(sorted_hashes):
        return np.full(wanted.shape, -1)
    return np.where(sorted_hashes[at] == wanted, at, -1)


def _look(sorted_hashes: Hashes, counts: Ids, wanted: Hashes) -> Ids:
    at = _find(sorted_hashes, wanted)
    return np.where(at >= 0, counts[at], 0)
