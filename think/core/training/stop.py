"""Ctrl-C and SIGTERM, heard at once and obeyed after the step and its checkpoint; a second Ctrl-C stops on the spot."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from think.core.errors import Interrupted, Terminated

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Listens inside the `with`; outside the main thread nobody can listen, and nothing is ever asked."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.asked == signal.SIGINT:
            raise KeyboardInterrupt
        if self.asked != signal.SIGTERM:
            self.asked = number


def stopped(asked: int, step: int, where: str) -> Interrupted | Terminated:
    """The error to leave with after the checkpoint of `step`, when the signal `asked` was heard."""
    kind = Terminated if asked == signal.SIGTERM else Interrupted
    return kind(
        f"stopped after step {step}, as asked; its checkpoint is written",
        where=where,
        remedy=f"go on with: think train stage1 --resume --out {where}",
    )
