"""Addition modulo five: after each number, the sum so far. Commuting moves through five states."""

from think.core.data.tasks import Prediction, Task
from think.core.data.tasks._words import ATTENTION, POSITIVE, TESTED, TRAINED, cyclic

SPEC = Task(
    family="tracking",
    symbols=5,
    propose=cyclic(5),
    size="numbers",
    trained=TRAINED,
    tested=TESTED,
    chance=lambda size: 1 / 5,
    trial="last",
    predictions=(
        POSITIVE,
        Prediction(
            "Mamba-2 with negative_eigenvalues",
            "fails still: real eigenvalues of a triangular transition count modulo 2 only, not modulo 3 or 5",
            "Grazzi et al. 2025",
        ),
        ATTENTION,
    ),
)
