"""Permutations of five letters: after each one, what they make together. The hardest of the word problems (NC1)."""

from think.core.data.tasks import Prediction, Task
from think.core.data.tasks._words import ATTENTION, POSITIVE, TESTED, TRAINED, symmetric

ORDER, PROPOSE = symmetric(5)

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
            "fails still: with diagonal transitions the depth that is needed grows with the length; the parity of the "
            "permutation alone is a sixtieth of the answers",
            "Merrill et al. 2024; the share is ours",
        ),
        Prediction(
            "products of four or more Householder matrices a token, or a dense nonlinear recurrence",
            "can solve it; nothing in this toolkit does so yet",
            "Siems et al. 2025 (DeltaProduct); Merrill et al. 2024",
        ),
        ATTENTION,
    ),
)
