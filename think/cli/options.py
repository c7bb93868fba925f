"""Options that several commands share. Every default is "not given": a default here would shadow the preset.

Each is used as `preset: Preset = None` (flags: `json: Json = False`).
"""

from pathlib import Path
from typing import Annotated

import typer

from think.cli.console import console


def _json_asked(asked: bool) -> bool:
    console.json = asked or console.json
    return asked


def _preset_names(incomplete: str) -> list[str]:
    from think.presets import catalog

    return [name for name in catalog.names() if name.startswith(incomplete)]


Preset = Annotated[
    str | None,
    typer.Option("--preset", "-p", metavar="NAME|FILE", autocompletion=_preset_names, help="Preset name or file."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, such as stage1.steps=50; may be repeated."),
]
# A text, not a Path: Path("./x") is "x", which would name a run among the runs.
Out = Annotated[
    str | None,
    typer.Option("--out", metavar="RUN", help="Name of the run, or a folder such as ./first; names go to runs."),
]
Folder = Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Folder to write.")]
Data = Annotated[Path | None, typer.Option("--data", metavar="FOLDER", help="Packed data to use.")]
Run = Annotated[str | None, typer.Option("--run", metavar="RUN", help="Run name or folder; the newest when absent.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="RUN", help="Run of the stage before; the newest finished one that fits if absent."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last good checkpoint of --out.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show parameters, memory, tokens and time; train nothing.")]
Json = Annotated[bool, typer.Option("--json", callback=_json_asked, help="Print one JSON object instead of text.")]
