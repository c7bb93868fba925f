"""The tiny run in which settings are tried: its settings, its texts, and where a change can show.

Some settings act only in circumstances: a threshold must be crossed, a window must be filled. `CROSSINGS` makes the
circumstances, `OTHERS` names the value to try where the type alone does not suggest one.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from think.core import plugins
from think.core.models.thinking import MIXERS
from think.core.settings import LATER
from think.core.training.stages import FAMILY as STAGES
from think.presets.fields import choices
from think.presets.literals import dotted

Tree = dict[str, Any]

TINY_RUN_MIXER = "hybrid"
"Has the parts of all others."


def _mixers() -> dict[str, Tree]:
    """Every mixer of the folder as its own file wants it tried, that of the tiny run first."""
    names = sorted(plugins.names(MIXERS), key=lambda name: (name != TINY_RUN_MIXER, name))
    return {name: dict(plugins.load(MIXERS, name).tiny) for name in names}


def _choices(stage: str) -> dict[str, dict[str, Tree]]:
    """The choices of a later stage, but for those that every stage has; what a kind must be told its file says."""
    made_by = plugins.load(STAGES, stage)
    found = {f"{stage}.{dotted(choice.path)}": choice.shape for choice in choices(made_by.Settings)}
    return {
        table: {str(kind): dict(made_by.kinds.get(table, {}).get(kind, {})) for kind in shape.variants}
        for table, shape in found.items()
        if shape.tagged and table not in (f"{stage}.optimizer", f"{stage}.schedule")
    }


VARIANTS: dict[str, dict[str, Tree]] = {
    "model.mixer": _mixers(),
    "model.mixer.fusion": {
        "weighted": {},
        "residual": {},
        "concat": {},
        "gated": {},
        "hybrid_norm": {},
        "arbiter": {"inner": 4},
    },
    "model.feed_forward": {"channel_mix": {"inner": 16}, "gelu": {"inner": 16}},
    "model.anchors.where": {"at": {"layers": [0]}, "every": {"period": 2}},
    "tokenizer": {"bpe": {"size": 272}, "character": {}},
    **{f"{stage}.optimizer": {"adamw": {}, "muon": {}} for stage in ("stage1", *LATER)},
    **{
        f"{stage}.schedule": {"wsd": {"warmup": 2, "fall": 0.5, "floor": 0.1}, "cosine": {"warmup": 2}}
        for stage in ("stage1", *LATER)
    },
    **{table: kinds for stage in LATER for table, kinds in _choices(stage).items()},
    "gates.g2.band": {"share": {}, "nats": {"low": 2.0, "high": 5.0}},
    "runtime.parallel": {"ddp": {}, "fsdp": {}},
}
"What each kind of each choice needs to be told; the first is the one of the tiny run."

QUIET: Tree = {
    "spike": 1e9,
    "top_probability": 1.0,
    "saturated_share": 1.0,
    "component_ratio": 1e9,
    "shift_factor": 1e9,
    "detail_steps": 0,
}
"Anomaly rules that never speak, so that the cadence of everything else can be seen."

COLLAPSED: Tree = {"top_probability": 0.0, "distinct_share": 1.0}
"A fresh model predicts few distinct tokens: with these limits, that is an anomaly."

SHIFTING: Tree = {"shift_window": 1, "shift_factor": 1.0001, "shift_noise": 0.0}
"With these limits a figure that moves more than it did the step before has shifted."

CROSSINGS: dict[str, Tree] = {
    "stage1.micro_batches": {"stage1.rows": 4},
    "stage1.anomalies.spike": {"stage1.anomalies.spike": 1.0001, "stage1.anomalies.window": 1},
    "stage1.anomalies.window": {"stage1.anomalies.spike": 1.0001, "stage1.anomalies.window": 1},
    "stage1.anomalies.top_probability": {f"stage1.anomalies.{key}": value for key, value in COLLAPSED.items()},
    "stage1.anomalies.distinct_share": {f"stage1.anomalies.{key}": value for key, value in COLLAPSED.items()},
    **{
        f"stage1.anomalies.{leaf}": {f"stage1.anomalies.{key}": value for key, value in SHIFTING.items()}
        for leaf in SHIFTING
    },
    "stage1.anomalies.detail_steps": {f"stage1.anomalies.{key}": value for key, value in COLLAPSED.items()},
    "stage1.anomalies.saturated_share": {"stage1.anomalies.saturated_share": 0.0, "stage1.telemetry.saturation": 1e-6},
    "stage1.anomalies.component_ratio": {"stage1.anomalies.component_ratio": 1.0001},
    "stage1.telemetry.saturation": {"stage1.anomalies.saturated_share": 0.0, "stage1.telemetry.saturation": 1e-6},
    "gates.g2.band.low": {"gates.g2.band": {"kind": "nats", "low": 2.0, "high": 5.0}},
    "gates.g2.band.high": {"gates.g2.band": {"kind": "nats", "low": 2.0, "high": 5.0}},
    "runtime.parallel": {"runtime.parallel": {"kind": "ddp"}},
    "model.anchors.where.layers": {"model.layers": 3},
    "model.anchors.where.period": {"model.layers": 3},
}
"What must hold for a setting to have something to act on."

ALIKE = ("anomalies.spike", "anomalies.window", *(f"anomalies.{leaf}" for leaf in SHIFTING), "optimizer.epsilon")
"Settings that act on every stage as on the first."


def crossing(key: str) -> Tree:
    """What must hold for this setting to have something to act on, by dotted key; empty when nothing."""
    stage, _, leaf = key.partition(".")
    if stage not in LATER:
        return CROSSINGS.get(key, {})
    if leaf == "anomalies.detail_steps":
        return {f"{stage}.anomalies.spike": 1.0001, f"{stage}.anomalies.window": 1, f"{stage}.telemetry.steps_every": 2}
    own = plugins.load(STAGES, stage).crossings
    held: Tree = own[leaf] if leaf in own else CROSSINGS.get(f"stage1.{leaf}", {}) if leaf in ALIKE else {}
    return {f"{stage}.{name.removeprefix('stage1.')}": value for name, value in held.items()}


def others(key: str) -> list[Any] | None:
    """Values to try for this setting, in this order; None where halving, doubling and negating will do."""
    stage, _, leaf = key.partition(".")
    if stage not in LATER:
        return OTHERS.get(key)
    if leaf == "anomalies.detail_steps":
        return [2]
    own = plugins.load(STAGES, stage).others
    return list(own[leaf]) if leaf in own else OTHERS.get(f"stage1.{leaf}") if leaf in ALIKE else None


OTHERS: dict[str, list[Any]] = {
    "stage1.anomalies.spike": [1e9],
    "stage1.anomalies.window": [6],
    "stage1.anomalies.top_probability": [1.0],
    "stage1.anomalies.distinct_share": [0.0],
    "stage1.anomalies.saturated_share": [1.0],
    "stage1.anomalies.component_ratio": [1e9],
    "stage1.anomalies.shift_window": [100],
    "stage1.anomalies.shift_factor": [1e9],
    "stage1.anomalies.shift_noise": [1e9],
    "stage1.anomalies.detail_steps": [2],
    "stage1.telemetry.saturation": [1e9],
    "stage1.curriculum": [[{"from_share": 0.5, "length": 10}]],
    "stage1.reset_period": [5],
    "data.shard_tokens": [500],
    "stage1.optimizer.epsilon": [1e-2],
    "model.anchors.where.layers": [[1], [1, 2]],
    "runtime.threads": [2],
    "runtime.kernels": ["reference", "chunked"],
    "runtime.compile": ["default"],
    "runtime.parallel.backend": ["nccl"],
}
"Values to try, in this order, where halving, doubling and negating do not do."

REFUSED = ("model.mixer.sliding", "model.anchors.attention.sliding", "runtime.device", "runtime.parallel.backend")
"Settings whose other value this model or machine cannot honour: that it then says so is their effect."


def files(workspace: Path) -> None:
    """Write the texts that the tiny runs are made of, in each format that a source reads."""
    workspace.mkdir(parents=True, exist_ok=True)
    for name, shift in (("corpus", 0), ("other", 7)):
        records = [{"text": _sentence(number + shift), "title": f"Nr. {number + shift}"} for number in range(40)]
        (workspace / f"{name}.txt").write_text("\n\n".join(record["text"] for record in records), encoding="utf-8")
        (workspace / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        turns = [[("user", record["title"]), ("assistant", record["text"])] for record in records]
        chats = [{"messages": [{"role": role, "content": text} for role, text in pair]} for pair in turns]
        (workspace / f"{name}.chat.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
        _write_tables(records, workspace / f"{name}.parquet", workspace / f"{name}.dataset")
    subsets = workspace / "subsets"
    subsets.mkdir(exist_ok=True)
    names = ("corpus", "other")
    configurations = "".join(f"- config_name: {name}\n  data_files: {name}.jsonl\n" for name in names)
    (subsets / "README.md").write_text(f"---\nconfigs:\n{configurations}---\n")
    for name in names:
        (subsets / f"{name}.jsonl").write_bytes((workspace / f"{name}.jsonl").read_bytes())


def around_source(kind: str, workspace: Path) -> tuple[Tree, Tree]:
    """A second source that goes with one of this kind in a mixture, and the tokenizer that it needs."""
    if kind == "task":
        return {"kind": "task", "task": "parity", "seed": 5, "count": 60, "weight": 1.0}, {"kind": "character"}
    return {"kind": "text", "path": str(workspace / "other.txt"), "weight": 1.0}, tree(workspace)["tokenizer"]


def _write_tables(records: list[Tree], parquet: Path, folder: Path) -> None:
    import datasets
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    rows = datasets.Dataset.from_list(records)
    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        rows.to_parquet(str(parquet))
        datasets.DatasetDict({"train": rows, "rest": rows.select(range(20, 40))}).save_to_disk(str(folder))
    finally:
        if shown:
            enable_progress_bars()


def sources(workspace: Path) -> dict[str, dict[str, tuple[Tree, list[Any]]]]:
    """For each kind of source and each of its settings: a source, and other values of the setting."""
    held: dict[str, Tree] = {
        "text": {"path": str(workspace / "corpus.txt")},
        "jsonl": {"path": str(workspace / "corpus.jsonl")},
        "parquet": {"path": str(workspace / "corpus.parquet")},
        "chat": {"path": str(workspace / "corpus.chat.jsonl")},
        "dataset": {"name": str(workspace / "corpus.dataset")},
        "stories": {"count": 30},
        "puzzles": {"count": 40},
        "task": {"task": "parity", "count": 60},
    }
    subsets: Tree = {"name": str(workspace / "subsets"), "subset": "corpus"}
    tried: dict[str, dict[str, tuple[Tree, list[Any]]]] = {
        "text": {"path": (held["text"], [str(workspace / "other.txt")]), "encoding": (held["text"], ["latin-1"])},
        "jsonl": {"path": (held["jsonl"], [str(workspace / "other.jsonl")])},
        "parquet": {"path": (held["parquet"], [str(workspace / "other.parquet")])},
        "chat": {"path": (held["chat"], [str(workspace / "other.chat.jsonl")])},
        "dataset": {
            "name": (held["dataset"], [str(workspace / "other.dataset")]),
            "subset": (subsets, ["other"]),
            "split": (held["dataset"], ["rest"]),
        },
        "stories": {
            "count": (held["stories"], [20]),
            "seed": (held["stories"], [1]),
            "reasoning": (held["stories"], [1.0]),
        },
        "puzzles": {
            "task": (held["puzzles"], [{"kind": "sudoku4"}]),
            "split": (held["puzzles"], ["validation"]),
            "count": (held["puzzles"], [30]),
            "seed": (held["puzzles"], [1]),
        },
    }
    tried["task"] = {
        "task": (held["task"], ["z5"]),
        "count": (held["task"], [50]),
        "smallest": (held["task"], [20]),
        "largest": (held["task"], [20]),
        "seed": (held["task"], [1]),
    }
    for kind in ("jsonl", "parquet", "dataset"):
        tried[kind]["fields"] = (held[kind], [["title"], ["title", "text"]])
    for kind, settings in tried.items():
        settings["weight"] = ({**held[kind], "weight": 1.0}, [9.0])
    return {
        kind: {key: ({"kind": kind, **tree}, others) for key, (tree, others) in settings.items()}
        for kind, settings in tried.items()
    }


def tree(workspace: Path) -> Tree:
    """The settings of the tiny run."""
    chosen = {
        table: {"kind": kind, **needs}
        for table, kinds in VARIANTS.items()
        for kind, needs in [next(iter(kinds.items()))]
    }
    return deepcopy(
        {
            "model": {
                "vocabulary": 300,
                "width": 16,
                "layers": 2,
                "mixer": chosen["model.mixer"],
                "feed_forward": chosen["model.feed_forward"],
                "anchors": {"where": chosen["model.anchors.where"], "attention": {"heads": 2, "context": 6}},
                "gamma": 0.5,
                "tied": True,
                "logit_cap": 5.0,
            },
            "tokenizer": chosen["tokenizer"],
            "data": {
                "path": str(workspace / "pack"),
                "split_on": "blank_line",
                "validation": 0.1,
                "sources": [{"kind": "text", "path": str(workspace / "corpus.txt")}],
            },
            "stage1": {
                "steps": 6,
                "rows": 4,
                "length": 12,
                "learning_rate": 0.01,
                "max_gradient_norm": 0.05,
                "optimizer": chosen["stage1.optimizer"],
                "schedule": chosen["stage1.schedule"],
                "evaluation": {"every": 3, "rows": 4, "tokens": 48},
                "checkpoint": {"every": 2, "keep": 2},
                "telemetry": {"steps_every": 1, "gradients_every": 2, "health_every": 3},
                "anomalies": QUIET,
            },
            **{stage: _later(stage, chosen) for stage in LATER},
            "gates": {"g2": {"band": chosen["gates.g2.band"]}},
            "runtime": {"device": "auto", "threads": 1},
        }
    )


def on_puzzles(tree: Tree, workspace: Path) -> None:
    """Give a run data of puzzles, whose games later stages play; texts they are as well."""
    task = {"kind": "path_star", "arms": 2, "length": 2}
    tree["tokenizer"] = {"kind": "character"}
    tree["data"] |= {
        "path": str(workspace / "puzzles"),
        "split_on": "record",
        "validation": 0.2,
        "sources": [{"kind": "puzzles", "task": task, "count": 60}],
    }


def _later(stage: str, chosen: Tree) -> Tree:
    """The section of a later stage in the tiny run: what its file says, and quiet."""
    own = plugins.load(STAGES, stage).tiny
    return {
        "optimizer": chosen[f"{stage}.optimizer"],
        "schedule": chosen[f"{stage}.schedule"],
        "max_gradient_norm": 0.05,
        "checkpoint": {"every": 2, "keep": 2},
        "telemetry": {"steps_every": 1, "gradients_every": 2},
        "anomalies": {"spike": 1e9, "shift_factor": 1e9, "detail_steps": 0},
        **own,
    }


def _sentence(number: int) -> str:
    """A sentence of its own for each number, with letters beyond ASCII, so that encodings differ."""
    names, things = (
        ("Ada", "Bjørn", "Chloé", "Dvořák", "Erol"),
        ("apples", "pears", "stones", "cups", "maps", "keys", "coins"),
    )
    who, what = names[number % len(names)], things[number % len(things)]
    left = number - number // 2
    return f"{who} had {number} {what} and gave {number // 2} away; {left} {what} were left.\n{who} was glad."
