"""`think preset`: list, show, explain, compare and check the settings that a run is made of."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.options import Changes, Json, Preset
from think.core.errors import Exit

if TYPE_CHECKING:
    from think.core.settings import RunSettings
    from think.presets.render import Explanation

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List, show, explain, compare and check presets.")


def _names(incomplete: str) -> list[str]:
    from think.presets import catalog

    return [name for name in catalog.names() if name.startswith(incomplete)]


NameOrFile = Annotated[str, typer.Argument(metavar="NAME|FILE", autocompletion=_names, help="Preset name or file.")]


@app.command("list")
def list_presets(json: Json = False) -> None:
    """List the shipped presets."""
    from think.presets import catalog

    rows = [asdict(catalog.header(name)) for name in catalog.names()]
    columns = ["name", "parameters", "twin", "summary"]
    console.result(
        "think.preset-list/1",
        rows,
        lambda: console.table(
            columns, [[_count(row[key]) if key == "parameters" else row[key] for key in columns] for row in rows]
        ),
    )


@app.command()
def show(preset: NameOrFile, changes: Changes = None, json: Json = False) -> None:
    """Show a preset resolved, each value with where it comes from."""
    from think.cli.settings import load
    from think.presets.render import as_toml

    resolved = load(preset, changes)
    data = {
        "settings": resolved.settings.model_dump(mode="json"),
        "origins": {key: [str(origin) for origin in origins] for key, origins in resolved.origins.items()},
        "digests": resolved.digests,
    }
    console.result("think.preset-show/1", data, lambda: as_toml(resolved).rstrip("\n"))


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="A setting such as model.width, or a section such as model.")],
    preset: Preset = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Explain a setting: meaning, legal values, default; with --preset also its value and what that shadows."""
    from think.cli.settings import load
    from think.core.settings import RunSettings
    from think.presets import render

    found = render.explain(RunSettings, key, load(preset, changes) if preset or changes else None)
    data = [_explanation_data(one) for one in found]
    console.result("think.preset-explain/1", data, lambda: "\n\n".join(_explanation_text(one) for one in found))


@app.command()
def diff(left: NameOrFile, right: NameOrFile, json: Json = False) -> None:
    """Show the settings in which two presets, or the settings of two runs, differ."""
    from think.core.settings import RunSettings
    from think.presets import render
    from think.presets.decode import decode
    from think.presets.literals import literal
    from think.presets.sources import read

    found = render.diff(*(decode(read(name), RunSettings) for name in (left, right)))
    rows = [
        {
            "key": one.key,
            "left": None if one.left is render.ABSENT else literal(one.left),
            "right": None if one.right is render.ABSENT else literal(one.right),
            "left_origin": str(one.left_origin) if one.left_origin else None,
            "right_origin": str(one.right_origin) if one.right_origin else None,
            "acts_on": one.channel,
            "may_change_on_resume": one.may_change_on_resume,
        }
        for one in found
    ]
    columns = ["key", "left", "right", "acts_on", "left_origin", "right_origin"]

    def table() -> str | None:
        if not rows:
            return "no setting differs"
        console.table([column.replace("_", " ") for column in columns], [[row[key] for key in columns] for row in rows])
        return None

    console.result("think.preset-diff/1", rows, table)


@app.command()
def check(
    preset: NameOrFile,
    changes: Changes = None,
    effects: Annotated[
        bool, typer.Option("--effects", help="Also try on tiny runs, for a minute, that each of its settings acts.")
    ] = False,
    json: Json = False,
) -> Exit:
    """Check a preset and report every mistake; exit code 78 when there is one."""
    from think.core.settings import RunSettings
    from think.presets import catalog
    from think.presets.decode import decode
    from think.presets.sources import read

    resolved = decode(read(preset, changes or ()), RunSettings)
    catalog.check_relatives(preset)
    tried = _try_effects(resolved.settings) if effects else []
    lying = [one for one in tried if not one["acts"]]
    data = {
        "preset": preset,
        "leaves": len(resolved.history),
        "digests": resolved.digests,
        "effects": tried if effects else None,
    }
    lines = [f"{preset}: {len(resolved.history)} settings, no mistakes"]
    lines += [f"  {name:<10} {digest}" for name, digest in resolved.digests.items()]
    if effects:
        lines.append(f"{len(tried) - len(lying)} of {len(tried)} settings act as they say, on tiny runs")
        lines += [f"  {one['key']} is said to act on {one['acts_on']}; tried {one['why']}" for one in lying]
    console.result("think.preset-check/1", data, "\n".join(lines), ok=not lying)
    return Exit.GATE_FAILED if lying else Exit.DONE


def _try_effects(settings: "RunSettings") -> list[dict[str, Any]]:
    """What each setting of a run did when it was changed, on tiny runs with the same kinds, tables and sources."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from think.core import effects

    with TemporaryDirectory(prefix="think-effects-") as folder:
        chosen = effects.concerning(effects.cases(Path(folder)), settings)
        laboratory = effects.Laboratory(Path(folder))
        with console.progress(len(chosen), "trying every setting") as progress:
            found = list(effects.sweep(laboratory, chosen, lambda case: progress.advance(1, case.key)))
    return [
        {
            "key": one.case.key,
            "acts_on": one.case.channel,
            "kinds": one.case.kinds,
            "acts": one.moved,
            "tried": one.value,
            "why": one.why or None,
        }
        for one in found
    ]


@app.command()
def schema() -> None:
    """Print the JSON Schema of a preset file, for completion in editors."""
    import json as json_format

    from think.core.settings import RunSettings
    from think.presets.schema import schema as build

    console.out(json_format.dumps(build(RunSettings), indent=2, ensure_ascii=False))


def _count(number: int | None) -> str | None:
    """200_000 as 200k."""
    if number is None:
        return None
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


def _explanation_data(one: "Explanation") -> dict[str, Any]:
    values = [{"value": value.raw, "origin": str(value.origin), "layer": value.origin.layer} for value in one.history]
    return {
        "key": one.key,
        "documentation": one.documentation,
        "allowed": one.allowed,
        "acts_on": one.channel,
        "may_change_on_resume": one.may_change_on_resume,
        "required": one.required,
        "default": one.default,
        "kinds": dict(one.kinds),
        "value": values[0] if values else None,
        "shadowed": values[1:],
        "dropped": [
            {
                "value": gone.value.raw,
                "origin": str(gone.value.origin),
                "kind": gone.kind,
                "changed_to": gone.changed_to,
                "changed_by": str(gone.changed_by),
            }
            for gone in one.dropped
        ],
    }


def _explanation_text(one: "Explanation") -> str:
    from think.presets.literals import literal

    lines = [one.key]
    facts = [("", one.documentation), ("allowed", one.allowed), ("acts on", one.channel)]
    facts.append(("default", "none, it must be given" if one.required else literal(one.default)))
    facts += [("needs", f"{table}.kind = {' or '.join(map(literal, kinds))}") for table, kinds in one.kinds.items()]
    if one.may_change_on_resume:
        facts.append(("on resume", "may change"))
    for number, value in enumerate(one.history):
        facts.append(("shadows" if number else "value", f"{literal(value.raw)}  ({value.origin})"))
    facts += [
        ("dropped", f"{literal(gone.value.raw)}  ({gone.value.origin}): {gone.changed_by} changed the kind")
        for gone in one.dropped
    ]
    lines += [f"    {name:<10} {text}" if name else f"    {text}" for name, text in facts if text]
    return "\n".join(lines)
