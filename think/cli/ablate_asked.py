"""How a study was run last, written down by `think ablate run` for its reports and pages."""

import shlex
from pathlib import Path

from think.cli.console import console


def remember(folder: Path, data: Path | None, changes: list[str] | None) -> None:
    """Keep how a study is run, in its folder. Raises InputOutput."""
    from think.core.ablations.asked import Asked, keep
    from think.core.errors import InputOutput

    try:
        keep(folder, Asked(None if data is None else str(data), tuple(changes or ())))
    except OSError as error:
        raise InputOutput(f"how the study is run cannot be kept: {error.strerror}", where=str(folder)) from None


def as_last(study: str) -> tuple[Path | None, list[str]]:
    """Data and changes that a study was run with last; none where it never was. Says so where there were any."""
    from think.cli import environment
    from think.core.ablations.asked import kept

    asked = kept(environment.runs_folder() / "ablations" / Path(study).stem)
    if asked is None or not asked.words:
        return None, []
    console.note(f"{Path(study).stem} as it was run last: {shlex.join(asked.words)}")
    return None if asked.data is None else Path(asked.data), list(asked.changes)
