"""Plays a run again along its recorded time: a clock with a speed, and the step that had been done by then."""

import numpy as np

from think.tui.view import RunView

PLAYED_SECONDS = 60.0
"A run plays in at most so long, unless somebody wants it otherwise."

SLOWEST, FASTEST = 2.0**-6, 2.0**20
JUMP = 0.05
"Share of the run that one key press goes back or on."


class Replay:
    """position and length in seconds of the run's own time; breaks between its processes count as they were."""

    def __init__(self) -> None:
        self.position = 0.0
        self.speed = 1.0
        self._steps: np.ndarray | None = None
        self._seconds: np.ndarray | None = None

    @property
    def ready(self) -> bool:
        return self._steps is not None

    @property
    def length(self) -> float:
        return 0.0 if self._seconds is None else float(self._seconds[-1])

    @property
    def over(self) -> bool:
        return self.ready and self.position >= self.length

    def learn(self, run: RunView) -> bool:
        """Take the times of the steps from a whole run; whether there are any."""
        curve = run.curve("step.loss")
        if curve is None or len(curve) == 0:
            return False
        times = np.maximum.accumulate(np.nan_to_num(curve.times, nan=float(np.nanmin(curve.times))))
        self._steps, self._seconds = curve.steps, times - times[0]
        while self.length / self.speed > PLAYED_SECONDS and self.speed < FASTEST:
            self.speed *= 2
        return True

    def advance(self, seconds: float) -> None:
        """Let time pass at the present speed."""
        self.seek(self.position + seconds * self.speed)

    def seek(self, position: float) -> None:
        self.position = min(max(position, 0.0), self.length)

    def jump(self, direction: int) -> None:
        self.seek(self.position + direction * JUMP * self.length)

    def faster(self, direction: int) -> None:
        self.speed = min(max(self.speed * 2.0**direction, SLOWEST), FASTEST)

    @property
    def step(self) -> int | None:
        """The last step that was done at the position; None before anything is known."""
        if self._steps is None or self._seconds is None:
            return None
        place = int(np.searchsorted(self._seconds, self.position, side="right")) - 1
        return int(self._steps[max(place, 0)])
