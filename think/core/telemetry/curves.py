"""What a history adds up to: buckets for every kind of record, the newest figures by layer, the events worth a line."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from think.core.telemetry.buckets import Buckets, joined, width_for
from think.core.telemetry.columns import Block, Rows, figures, rows_of
from think.core.telemetry.records import KINDS, LIFECYCLE, Record

MOST_FIGURES = 160
"Curves of one run; some 200 kB each at most."

MOST_EVENTS = 500
"Events of one sort that are kept, the newest ones."

FLUSH = 8192
"Records of one kind gathered before they are sorted into buckets."

EVENTS = ("anomaly", "checkpoint", "gate", "log", "run_start", "run_end")

MOST_LAYERS = 4096
"No network that can be shown has more; a larger number is a mistake in the file."


@dataclass
class Curves:
    """Sums of records in any order. `tables` holds buckets by kind."""

    tables: dict[str, Buckets] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    layers: dict[str, dict[tuple[int, str], Record]] = field(default_factory=dict)
    events: dict[str, list[Record]] = field(default_factory=dict)
    event_counts: Counter[str] = field(default_factory=Counter)
    left_out: set[str] = field(default_factory=set)
    _rows: list[Rows] = field(default_factory=list)
    _loose: dict[str, list[tuple[Record, dict[str, float]]]] = field(default_factory=dict)
    _gathered: int = 0

    def add(self, block: Block, cut: float) -> None:
        """Add what a block holds; training records of steps beyond `cut` are superseded."""
        if block.steps is not None:
            rows = block.steps.up_to(cut)
            self.counts["step"] += len(rows)
            self._rows.append(rows)
            self._gathered += len(rows)
        for record in block.others:
            if record.step is None or record.step <= cut or record.kind in LIFECYCLE:
                self._take(record)
        if self._gathered >= FLUSH:
            self.flush()

    def _take(self, record: Record) -> None:
        kind = record.kind
        self.counts[kind] += 1
        if kind in EVENTS or kind not in KINDS:
            self._event(record)
        if kind in LIFECYCLE or record.step is None or not 0 <= record.step <= 2**53:
            return
        if "layer" in record.fields:
            self.keep_layer(record)
        numbers = {name: value for name, value in figures(record).items() if name != "layer"}
        if numbers:
            self._loose.setdefault(kind, []).append((record, numbers))
            self._gathered += 4  # they take more room than rows

    def _event(self, record: Record) -> None:
        sort = record.kind if record.kind in EVENTS else "other"
        self.event_counts[sort] += 1
        kept = self.events.setdefault(sort, [])
        kept.append(record)
        if len(kept) > 2 * MOST_EVENTS:
            kept.sort(key=lambda record: record.time)
            del kept[:-MOST_EVENTS]

    def keep_layer(self, record: Record) -> None:
        """Keep the newest record of each layer and, where it names one, branch."""
        layer, branch = record.number("layer"), record.text("branch") or ""
        if layer is None or not 0 <= layer < MOST_LAYERS:
            return
        newest = self.layers.setdefault(record.kind, {})
        known = newest.get((int(layer), branch))
        if known is None or (known.step or 0, known.time) <= (record.step or 0, record.time):
            newest[int(layer), branch] = record

    def flush(self) -> None:
        """Sort what was gathered into buckets."""
        rows, self._rows = self._rows, []
        loose, self._loose = self._loose, {}
        self._gathered = 0
        for group in _alike(rows):
            self._join("step", group)
        for kind, records in loose.items():
            self._join(kind, rows_of(records))

    def _join(self, kind: str, rows: Rows) -> None:
        if not len(rows):
            return
        known = self.tables.get(kind, Buckets.empty())
        room = MOST_FIGURES - sum(len(table.names) for table in self.tables.values())
        new = [name for name in rows.names if name not in known.names]
        if len(new) > room:
            self.left_out.update(f"{kind}.{name}" for name in new[max(room, 0) :])
            kept = [number for number, name in enumerate(rows.names) if name in known.names or name in new[:room]]
            rows = Rows(tuple(rows.names[number] for number in kept), rows.steps, rows.times, rows.values[kept])
        self.tables[kind] = joined(known, Buckets.of(rows, width_for(rows.steps, known.width)))

    def void_after(self, cut: float) -> bool:
        """Take out training records of steps beyond `cut`; false when a bucket holds both, so that it is inexact."""
        self.flush()
        exact = not any(table.ends_between(cut) for table in self.tables.values()) if cut >= 0 else True
        self.tables = {kind: table.up_to(cut) for kind, table in self.tables.items()}
        for kind, newest in self.layers.items():
            self.layers[kind] = {key: record for key, record in newest.items() if (record.step or 0) <= cut}
        for sort, kept in self.events.items():
            self.events[sort] = [
                record for record in kept if record.step is None or record.step <= cut or record.kind in LIFECYCLE
            ]
        return exact

    def newest(self, sorts: Iterable[str], most: int = MOST_EVENTS) -> list[Record]:
        """The newest events of these sorts, oldest first."""
        found = [record for sort in sorts for record in self.events.get(sort, ())]
        found.sort(key=lambda record: record.time)
        return found[-most:]


def _alike(rows: list[Rows]) -> list[Rows]:
    """Rows with equal names put together."""
    groups: dict[tuple[str, ...], list[Rows]] = {}
    for part in rows:
        groups.setdefault(part.names, []).append(part)
    return [
        Rows(
            names,
            np.concatenate([part.steps for part in parts]),
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.values for part in parts], axis=1),
        )
        for names, parts in groups.items()
    ]
