"""`think generate --deliberate`: searches run beside the text, and what they plan moves the model's state."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from think.cli.console import console
from think.core.errors import InputOutput, UsageError

if TYPE_CHECKING:
    from think.core.deliberator import Deliberator
    from think.core.generation import Limits, Opened
    from think.core.planning.beside import BesideSettings
    from think.core.runs import RunFolder
    from think.core.telemetry.writer import Writer

CONSIDERED = "search.rule.considered"
FLAGS = {
    "--simulations": "search.simulations",
    "--considered": CONSIDERED,
    "--every": "deliberation.every",
    "--ahead": "deliberation.ahead",
    "--lag": "deliberation.lag",
    "--rate": "injection.rate",
}
"Options that are settings, which `--set` changes as well."


def refuse(given: Mapping[str, object]) -> None:
    """Raises UsageError for an option that does nothing without --deliberate."""
    for option in (name for name, value in given.items() if value):
        raise UsageError(f"{option} is for deliberation", where=option, expected="--deliberate beside it")


def find(run: str | None, model: Path | None, critic: str | None) -> "Deliberator":
    """A model and what deliberates beside it; which ones is said on stderr.

    What was named; else the newest finished run of stage 4, or the newest critic, one of the run if that was named.
    Raises Missing where there is none, BadSettings where they do not belong together, and BadData for a model that has
    no recurrent state.
    """
    from think.cli import environment
    from think.cli.exams import critic_named
    from think.cli.generate import assemble
    from think.cli.plan import critic_for
    from think.core.deliberator import expect_recurrent, held_by
    from think.core.predecessors import candidates

    judge = None if critic is None else critic_named(critic)
    if run is None and model is None:
        whole = None if judge is not None else next(candidates(environment.runs_folder(), "stage4"), None)
        if whole is None and judge is None:
            judge = critic_for(None, None)
        if whole is not None:
            model = whole.path
        elif judge is not None:
            model = judge.model
    thinker = assemble(run, model)
    expect_recurrent(thinker)
    if judge is None and (held := held_by(thinker)) is not None:
        return held
    if judge is None and run is None:
        raise UsageError(
            "this model has no critic beside it",
            where=str(thinker.path),
            expected="a run of stage 4, or a critic of this model",
            remedy="name the run of stage 3 that was trained on it, or one of stage 4: --critic RUN",
        )
    return (judge if judge is not None else critic_for(None, run)).beside(thinker)


def settings_of(held: "Deliberator", flags: Mapping[str, object], changes: Sequence[str]) -> "BesideSettings":
    """What deliberation is told: searches as those of `think plan`, but for what was given.

    flags: by option, None where it was not given. Raises SettingsError with all mistakes, and BadSettings for a search
    that considers more actions than there are.
    """
    from think.core.eval.reasoning.searching import CONSIDERED as MOST_CONSIDERED
    from think.core.eval.reasoning.searching import VALUE_SCALE
    from think.core.planning.beside import BesideSettings
    from think.presets.decode import decode
    from think.presets.literals import parse_key
    from think.presets.sources import DEFAULT, Flag, Layer, Sources, Value, read

    usual = {CONSIDERED: min(MOST_CONSIDERED, len(held.actions)), "search.rule.noise": 0.0}
    usual["search.rule.value_scale"] = VALUE_SCALE
    beneath = Layer([(parse_key(key) or (), Value(value, DEFAULT)) for key, value in usual.items()])
    named = {FLAGS[name]: None if value is None else Flag(name, value) for name, value in flags.items()}
    said = read(None, changes, flags=named)
    settings = decode(Sources((beneath, *said.layers), None, said.problems), BesideSettings).settings
    settings.search.check(len(held.actions))
    return settings


@dataclass
class Beside:
    """Deliberation beside the texts of one call. told: what became of it, one for each text written so far."""

    held: "Deliberator"
    settings: "BesideSettings"
    record: bool
    told: list[dict[str, Any]] = field(default_factory=list)

    def begin(self) -> None:
        """Say what will not happen, before anything is written. Raises UsageError and InputOutput as `folder`."""
        if self.record:
            self.folder()
        if (doubt := self.held.critic.doubt) is not None:
            console.warn(
                f"nothing will be injected: {doubt}; `think train stage3` trains a critic and examines it, "
                "`think train stage4 --from RUN` examines one that nobody has"
            )
        elif not self.held.of_texts:
            console.warn(
                "this critic was examined on puzzles that are asked and answered in turns; what it says beside a plain "
                "text was never examined"
            )

    def write(self, text: "Opened", read: Sequence[int], limits: "Limits", seed: int) -> Iterator[int]:
        """The tokens of a text. read: what it has read so far."""
        from think.core.generation import write_deliberately
        from think.core.planning.deliberate import Deliberation
        from think.core.planning.plans import INJECTED

        lags: list[tuple[int, float]] = []
        planner, of = self.held.planner(self.settings, seed), len(self.told) + 1
        written = 0
        with self._records() as records:

            def note(kind: str, fields: dict[str, Any]) -> None:
                if kind == "injection" and fields["fate"] in INJECTED:
                    lags.append((fields["lag"], fields["milliseconds"]))
                if records is not None:
                    records.write(kind, **fields | {"generation": of})

            began = time.perf_counter()
            asked = self.settings
            thinker = self.held.thinker
            with Deliberation(thinker.model, planner, asked.deliberation, asked.injection, note=note) as deliberation:
                for token in write_deliberately(text, limits, thinker.generator(seed), deliberation, read):
                    written += 1
                    yield token
                seconds = time.perf_counter() - began
        self.told.append(
            {
                **deliberation.counts.as_json(),
                "lag_tokens": median(tokens for tokens, _ in lags) if lags else None,
                "lag_milliseconds": median(late for _, late in lags) if lags else None,
                "seconds": seconds,
                "tokens_per_second": written / seconds,
            }
        )

    def as_json(self) -> dict[str, Any]:
        """What was the same for all texts."""
        return {
            "critic": self.held.run,
            "trust": list(self.held.critic.trust.skill),
            "doubt": self.held.critic.doubt,
            "settings": self.settings.model_dump(mode="json"),
        }

    def folder(self) -> "RunFolder":
        """The run that keeps the record, with a place for it.

        Raises UsageError for a model of no run, InputOutput where nothing can be written.
        """
        from think.core.runs import RunFolder

        path = self.held.thinker.path
        run = RunFolder(path.parent.parent)
        if path.parent != run.checkpoints:
            raise UsageError("this model is of no run that could keep a record", where=str(path), expected="a run")
        try:
            run.deliberations.mkdir(exist_ok=True)
        except OSError as error:
            raise InputOutput(
                f"the record cannot be written: {error.strerror or error}", where=str(run.deliberations)
            ) from None
        return run

    def _records(self) -> "AbstractContextManager[Writer | None]":
        """Where searches and injections are recorded: beside the training log of the run, where the monitor looks."""
        if not self.record:
            return nullcontext()
        from think.core.telemetry.writer import Writer

        run = self.folder()
        return Writer(run.deliberations, run=run.name, heartbeat_seconds=None)


def say(told: Sequence[Mapping[str, Any]]) -> None:
    """What deliberation came to, in one line for each text, and why nothing moved where nothing did."""
    for each in told:
        fates = ", ".join(f"{count:,} {fate.replace('_', ' ')}" for fate, count in each["fates"].items() if count)
        parts = [_several(each["searches"], "search", "searches"), _several(each["plans"], "plan", "plans")]
        parts[-1] += f" ({fates})" if fates else ""
        parts.append(_several(each["injections"], "injection", "injections"))
        if each["lag_tokens"] is not None:
            parts[-1] += f", {each['lag_tokens']:g} tokens and {each['lag_milliseconds']:.1f} ms late in the median"
        if each["refused"]:
            parts.append(f"{each['refused']:,} refused, another being in work")
        if each["abandoned"]:
            parts.append(f"{each['abandoned']:,} abandoned at the end of the text")
        console.note(f"deliberation: {'; '.join(parts)}; {each['tokens_per_second']:,.0f} tokens/s")
        if (why := unmoved(each)) is not None:
            console.note(f"nothing moved this text: {why}")


def unmoved(each: Mapping[str, Any]) -> str | None:
    """Why no plan was injected; None where one was, or none was asked for."""
    fates = each["fates"]
    if each["injections"] or not each["asked"]:
        return None
    if fates["closed"]:
        return "every gate was closed, for the rate is 0 or no layer is surer of a plan than it usually is"
    if fates["unused"] or each["abandoned"]:
        return "it had ended before a search was done; --lag N makes plans at once, to act N tokens later"
    return "no plan came in time" if each["plans"] else "no search proposed anything"


def _several(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"
