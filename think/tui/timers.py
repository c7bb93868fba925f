"""One-shot timers that always fire.

Textual's timers skip the ticks that they are late for. A one-shot timer has a single tick: when the process is held up
for longer than the delay between two lines of the timer's own code, that tick is skipped and the callback never comes.
The app waits 1/120 s with such a timer before it passes a new terminal size on, so one pause of 8 ms at the wrong
moment made it deaf to every later resize.
"""

from textual.app import App
from textual.timer import Timer, TimerCallback


class PunctualApp(App[None], inherit_bindings=False):
    """An app whose `set_timer` fires late rather than never."""

    def set_timer(
        self, delay: float, callback: TimerCallback | None = None, *, name: str | None = None, pause: bool = False
    ) -> Timer:
        timer = super().set_timer(delay, callback, name=name, pause=pause)
        timer._skip = False  # not a parameter of set_timer; read when the timer's task first runs, which is after this
        return timer
