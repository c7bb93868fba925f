"""Copying: a text, then a sign, then the text again, symbol for symbol; what was written so far is seen."""

from random import Random

from think.core.data.tasks import UNSCORED, Prediction, Row, Task

LETTERS = 26
AGAIN = LETTERS
"The sign after which the text is to be repeated."


def propose(random: Random, size: int) -> Row:
    """A text of `size` letters: its labels stand from the sign on, one symbol ahead."""
    text = tuple(random.choices(range(LETTERS), k=size))
    return Row((*text, AGAIN, *text[:-1]), (*[UNSCORED] * size, *text), text)


SPEC = Task(
    family="recall",
    symbols=LETTERS + 1,
    propose=propose,
    size="letters",
    trained=(4, 32),
    tested=(16, 32, 64, 128),
    chance=lambda size: 1 / LETTERS,
    trial="all",
    predictions=(
        Prediction(
            "attention, two layers or more",
            "copies texts that are exponentially longer than its size; beyond trained lengths if positions allow it",
            "Jelassi et al. 2024",
        ),
        Prediction(
            "Mamba-2, RWKV-6 and their hybrid, a state of fixed size",
            "cannot copy more than its state holds, and needs far more data for what it holds",
            "Jelassi et al. 2024",
        ),
    ),
)
