"""`think train`: train a preset, stage by stage. Only stages that are built are listed."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from think.cli.console import Progress, console
from think.cli.options import Changes, Data, DryRun, Json, Out, Preset, Resume, Seed
from think.cli.waivers import Owner, Reason, Until, Waive, waivers_of

if TYPE_CHECKING:
    from think.core.derive import RunPlan
    from think.core.gates.verdict import Waiver
    from think.core.processes import Group, Launch
    from think.core.runs import RunFolder
    from think.core.settings import RunSettings
    from think.core.training.loop import Seen
    from think.core.training.stages import Finished, Request
    from think.presets.decode import Resolved

STAGES = "think.core.training.stages"

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train a preset, one stage after the other")


@app.callback()
def train() -> None:
    """Train a preset, one stage after the other."""


@app.command()
def stage1(
    preset: Preset = None,
    changes: Changes = None,
    out: Out = None,
    resume: Resume = False,
    seed: Seed = None,
    data: Data = None,
    dry_run: DryRun = False,
    waive: Waive = None,
    reason: Reason = None,
    owner: Owner = None,
    until: Until = None,
    json: Json = False,
) -> None:
    """Train the backbone: a language model on packed text, its state carried from step to step.

    A preset of the scale ladder waits for the gates of the size below it, unless they are waived by name.
    """
    from think.cli.launch import launch

    asked = _Asked(preset, changes, out, resume, seed, data, dry_run, waivers_of(waive, reason, owner, until))
    # torch reads this when it is first imported. Else it remarks at every start of several processes that looking for
    # unused parameters takes time, which it has to: start states have no gradient in a step without a reset.
    environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    launched = launch()
    if launched is None:
        _stage1(asked, None, None)
        return
    if launched.rank > 0:
        console.fall_silent(launched.rank)
    from think.core.processes import joined

    with joined(launched) as group:
        _stage1(asked, launched, group)


@dataclass(frozen=True)
class _Asked:
    """The options as they were given."""

    preset: str | None
    changes: list[str] | None
    out: str | None
    resume: bool
    seed: int | None
    data: Path | None
    dry_run: bool
    waivers: "Mapping[str, Waiver]"


def _stage1(asked: _Asked, launched: "Launch | None", group: "Group | None") -> None:
    """Train, as one of the processes of the run, or as the only one."""
    from dataclasses import replace

    from think.core.processes import ALONE

    group = group or ALONE
    root, folder, request, plan = group.together(lambda: _prepared_among(group.size, asked, launched, group.first))
    request = replace(request, group=group)
    from think.cli.train_plan import show, warn_of_emulation

    if group.first:
        warn_of_emulation(request)
    if asked.dry_run:
        show(request, plan)
        return
    if folder is not None and not any(folder.checkpoints.glob("[!.]*")):
        console.note(f"run {folder.path} has no checkpoint yet; it starts at its first step")
    folder = group.from_first(lambda: folder or _new(root, asked.out, request.preset))
    console.note(f"run {folder.path}: {plan.parameters:,} parameters, {plan.tokens:,} tokens in {plan.steps:,} steps")
    finished = _run(request, plan, folder)
    if not group.first:
        return
    for note in finished.notes:
        console.warn(f"checkpoint passed over: {note}")
    _answer(finished, _report(finished))


def _prepared_among(
    processes: int, asked: _Asked, launched: "Launch | None", first: bool
) -> "tuple[Path, RunFolder | None, Request, RunPlan]":
    """The same where several processes find the same mistakes in the settings, and one is to tell them."""
    from think.core.errors import BadSettings, Exit
    from think.presets.problems import SettingsError

    try:
        return _prepared(asked, launched, first)
    except SettingsError as error:
        if processes == 1:
            raise
        told = BadSettings(str(error))
        told.exit = Exit(error.exit)
        raise told from error


def _prepared(
    asked: _Asked, launched: "Launch | None", first: bool
) -> "tuple[Path, RunFolder | None, Request, RunPlan]":
    """All that is known before anything is written: runs folder, run to go on with, request and plan."""
    from think.cli import environment, ladder
    from think.cli.resumed import refuse_other_settings
    from think.cli.settings import announce, load
    from think.core.derive import require_memory
    from think.core.errors import UsageError
    from think.presets.sources import Flag

    root, preset = environment.runs_folder(), asked.preset
    folder = _existing(root, asked.out, preset) if asked.resume else None
    if folder is not None and preset is None:
        preset = str(folder.settings_file)
    if preset is None:
        raise UsageError("no preset was given", expected="--preset NAME|FILE", remedy="think preset list")
    data = None if asked.data is None else str(asked.data)
    flags = {"stage1.seed": Flag("--seed", asked.seed), "data.path": Flag("--data", data)}
    resolved = load(preset, asked.changes, flags)
    announce(resolved)
    if folder is not None:
        refuse_other_settings(folder, resolved)
    rung = ladder.look(resolved, asked.waivers, dry_run=asked.dry_run, going_on=folder is not None)
    name = _first_preset(folder) if folder is not None else _name_of(resolved, preset)
    request, plan = _request(
        resolved, preset, name, folder is not None, launched, every_byte=first and not asked.dry_run
    )
    if not asked.dry_run:
        require_memory(plan, request.machine)
        if first:
            rung.keep()
    return root, folder, request, plan


def _request(
    resolved: "Resolved[RunSettings]",
    preset: str,
    name: str,
    resume: bool,
    launched: "Launch | None",
    *,
    every_byte: bool,
) -> "tuple[Request, RunPlan]":
    """What the stage is asked to do, checked before anything is written."""
    from dataclasses import replace
    from json import dumps

    from think.cli import environment
    from think.core import device, plugins
    from think.core.data.tokenizer import FILE_NAME
    from think.core.derive import derive
    from think.core.training.stages import Request
    from think.presets.render import as_toml

    settings = resolved.settings
    request = Request(
        settings=settings.stage1,
        model=settings.model,
        tokenizer=settings.tokenizer,
        data=settings.data,
        pack_command=f"think data pack --preset {preset}",
        machine=device.resolve(environment.prefer(settings.runtime), launched),
        preset=name,
        digests=resolved.digests,
        resume=resume,
    )
    packed = plugins.load(STAGES, "stage1").check(request, every_byte=every_byte)
    made = {"pack": packed.digest, "tokenizer_file": packed.manifest.tokenizer.sha256}
    request = replace(request, digests={**resolved.digests, **made})
    plan = derive("stage1", request.settings, request.model, packed, request.machine, request.digests)
    described = {"preset": name, **plan.as_json()}
    files = {
        "settings.toml": as_toml(resolved),
        "plan.json": dumps(described, indent=1) + "\n",
        # With its own copy of the tokenizer a run can be used where its data are not.
        FILE_NAME: (packed.path / FILE_NAME).read_bytes().decode("utf-8"),
    }
    return replace(request, files=files), plan


def trained(resolved: "Resolved[RunSettings]", preset: str, out: str) -> "Finished":
    """Train stage 1 into the run `out`, or go on with it, as `think train stage1` does; says nothing of its end.

    preset: what the settings were made from, for messages. The run must have been made by these very settings.
    """
    from think.cli import environment
    from think.cli.resumed import refuse_other_settings
    from think.core import runs
    from think.core.derive import require_memory

    root = environment.runs_folder()
    folder = runs.RunFolder(runs.locate(root, out))
    begun = folder.path.is_dir() and not folder.is_blank()
    if begun:
        refuse_other_settings(_with_settings(folder), resolved)
    request, plan = _request(resolved, preset, _name_of(resolved, preset), begun, None, every_byte=True)
    require_memory(plan, request.machine)
    return _run(request, plan, folder if begun else _new(root, out, request.preset))


def _name_of(resolved: "Resolved[RunSettings]", preset: str) -> str:
    return Path(preset).stem if resolved.header is None else resolved.header.name


def _first_preset(folder: "RunFolder") -> str:
    """The preset that the run was started with, which its settings.toml no longer names."""
    from json import loads

    try:
        return str(loads(folder.plan_file.read_text(encoding="utf-8"))["preset"])
    except (OSError, ValueError, KeyError):
        return folder.name


def _run(request: "Request", plan: "RunPlan", folder: "RunFolder") -> "Finished":
    from think.core import plugins

    with console.progress(plan.steps, f"stage 1, {plan.steps:,} steps") as progress:
        return plugins.load(STAGES, "stage1").run(request, folder, _watcher(progress))


def _watcher(progress: Progress) -> Any:
    """Moves the progress bar; the first step of a resumed run moves it past all that was done before."""
    done = 0

    def watch(seen: "Seen") -> None:
        nonlocal done
        loss = "no scored token" if seen.loss is None else f"loss {seen.loss:.3f}"
        held_out = "" if seen.held_out is None else f", held-out {seen.held_out:.3f}"
        progress.advance(
            seen.step - done, f"step {seen.step}, {loss}{held_out}, {seen.tokens_per_second:,.0f} tokens/s"
        )
        done = seen.step

    return watch


def _existing(root: Path, out: str | None, preset: str | None) -> "RunFolder | None":
    """The run to go on with: the one named, else the newest of this stage, which is then said.

    None when the one named was killed before it wrote anything, so that it can only start over.
    """
    from think.core import runs
    from think.core.errors import Missing

    if out is not None:
        named = runs.RunFolder(runs.locate(root, out))
        if named.path.is_dir() and named.is_blank():
            if preset is None:
                raise Missing(
                    "this run was stopped before it wrote its settings",
                    where=str(named.path),
                    remedy=f"start it over: think train stage1 --preset NAME --out {out}",
                )
            console.note(f"run {named.path} was stopped before it wrote anything; it starts over")
            return None
        return _with_settings(runs.RunFolder.open(root, out))
    found = runs.newest(root, stage="stage1")
    if found is None:
        raise Missing("there is no run to go on with", where=str(root), remedy="start one without --resume")
    console.note(f"going on with the newest run, {found.path}")
    return _with_settings(found)


def _with_settings(folder: "RunFolder") -> "RunFolder":
    from think.core.errors import Missing

    if not folder.settings_file.is_file():
        raise Missing(
            "the settings of this run are gone, and it cannot go on without them",
            where=str(folder.settings_file),
            expected="the settings.toml that training wrote",
            remedy="restore it from a copy, or start a new run with another --out",
        )
    return folder


def _new(root: Path, out: str | None, preset: str) -> "RunFolder":
    from think.core import runs

    if out is None:
        return runs.RunFolder.numbered(root, preset)
    busy = runs.RunFolder(runs.locate(root, out))
    if busy.lock_file.exists():
        with busy.lock():  # whoever is writing there is named, before "there is something in this folder"
            pass
    return runs.RunFolder.create(root, out)


def _report(finished: "Finished") -> str | None:
    """Write the report, with a text that the trained model wrote. A run is not lost because its report is."""
    from think.core import assembled, report
    from think.core.errors import ThinkError

    folder, seed = finished.folder, 0
    try:
        text = assembled.load(folder.path).generate(seed=seed)
        sample = report.Sample(text, seed=seed, temperature=assembled.DEFAULT.temperature)
        return str(report.write(folder, sample=sample))
    except ThinkError as error:
        console.warn(f"the run is finished, its report could not be written: {error.what}")
        return None


def _answer(finished: "Finished", report: str | None) -> None:
    score, folder = finished.score, finished.folder
    data = {
        "run": folder.name,
        "path": str(folder.path),
        "steps": finished.progress.step,
        "tokens": finished.progress.tokens,
        "already_finished": finished.already,
        "held_out_loss": None if score is None else score.loss,
        "held_out_tokens": None if score is None else score.tokens,
        "report": report,
    }
    if finished.already:
        text = (
            f"run {folder.path} was finished already, at step {finished.progress.step:,}; raise stage1.steps to go on"
        )
    elif score is None:
        text = f"run {folder.path} is finished"
    else:
        text = (
            f"run {folder.path} is finished: held-out loss {score.loss:.4f} nats per token over {score.tokens:,} tokens"
        )
    console.result("think.train/1", data, text if report is None else f"{text}\nreport {report}")
