"""Counting models against a plain dictionary version, and as probabilities."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from think.core.data.tokenizer import BOS
from think.core.evidence import _ngram
from think.core.evidence._ngram import fit

VOCABULARY = 14


@dataclass
class Text:
    """What `fit` reads of a split: documents in a row, each begun by BOS."""

    documents: list[list[int]]

    def __post_init__(self) -> None:
        rows = [[BOS, *document] for document in self.documents]
        self.flat = np.array([token for row in rows for token in row])
        self.ends = np.cumsum([len(row) for row in rows])
        self.starts = self.ends - [len(row) for row in rows]
        self.tokens = len(self.flat)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.flat[start:stop]


def sample(seed: int, documents: int) -> Text:
    generator = np.random.default_rng(seed)
    return Text(
        [list(generator.choice([8, 9, 9, 9, 10, 11, 12], size=generator.integers(1, 15))) for _ in range(documents)]
    )


def slow(text: Text, order: int, context: list[int], word: int) -> float:
    """p(word | context) straight from the definition, with dictionaries of tuples."""
    rows = [[BOS, *document] for document in text.documents]
    raw = {n: Counter(tuple(r[i : i + n]) for r in rows for i in range(len(r) - n + 1)) for n in range(1, order + 2)}
    probability = 1.0 / VOCABULARY
    for n in range(1, order + 1):
        counts: Counter[tuple[int, ...]] = Counter()
        for window, count in raw[n].items():
            if n == 1 and window[0] == BOS:
                continue  # given, never predicted
            if n == order:
                counts[window] = count
            else:
                before = {longer for longer in raw[n + 1] if longer[1:] == window}
                leading = sum(tuple(r[:n]) == window for r in rows)
                counts[window] = len(before) + leading
        counts = +counts
        once, twice = (sum(count == c for count in counts.values()) for c in (1, 2))
        discount = once / (once + 2 * twice) if once and twice else 0.5
        history = tuple(context[len(context) - n + 1 :]) if n > 1 else ()
        if len(history) < n - 1:
            continue
        after = {window[-1]: count for window, count in counts.items() if window[:-1] == history}
        total = sum(after.values())
        if total:
            own = max(after.get(word, 0) - discount, 0.0) / total
            probability = own + discount * len(after) / total * probability
    return probability


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_as_the_definition_says(order: int) -> None:
    text = sample(order, 12)
    model = fit(text, VOCABULARY, order)  # type: ignore[arg-type]
    generator = np.random.default_rng(9)
    for _ in range(20):
        context = [BOS, *generator.choice([8, 9, 10, 13], size=generator.integers(0, 6)).tolist()]
        word = int(generator.choice([8, 9, 11, 12, 13]))
        tokens = np.array([*context, word])
        found = model.nats(tokens, np.zeros(len(tokens), np.int64))[-1]
        assert found == pytest.approx(-np.log(slow(text, order, context, word)))


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("context", [[BOS], [BOS, 9], [BOS, 9, 9, 8], [BOS, 13, 13, 13]])
def test_probabilities_sum_to_one(order: int, context: list[int]) -> None:
    model = fit(sample(3, 30), VOCABULARY, order)  # type: ignore[arg-type]
    total = 0.0
    for word in range(VOCABULARY):
        tokens = np.array([*context, word])
        total += np.exp(-model.nats(tokens, np.zeros(len(tokens), np.int64))[-1])
    assert total == pytest.approx(1.0)


def test_context_ends_at_the_beginning_of_a_document() -> None:
    model = fit(sample(4, 30), VOCABULARY, 3)  # type: ignore[arg-type]
    tokens = np.array([BOS, 8, 9, BOS, 10, 11])
    begins = np.array([0, 0, 0, 3, 3, 3])
    alone = model.nats(tokens[3:], np.zeros(3, np.int64))
    assert np.array_equal(model.nats(tokens, begins)[3:], alone)


def test_higher_orders_learn_what_lower_ones_cannot() -> None:
    text = Text([[8, 9, 10, 8, 11, 12] * 4] * 20)  # after 8 comes 9 or 11: only two tokens of context tell
    tokens = np.array([BOS, *[8, 9, 10, 8, 11, 12] * 4])
    first = np.zeros(len(tokens), np.int64)
    losses = [fit(text, VOCABULARY, order).nats(tokens, first)[1:].mean() for order in (1, 2, 3)]  # type: ignore[arg-type]
    assert losses[0] > losses[1] + 0.5 > losses[2] + 0.5
    assert losses[2] < 0.1


def test_only_the_first_tokens_are_counted_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    text = sample(5, 40)
    whole = fit(text, VOCABULARY, 2).fitted_on  # type: ignore[arg-type]
    monkeypatch.setattr(_ngram, "MOST_TOKENS", 50)
    assert fit(text, VOCABULARY, 2).fitted_on < 50 < whole  # type: ignore[arg-type]
