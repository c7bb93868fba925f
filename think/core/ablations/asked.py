"""How a study was run last, kept beside its report: a page of several studies has to find the cells of each.

STUDY/asked.json: {"data": "data/books", "changes": ["data.split_on=record"]}
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from think.core.durable import replace_file
from think.core.errors import BadData

FILE = "asked.json"


@dataclass(frozen=True)
class Asked:
    """data: packed data in place of the preset's, None: the preset's. changes: settings changed in all variants."""

    data: str | None = None
    changes: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The same as options of a command."""
        data = () if self.data is None else ("--data", self.data)
        return (*data, *(word for change in self.changes for word in ("--set", change)))


def keep(folder: Path, asked: Asked) -> None:
    """Write it down. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / FILE, (json.dumps(asdict(asked), indent=1) + "\n").encode())


def kept(folder: Path) -> Asked | None:
    """How it was run last; None where it never was. Raises BadData for a damaged file."""
    place = folder / FILE
    if not place.is_file():
        return None
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        data, changes = found["data"], tuple(found["changes"])
        if not all(isinstance(text, str) for text in (*changes, "" if data is None else data)):
            raise TypeError("data and changes are text")
    except (ValueError, TypeError, KeyError) as error:
        raise BadData(
            f"this says not how a study was run: {error}",
            where=str(place),
            expected='an object such as {"data": null, "changes": []}',
            remedy="delete the file, and name --data and --set",
        ) from None
    return Asked(data, changes)
