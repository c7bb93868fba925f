"""Multi-query associative recall: pairs of a key and a value, then keys among random symbols; each asks for its value.

A row of n pairs has max(64, 4 n) symbols: 2 n for the pairs, then places two symbols apart, of which n hold a key. Near
places are likelier, by a power law with exponent 0.01 - 1. Keys and values are two halves of the symbols, and none is
used twice in a row. All other symbols are random, but never a key of the row, so that every label is exact.
[Arora et al. 2023, "Zoology", with the parameters of its published generator; our own code]
"""

from random import Random

from think.core.data.tasks import UNSCORED, Prediction, Row, Task

SYMBOLS = 2048
"Zoology's finding is that fewer than a thousand do not tell architectures apart; its own 8,192 are dear on a laptop."

KEYS = SYMBOLS // 2
SHORTEST = 64
POWER = 0.01


def propose(random: Random, size: int) -> Row:
    """A row of `size` pairs."""
    keys = random.sample(range(KEYS), size)
    values = random.sample(range(KEYS, SYMBOLS), size)
    length = max(SHORTEST, 4 * size)
    places = (length - 2 * size) // 2
    # draws without replacement in proportion to a weight: the largest of u^(1 / weight)    [Efraimidis & Spirakis 2006]
    drawn = [random.random() ** (1 / (place + 1) ** (POWER - 1)) for place in range(places)]
    chosen = sorted(range(places), key=drawn.__getitem__, reverse=True)[:size]
    own = set(keys)
    symbols = [symbol for pair in zip(keys, values, strict=True) for symbol in pair]
    symbols += [_filler(random, own) for _ in range(length - 2 * size)]
    labels = [UNSCORED] * length
    for key, value, place in zip(keys, values, chosen, strict=True):
        symbols[2 * size + 2 * place], labels[2 * size + 2 * place] = key, value
    pairs = sorted(zip(keys, values, strict=True))
    asked = [key for _, key in sorted(zip(chosen, keys, strict=True))]
    canonical = (*(symbol for pair in pairs for symbol in pair), *asked)
    return Row(tuple(symbols), tuple(labels), canonical)


def _filler(random: Random, own: set[int]) -> int:
    while (symbol := random.randrange(SYMBOLS)) in own:
        pass
    return symbol


SPEC = Task(
    family="recall",
    symbols=SYMBOLS,
    propose=propose,
    size="pairs",
    trained=(2, 16),
    tested=(4, 8, 16, 32, 64),
    chance=lambda size: 1 / size,
    trial="all",
    predictions=(
        Prediction(
            "attention, two layers or more, or one layer among recurrent ones",
            "solves it, as far as its context reaches: one layer marks what follows a key, one looks it up",
            "Arora et al. 2023; Olsson et al. 2022",
        ),
        Prediction(
            "Mamba-2, RWKV-6 and their hybrid, a state of fixed size",
            "solves it up to as many pairs as the state holds, in proportion to its size, and in a narrow window of "
            "learning rates; a failure says nothing without several rates and seeds",
            "Arora et al. 2023; Okpekpe & Orvieto 2025",
        ),
    ),
)
