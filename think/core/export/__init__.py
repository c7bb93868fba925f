"""What other programs can read: one file a format.

    tensorboard, wandb, arrow    the telemetry of a run; superseded records are left out
    huggingface                  the trained model, with its tokenizer and settings

Each is made in a folder of its own, and appears there whole or not at all. Packages that only an export needs are
imported by that export.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from think.core.errors import InputOutput, Missing, UsageError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when the `with` ends without an error, and vanishes otherwise.

    Raises UsageError when `out` holds something already, InputOutput when the disk is full or read-only.
    """
    temporary = out.with_name(f".{out.name}.new")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(
                "there is something here already",
                where=str(out),
                expected="a new or empty folder",
                remedy="remove it, or give another one with --out",
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        os.replace(temporary, out)
    except OSError as error:
        raise InputOutput(
            f"the export cannot be written: {error.strerror or error}",
            where=str(out),
            expected="a folder that can be written, on a disk with room",
            remedy="free some space, or choose another folder with --out",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary, ignore_errors=True)


def lacks(package: str, extra: str) -> Missing:
    """The error for a package that is not installed."""
    return Missing(
        f"the package {package} is not installed",
        expected=f"{package}, which this export is made with",
        remedy=f"pip install 'think-toolkit[{extra}]', or export to another format with --to",
    )
