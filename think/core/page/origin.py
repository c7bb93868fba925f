"""What a run was made of: settings with their origins, digests, the plan, and what is damaged in its folder."""

from collections.abc import Iterator

from think.core import settings_file
from think.core.facts import Facts
from think.core.page.markup import Html, details, joined, table, tag
from think.core.page.sections import flat
from think.core.runs import RunFolder
from think.core.text import one_line

NOTES = 50
"Warnings of the run that are listed."


def settings(run: RunFolder) -> Html:
    """Every setting with its origin, section by section."""
    try:
        found = settings_file.read(run.settings_file)
    except settings_file.Unreadable as error:
        return tag("p", f"{error}.")
    if not found:
        return tag("p", "There is no settings.toml.")
    parts = []
    for section in dict.fromkeys(setting.key.partition(".")[0] for setting in found):
        mine = [each for each in found if each.key.partition(".")[0] == section]
        rows = [(each.key, each.value, each.origin) for each in mine]
        changed = sum(each.origin not in ("default", "") for each in mine)
        said = f"{section}: {len(mine)} settings, {changed} of them not left to their default"
        parts.append(details(said, table(("key", "value", "origin"), rows)))
    return joined(parts)


def origin(facts: Facts) -> Html:
    """Seeds, machine, digests, and everything that was derived."""
    parts = []
    stage = facts.summary.stage
    if stage is not None and facts.run.settings_file.is_file():
        place = "/".join(facts.run.settings_file.parts[-3:])
        parts.append(tag("p", "To make it again: ", tag("code", f"think train {stage} --preset {place}")))
    rows = list(_started(facts))
    parts.append(table(("fact", "value"), rows) if rows else tag("p", "No start of a training is recorded."))
    plan = [(name, text) for name, text in flat(facts.plan) if not name.startswith("digests.")]
    if plan:
        parts.append(details(f"the plan: {len(plan)} figures", table(("fact", "value"), plan)))
    return joined(parts)


def _started(facts: Facts) -> Iterator[tuple[str, str]]:
    starts = facts.of("run_start")
    if not starts:
        return
    first, last = starts[0].fields, starts[-1].fields
    for name in ("seed", "device", "threads", "commit", "host"):
        if name in last:
            yield name, one_line(str(last[name]), 200)
    resumed = [str(start.fields["resumed_from_step"]) for start in starts if start.fields.get("resumed_from_step")]
    if resumed:
        yield "resumed from step", one_line(", ".join(resumed), 400)
    digests = first.get("digests")
    if isinstance(digests, dict):
        yield from ((f"digest of {one_line(name, 80)}", one_line(str(digests[name]), 200)) for name in sorted(digests))


def damage(facts: Facts) -> Html:
    """What could not be read, was lost, or was warned of; nothing where all is well."""
    warned = [
        one_line(record.text("message") or "", 400)
        for record in facts.of("log")
        if record.text("level") in ("warning", "error")
    ]
    counts = (
        (facts.garbage, "telemetry lines were no records and were passed over"),
        (facts.torn, "last lines of killed processes were torn"),
        (facts.superseded, "records were superseded when the run was resumed"),
        (facts.lost(), "telemetry records could not be written"),
    )
    notes = [f"{count:,} {what}" for count, what in counts if count]
    notes += list(filter(None, warned))[-NOTES:]
    return tag("ul", *(tag("li", note) for note in notes)) if notes else Html("")
