"""`think exit-codes`: the public contract of `core/errors.py`, for scripts and people."""

from think.cli.console import console
from think.cli.options import Json
from think.core.errors import Exit

MEANINGS = {
    Exit.DONE: "done; a gate's WARN and WAIVED too",
    Exit.GATE_FAILED: "a gate was evaluated and failed",
    Exit.USAGE: "the command line asks for something that does not exist",
    Exit.NO_VERDICT: "a gate has no evidence, or an earlier gate blocks it",
    Exit.DIVERGED: "a loss or gradient was not finite",
    Exit.MACHINE_CANNOT: "this machine lacks what was asked for",
    Exit.BAD_DATA: "the input is not what it claims to be",
    Exit.MISSING: "a needed run, file or package is not there",
    Exit.BUG: "a bug in think",
    Exit.INPUT_OUTPUT: "the disk is full, read-only or failing",
    Exit.LOCKED: "somebody else is writing",
    Exit.BAD_SETTINGS: "the settings are wrong, or contradict the run they meet",
    Exit.INTERRUPTED: "Ctrl-C; a training run has written its checkpoint",
    Exit.TERMINATED: "SIGTERM; a training run has written its checkpoint",
}


def exit_codes(json: Json = False) -> None:
    """List the exit codes and what each means."""
    rows = [{"code": int(code), "name": code.name.lower(), "meaning": meaning} for code, meaning in MEANINGS.items()]
    console.result(
        "think.exit-codes/1",
        rows,
        lambda: console.table(
            ["code", "name", "meaning"], [[row["code"], row["name"], row["meaning"]] for row in rows]
        ),
    )
