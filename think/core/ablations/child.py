"""One training as a process of its own: nothing of one cell, neither memory nor seeds, reaches the next.

The process is tied to ours by a pipe on its standard input: when we die, however we die, the pipe closes and the
process stops after a checkpoint (`think.cli.tethered`). It stands in a session of its own, so that a Ctrl-C at the
terminal reaches it once, through us.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from think.core.training.stop import Stop

POLL_SECONDS = 0.5
"How often the process is looked at: often enough for a progress bar and for Ctrl-C."


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal that killed it), the error it said, and seconds."""

    code: int
    message: str | None
    seconds: float


def train(program: Sequence[str], arguments: Sequence[str], log: Path, stop: Stop, look: Callable[[], None]) -> Ended:
    """Run `program` with `arguments` to its end; `look` is called now and then.

    log: gets what the process says on stderr. A first SIGINT or SIGTERM to us is handed on, and the process saves
    itself; at a second SIGINT it stops on the spot, and KeyboardInterrupt is raised once it has.
    """
    began = time.monotonic()
    held, tether = os.pipe()
    try:
        with log.open("ab") as said, tempfile.TemporaryFile() as answer:
            try:
                process = subprocess.Popen(
                    [*program, *arguments], stdin=held, stdout=answer, stderr=said, start_new_session=True
                )
            finally:
                os.close(held)
            try:
                _wait(process, stop, look)
            except BaseException:
                process.send_signal(signal.SIGINT)
                process.wait()
                raise
            return Ended(process.returncode, _error(answer, process.returncode), time.monotonic() - began)
    finally:
        os.close(tether)


def _wait(process: "subprocess.Popen[bytes]", stop: Stop, look: Callable[[], None]) -> None:
    told = False
    while True:
        try:
            process.wait(POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            look()
        if stop.asked is not None and not told:
            process.send_signal(stop.asked)
            told = True


def _error(answer: IO[bytes], code: int) -> str | None:
    """What the process said went wrong; None when nothing did."""
    if code == 0:
        return None
    answer.seek(0)
    try:
        error = json.loads(answer.read())["error"]
        parts = [error["message"], error["where"]]
        return " at ".join(part for part in parts if part)
    except (ValueError, KeyError, TypeError):
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}, saying nothing"
