"""Whether the settings given now are those that a run to go on with was made by."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from think.core.runs import RunFolder
    from think.core.settings import RunSettings
    from think.presets.decode import Resolved


def sections(stage: str) -> tuple[str, ...]:
    """What a resumed stage must agree on; data and tokenizer are compared by the digest of the pack itself."""
    return ("model", stage, "runtime")


def refuse_other_settings(folder: "RunFolder", resolved: "Resolved[RunSettings]", stage: str = "stage1") -> None:
    """Raises BadSettings, showing the difference, when the run was made by other settings than these."""
    from think.core.errors import BadSettings
    from think.core.settings import RunSettings
    from think.presets.decode import decode
    from think.presets.literals import literal
    from think.presets.render import diff
    from think.presets.sources import read

    first = decode(read(folder.settings_file), RunSettings)
    _refuse_edited(folder, stage)
    refused = [
        found
        for found in diff(first, resolved)
        if found.key.partition(".")[0] in sections(stage) and not found.may_change_on_resume
    ]
    if refused:
        lines = [
            f"{one.key}: {literal(one.left)} in the run, {literal(one.right)} now ({one.right_origin})"
            for one in refused
        ]
        raise BadSettings(
            "the run was made by other settings:\n    " + "\n    ".join(lines),
            where=str(folder.settings_file),
            expected="equal settings, but for those that may change on resume (steps, cadence, device)",
            remedy="leave out --preset and --set to go on as before, or start a new run with another --out",
        )


def _refuse_edited(folder: "RunFolder", stage: str) -> None:
    """Settings changed by hand would be neither those of the steps behind us nor compared with them."""
    from think.core.errors import BadSettings
    from think.presets.digest import intact

    edited = set(sections(stage)) - intact(folder.settings_file.read_text(encoding="utf-8"))
    if edited:
        raise BadSettings(
            f"the settings of this run were edited: {', '.join(f'[{section}]' for section in sorted(edited))} "
            + "does not match its digest",
            where=str(folder.settings_file),
            expected="the settings.toml that training wrote",
            remedy="undo the edit; what may change on resume (steps, cadence, device) is changed with --set",
        )
