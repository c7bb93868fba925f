"""Puts the rendered log beside the project; what somebody wrote into that file by hand is set aside, never lost."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from think.core.durable import replace_file, write_synced
from think.core.handoff.lock import cannot, exclusive
from think.core.handoff.log import Reader
from think.core.handoff.render import FILE, made_of, render
from think.core.handoff.writer import refuse_unsound


@dataclass(frozen=True)
class Published:
    """Where the file is, whether it changed, and where an edited one was set aside."""

    path: Path
    changed: bool
    aside: Path | None


def publish(folder: Path, root: Path) -> Published:
    """Write HANDOFF.md of the log as it is now. Raises BadData for a log that is not sound, Missing, InputOutput."""
    path = root / FILE
    reader = Reader(folder)
    reader.catch_up()
    with exclusive(folder):  # so that an older text never takes the place of a newer one
        reader.catch_up(locked=True)
        refuse_unsound(reader.state, folder)
        text = render(reader.state).encode("utf-8")
        try:
            before = path.read_bytes() if path.exists() else b""
            if before == text:
                return Published(path, changed=False, aside=None)
            made = made_of(before.decode("utf-8", errors="replace"))
            aside = None
            if before and (made is None or not made.untouched):
                aside = folder / f"edited-{hashlib.sha256(before).hexdigest()[:12]}.md"
                write_synced(aside, before)
            replace_file(path, text)
        except OSError as error:
            raise cannot("write the rendered log", path, error) from error
    return Published(path, changed=True, aside=aside)
