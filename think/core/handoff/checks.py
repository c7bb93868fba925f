"""Runs acceptance checks: a program with its arguments, without a shell, for a limited time. Standard library only.

A check runs in a session of its own. At its time limit, and when the program ends before its children, everything in
its process group is ended. Its output goes to a file without a name: a child that keeps that open holds nobody up.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from think.core.handoff.state import Check

TAIL_BYTES = 2000
"Kept of the output: the last screen, where programs say what failed."

LARGEST_OUTPUT = 256 * 1024 * 1024
"Bytes; a check that writes more is ended like one that takes too long."

GRACE_SECONDS = 2.0
"Between SIGTERM and SIGKILL."

_LOOK_SECONDS = 0.25


def run(check: Check, root: Path, think: Sequence[str]) -> dict[str, Any]:
    """Run one check in the project's folder and say what came of it.

    think: the command line that starts this program, for checks that are gates.
    The result has: arguments, gate, run, expected and actual exit code (None: it did not end by itself), seconds,
    output_bytes, output_sha256, tail, passed, and `why` when it did not pass.
    """
    arguments = [*think, *check.arguments[1:]] if check.gate is not None else list(check.arguments)
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        exit, why = _run(arguments, check, root, output)
        seconds = time.monotonic() - began
        size, digest, tail = _read(output)
    if why == "" and exit != check.exit:
        why = f"it ended with exit code {exit} and not {check.exit}"
    return {
        "arguments": list(check.arguments),
        "gate": check.gate,
        "run": check.run,
        "expected": check.exit,
        "exit": exit,
        "seconds": round(seconds, 3),
        "output_bytes": size,
        "output_sha256": digest,
        "tail": tail,
        "passed": why == "",
        "why": why,
    }


def _run(arguments: list[str], check: Check, root: Path, output: IO[bytes]) -> tuple[int | None, str]:
    """Exit code and, when the program could not be run to its own end, why."""
    try:
        process = subprocess.Popen(
            arguments,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return None, f"{arguments[0]!r} cannot be started: {error.strerror}"
    deadline = time.monotonic() + check.seconds
    try:
        while True:
            left = deadline - time.monotonic()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(max(0.0, min(left, _LOOK_SECONDS))), ""
            if left <= 0:
                return None, f"it was still running after {check.seconds:g} s and was ended"
            if os.fstat(output.fileno()).st_size > LARGEST_OUTPUT:
                return None, f"it wrote more than {LARGEST_OUTPUT:,} bytes and was ended"
    finally:  # also when Ctrl-C ends us
        _end_group(process)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    _signal(process.pid, signal.SIGKILL)  # what is left of its group, also after it ended by itself
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _read(output: IO[bytes]) -> tuple[int, str, str]:
    digest, size, tail = hashlib.sha256(), 0, b""
    output.seek(0)
    while block := output.read(1 << 20):
        digest.update(block)
        size += len(block)
        tail = (tail + block)[-TAIL_BYTES:]
    text = tail.decode("utf-8", errors="replace")
    return size, digest.hexdigest(), (f"[{size - len(tail):,} bytes before this]\n" if size > len(tail) else "") + text
