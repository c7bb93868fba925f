"""What a run folder says, read once: for reports, pages, tables and studies."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from think.core.gates import store
from think.core.runs import RunFolder
from think.core.telemetry.records import Record
from think.core.telemetry.summary import Summary
from think.core.telemetry.tail import History, Tail, follow_to_end


@dataclass(frozen=True)
class Facts:
    """What a run folder says, read once. `plan` is empty without a plan.json; the counts are of telemetry lines."""

    run: RunFolder
    summary: Summary
    records: list[Record]
    plan: dict[str, Any]
    gates: list[store.Line]
    superseded: int
    garbage: int
    torn: int

    @classmethod
    def read(cls, run: RunFolder) -> "Facts":
        """Read a run folder; missing parts are left empty."""
        tail, history = Tail(run.path), History()
        history.add(follow_to_end(tail))
        return cls(
            run=run,
            summary=run.summary(),
            records=history.records,
            plan=_plan(run.plan_file),
            gates=store.lines(run.gates_file),
            superseded=history.superseded,
            garbage=tail.garbage + tail.overlong,
            torn=tail.torn,
        )

    def of(self, kind: str) -> list[Record]:
        return [record for record in self.records if record.kind == kind]

    def held_out(self) -> Record | None:
        """The last evaluation."""
        return max(self.of("eval"), key=lambda record: (record.step or 0, record.seq), default=None)

    def lost(self) -> int:
        """Telemetry records that could not be written, as the log says."""
        counts = [record.number("dropped") or 0.0 for record in self.of("log")]
        return sum(int(count) for count in counts if math.isfinite(count))

    def unigram_loss(self) -> float | None:
        """Loss of the frequencies-only model on held-out text, as an evaluation or gate g3 recorded it."""
        for record in reversed(self.of("eval")):
            if (recorded := record.number("unigram_loss")) is not None:
                return recorded
        for line in reversed(self.gates):
            if line.stored is not None and line.stored.evidence is not None:
                values = line.stored.evidence["values"]
                if isinstance(values, dict) and values.get("unigram_blocks"):
                    return float(np.average(values["unigram_blocks"], weights=values["block_tokens"]))
        return None


def _plan(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
