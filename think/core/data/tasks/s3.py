"""Permutations of three letters: after each one, what they make together. Moves that do not commute."""

from think.core.data.tasks import Prediction, Task
from think.core.data.tasks._words import ATTENTION, POSITIVE, TESTED, TRAINED, symmetric

ORDER, PROPOSE = symmetric(3)

SPEC = Task(
    family="tracking",
    symbols=ORDER,
    propose=PROPOSE,
    size="permutations",
    trained=TRAINED,
    tested=TESTED,
    chance=lambda size: 1 / ORDER,
    trial="last",
    predictions=(
        POSITIVE,
        Prediction(
            "Mamba-2 with negative_eigenvalues",
            "has the parity of the permutation, a third of the answers (0.2, scaled); the rest counts modulo 3",
            "Grazzi et al. 2025; the share is ours",
        ),
        ATTENTION,
    ),
)
