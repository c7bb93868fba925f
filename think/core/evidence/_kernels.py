"""Every kernel implementation against its reference, by the kernels' own comparison."""

from think.core.gates.evidence import KernelComparison
from think.kernels import choose
from think.kernels.compare import CASES, compare

REFERENCE = "reference"


def implementations() -> dict[str, tuple[str, ...]]:
    """Kernel -> those of its implementations that this processor runs, the reference included."""
    return {operator: choose.usable(operator) for operator in choose.operators()}


def comparisons() -> tuple[KernelComparison, ...]:
    """The worst tensor (output, final state or a gradient) of every case, for each implementation but the references.

    Float32 on the processor.
    """
    found = []
    for operator, names in implementations().items():
        for name in names:
            if name == REFERENCE:
                continue
            for case in CASES:
                tensor, error = compare(operator, name, case).worst
                found.append(
                    KernelComparison(
                        kernel=operator, implementation=name, case=case.name, worst_tensor=tensor, error=error
                    )
                )
    return tuple(found)
