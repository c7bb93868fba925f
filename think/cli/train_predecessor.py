"""The run that a stage stands on: the one named, the one recorded, else the newest finished one that fits."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from think.cli.console import console

if TYPE_CHECKING:
    from think.core.runs import RunFolder
    from think.core.settings import RunSettings
    from think.core.training.predecessor import Predecessor
    from think.presets.decode import Resolved


def find(
    stage: str,
    after: str,
    root: Path,
    going_on: "RunFolder | None",
    named: str | None,
    preset: str,
    resolved: "Resolved[RunSettings]",
    digests: Mapping[str, str],
) -> "Predecessor":
    """The run of the stage `after` that `stage` will stand on; which one it is, is said.

    going_on: the run to be resumed, which recorded its own.   named: what --from says.
    Raises Missing with the command that makes such a run, BadSettings for one of another shape.
    """
    from think.core import predecessors
    from think.core.errors import UsageError
    from think.core.runs import RunFolder

    if named is not None:
        folder = RunFolder.open(root, named)
        found = predecessors.read(folder)
        if found.stage != after:
            raise UsageError(
                f"{stage} stands on {after}, and this is a run of {found.stage}",
                where=str(folder.path),
                expected=f"a run of {after}",
                remedy=f"leave out --from to take the newest one that fits, or make one: "
                f"{_command(after, preset, resolved)}",
            )
        _refuse_another_shape(folder, found, resolved, digests)
        if folder.summary().state != "finished":
            console.warn(f"{folder.path} is not finished; {stage} stands on its checkpoint of step {found.step:,}")
        return found
    if going_on is not None:
        recorded = predecessors.recorded(going_on)
        if recorded is not None:
            return recorded
    found = _newest(stage, after, root, digests, _command(after, preset, resolved))
    console.note(f"{stage} stands on {found.run}, the newest finished run of {after} that fits, at step {found.step:,}")
    return found


def _newest(stage: str, after: str, root: Path, digests: Mapping[str, str], command: str) -> "Predecessor":
    """The newest that fits. command: makes one. Raises Missing without any."""
    from think.core import predecessors
    from think.core.errors import Missing

    unfit: list[str] = []
    for folder in predecessors.candidates(root, after):
        found = predecessors.read(folder)
        differing = predecessors.disagreement(found, digests)
        if not differing:
            return found
        unfit.append(f"{folder.name} has another {', '.join(differing).replace('_', ' ')}")
    seen = f"; {'; '.join(unfit[:3])}" + ("; …" if len(unfit) > 3 else "") if unfit else ""
    raise Missing(
        f"{stage} stands on {after}, and no finished run of it has this model, tokenizer and data{seen}",
        where=str(root),
        expected=f"a finished run of {after} with these very settings of model and tokenizer, on these data",
        remedy=command,
    )


def _refuse_another_shape(
    folder: "RunFolder", found: "Predecessor", resolved: "Resolved[RunSettings]", digests: Mapping[str, str]
) -> None:
    """Raises BadSettings, showing what differs, when a run is of another model, tokenizer or data."""
    from think.core import predecessors
    from think.core.errors import BadSettings
    from think.core.settings import RunSettings
    from think.presets.decode import decode
    from think.presets.literals import literal
    from think.presets.render import diff
    from think.presets.sources import read

    differing = predecessors.disagreement(found, digests)
    if not differing:
        return
    first = decode(read(folder.settings_file), RunSettings)
    lines = [
        f"{one.key}: {literal(one.left)} in the run, {literal(one.right)} now"
        for one in diff(first, resolved)
        if one.key.partition(".")[0] in differing
    ]
    lines += [
        f"{what}: {found.digests.get(name, 'unknown')[:16]}… in the run, {digests[name][:16]}… now"
        for name, what in (("pack", "packed data"), ("tokenizer_file", "tokenizer file"))
        if name in differing
    ]
    raise BadSettings(
        f"{folder.name} was trained with another {', '.join(differing).replace('_', ' ')}:\n    "
        + "\n    ".join(lines),
        where=str(folder.path),
        expected="a run of this very model, on these very data",
        remedy=f"name another run with --from, or train with the settings of that one: --preset {folder.settings_file}",
    )


def _command(stage: str, preset: str, resolved: "Resolved[RunSettings]") -> str:
    """What makes a run of a stage that fits: with whatever was said of model, tokenizer and data."""
    from think.presets.literals import literal

    words = ["think", "train", stage, "--preset", preset]
    for key, value in resolved.overrides.items():
        if value.origin.layer != "environment" and key.partition(".")[0] in ("model", "tokenizer", "data"):
            said = key == "data.path" and value.origin.layer == "flag"
            words += ["--data", str(value.raw)] if said else ["--set", f"{key}={literal(value.raw)}"]
    return shlex.join(words)
