"""Evidence for gates: one file a kind, named as the kind is. `SPEC = Producer(...)` is all that a file must export.

A producer measures, with the models, data and runs that gates themselves never touch, and says where its measurement
comes from. When it cannot, it says why and which command would help; it never returns a measurement that it is not
sure of.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from think.core.gates.evidence import Absent, Exhibit
from think.core.gates.store import Stored
from think.core.runs import RunFolder
from think.core.settings import RunSettings

FAMILY = "think.core.evidence"


@dataclass(frozen=True)
class Twin:
    """The preset that a preset is compared with. model: digest of its [model]."""

    preset: str
    model: str


@dataclass(frozen=True)
class Subject:
    """What evidence is asked about.

    settings    of the run, or of the preset
    digests     settings sections ("model", "tokenizer", "data", "stage1"), "code", and "vocabulary" and "pack" of the
                packed data where there are any
    data        folder of the packed data
    run         the run, None for a fresh model
    place       the end of a command line that means the same subject, such as "--preset cpu_smoke"
    root        folder of all runs, where peers and baselines are looked for
    twin        the preset to compare with; None where the preset names none
    baseline    the run to compare with, by name; None: the newest run of the twin that fits
    """

    settings: RunSettings
    digests: Mapping[str, str]
    data: Path
    run: RunFolder | None
    place: str
    notes: tuple[str, ...] = field(default=())
    root: Path | None = None
    twin: Twin | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class Recheck:
    """What looking again at stored evidence gave.

    wrong   figures that do not come out again, or bytes that are not what they were
    gone    evidence that is not there any more, so that nothing can be said
    """

    wrong: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Producer:
    """One kind of evidence: how it is made, and how a stored one is checked without making it anew."""

    produce: Callable[[Subject], Exhibit | Absent]
    recheck: Callable[[Stored, RunFolder | None], Recheck] = field(default=lambda stored, run: Recheck())
