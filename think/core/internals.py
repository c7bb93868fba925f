"""What the records say about the inside of a model: whose gradient it is, and how each state is doing.

Rows of text for a report or a terminal; every row names the records or the step behind it. No torch.
"""

from collections.abc import Sequence

import numpy as np

from think.core.plots import component_shares
from think.core.series import series
from think.core.telemetry.records import Record

SHARES = ("component", "share", "records")
HEALTH = ("layer", "branch", "norm", "largest", "participation", "rank", "cosine", "saturated", "step")

_FIGURES = HEALTH[2:-1]


def shares(records: Sequence[Record]) -> dict[str, tuple[float, int]]:
    """By component: its share of the squared gradient norm, as the median over so many records."""
    found = {}
    for name, line in component_shares(list(records)).items():
        values = line.values[np.isfinite(line.values)]
        if len(values):
            found[name] = float(np.median(values)), len(values)
    return found


def share_rows(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Rows under SHARES."""
    return [(name, f"{share:.1%}", f"{count:,}") for name, (share, count) in shares(records).items()]


def balance(records: Sequence[Record]) -> str | None:
    """Gradient norm of the RWKV branch over that of the Mamba branch; None where the model has not both."""
    ratios = series(records, "component_gradients", "ratio")
    if not len(ratios):
        return None
    warned = sum(record.kind == "component_gradients" and record.fields.get("warning") is True for record in records)
    low, middle, high = (float(of(ratios.values)) for of in (np.min, np.median, np.max))
    return (
        f"rwkv / mamba {middle:.3g} (median of {len(ratios):,} records, {low:.3g} to {high:.3g}; "
        f"{warned:,} outside their bounds)"
    )


def health(records: Sequence[Record]) -> list[Record]:
    """The newest state-health record of each layer and branch."""
    newest: dict[tuple[int, str], Record] = {}
    for record in records:
        layer, branch = record.number("layer"), record.text("branch")
        if record.kind == "state_health" and layer is not None and branch is not None:
            newest[int(layer), branch] = record
    return [record for _, record in sorted(newest.items())]


def health_rows(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Rows under HEALTH; a dash for what was not looked at."""
    return [
        (
            f"{record.fields['layer']}",
            f"{record.fields['branch']}",
            *(_figure(record.number(name)) for name in _FIGURES),
            f"{record.step}",
        )
        for record in health(records)
    ]


def hidden(records: Sequence[Record]) -> str | None:
    """Entropy of the hidden state and of the predictions, as first and last recorded; None where never looked at."""
    parts = []
    for name, field in (("hidden state", "hidden_entropy"), ("predictions", "logit_entropy")):
        line = series(records, "state_health", field)
        if len(line):
            parts.append(
                f"{name} {line.values[0]:.3f} nats at step {line.steps[0]:,}, "
                f"{line.values[-1]:.3f} at step {line.steps[-1]:,}"
            )
    return "; ".join(parts) or None


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
