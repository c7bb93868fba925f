"""One rule for everybody who says what state a run is in: the list of runs, the monitor, gates. Standard library only.

    ended      its last process wrote how: finished, interrupted, diverged, failed
    dead       the process is gone, or cannot be asked and has been silent for LOST_SECONDS
    stalled    the process lives and trains nothing for longer than it ever should take
    running    all else

Silence is counted from the last record that training itself wrote: heartbeats come from a thread of their own and go on
while the training hangs. How long it may last is taken from the run: FACTOR times the median interval between its
records, twice its longest evaluation or save, and never less than LEAST_SECONDS. A long step is therefore no stall.
"""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Literal

State = Literal["created", "running", "stalled", "dead", "finished", "interrupted", "diverged", "failed"]

FACTOR = 5.0
"Intervals of silence that make a stall."

LEAST_SECONDS = 5.0
"A pause of the machine, a garbage collection or a slow disk is shorter."

UNKNOWN_SECONDS = 60.0
"Silence allowed before the run's own pace is known: it may be reading its data or compiling its kernels."

LEAST_INTERVALS = 3
"Intervals that tell a pace."

LOST_SECONDS = 900.0
"Silence after which a process on another host, which cannot be asked, counts as dead."

ENDED: dict[str, State] = {
    "finished": "finished",
    "interrupted": "interrupted",
    "terminated": "interrupted",
    "diverged": "diverged",
    "failed": "failed",
}


def stalled_after(intervals: Sequence[float], pauses: Iterable[float] = ()) -> float:
    """Seconds of silence that make a stall.

    intervals  seconds between the latest training records of one process
    pauses     seconds that evaluations and saves took
    """
    longest = 2.0 * max(pauses, default=0.0)
    if len(intervals) < LEAST_INTERVALS:
        return max(UNKNOWN_SECONDS, longest)
    return max(LEAST_SECONDS, FACTOR * median(intervals), longest)


def state_of(*, status: str | None, ended: bool, lives: bool | None, silence: float, limit: float) -> State:
    """The state of a run that has written something.

    ended, status  whether its last process said how it left, and what
    lives          None when that cannot be asked from here
    silence        seconds since the last training record;   limit: from `stalled_after`
    """
    if ended:
        return ENDED.get(status or "", "failed")
    if lives is False or (lives is None and silence > LOST_SECONDS):
        return "dead"
    return "stalled" if silence > limit else "running"
