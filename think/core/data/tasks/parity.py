"""Parity: after each bit, whether the ones so far are odd in number. The smallest task with a negative eigenvalue."""

from think.core.data.tasks import Prediction, Task
from think.core.data.tasks._words import ATTENTION, POSITIVE, TESTED, TRAINED, cyclic

SPEC = Task(
    family="tracking",
    symbols=2,
    propose=cyclic(2),
    size="bits",
    trained=TRAINED,
    tested=TESTED,
    chance=lambda size: 1 / 2,
    trial="last",
    predictions=(
        POSITIVE,
        Prediction(
            "Mamba-2 with negative_eigenvalues, decays in (-1, 1)",
            "solves it at any length: a one flips the sign of the state",
            "Grazzi et al. 2025",
        ),
        ATTENTION,
    ),
)
