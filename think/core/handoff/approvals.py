"""Which checks may run on this machine: a log from elsewhere must not start programs here unseen.

Approved is the digest of the project's folder together with the words, exit code and time limit of a check. The
approvals lie in the user's own state folder, one JSON line each, and never in the project. Standard library only.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from think.core.errors import InputOutput
from think.core.handoff.events import stamp
from think.core.handoff.state import Check

FILE = "handoff-approvals.jsonl"


def digest(root: Path, check: Check) -> str:
    """What is approved: this check, in this folder."""
    text = json.dumps({"root": str(root.resolve()), "check": check.as_json()}, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def missing(state_folder: Path, root: Path, checks: Iterable[Check]) -> list[Check]:
    """Those checks that nobody approved on this machine. Lines that are no approvals approve nothing."""
    path = state_folder / FILE
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise InputOutput(f"the approvals cannot be read: {error.strerror}", where=str(path)) from error
    approved = set()
    for line in lines:
        try:
            approved.add(json.loads(line)["sha256"])
        except (ValueError, KeyError, TypeError):
            continue
    return [check for check in checks if digest(root, check) not in approved]


def approve(state_folder: Path, root: Path, checks: Iterable[Check], now: float) -> None:
    """Remember that these checks may run here. Raises InputOutput."""
    lines = b"".join(
        json.dumps(
            {
                "sha256": digest(root, check),
                "time": stamp(now),
                "root": str(root.resolve()),
                "arguments": list(check.arguments),
            }
        ).encode("ascii")
        + b"\n"
        for check in checks
    )
    path = state_folder / FILE
    try:
        state_folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, b"\n" + lines)  # the last line may be torn
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InputOutput(
            f"the approval could not be stored: {error.strerror}",
            where=str(path),
            remedy="make that folder writable, or name another one in XDG_STATE_HOME",
        ) from error
