"""Made-up studies: cells with known figures, without any training."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from think.core.ablations.budget import Budget
from think.core.ablations.cells import Cell, Shared, Study, Variant
from think.core.ablations.ledger import Ledger
from think.core.ablations.study import BudgetSettings, StudySettings, VariantSettings
from think.core.settings import RunSettings

TREE = {
    "model": {
        "vocabulary": 48,
        "width": 16,
        "layers": 1,
        "mixer": {"kind": "rwkv6", "heads": 2, "mix_rank": 2, "decay_rank": 2},
        "feed_forward": {"kind": "channel_mix", "inner": 16},
    },
    "tokenizer": {"kind": "character"},
    "data": {"path": "data"},
    "stage1": {"steps": 8, "rows": 2, "length": 8, "learning_rate": 0.01},
}


def settings(**stage: object) -> RunSettings:
    return RunSettings.model_validate_json(json.dumps({**TREE, "stage1": {**TREE["stage1"], **stage}}))


@dataclass
class Made:
    """A study whose cells can be finished with any figures."""

    root: Path
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    parameters: dict[str, int] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.root)
        self.study = Study(
            "made",
            ("made.toml",),
            "made.toml",
            StudySettings(
                summary="Does it help?",
                preset="tiny",
                base=self.names[0],
                seeds=self.seeds,
                also=self.also,
                budget=BudgetSettings(steps=8),
                variants=tuple(VariantSettings(name=name) for name in self.names),
            ),
            tuple(Variant(name, f"made.toml:{at}", "tiny", (), settings()) for at, name in enumerate(self.names)),
        )
        self.budget = Budget(steps=8, tokens=128)

    def cell(self, name: str, seed: int) -> Cell:
        variant = next(variant for variant in self.study.variants if variant.name == name)
        count = self.parameters.get(name, 1000)
        shared = Shared("pack", f"order of seed {seed}", 128)
        return Cell(f"{name}{seed}" + "0" * 60, variant, seed, settings(seed=seed), count, 1.0, shared)

    @property
    def cells(self) -> list[Cell]:
        return [self.cell(name, seed) for seed in self.seeds for name in self.names]

    def facts(self, name: str, seed: int, **other: object) -> dict[str, object]:
        cell = self.cell(name, seed)
        return {
            "cell": cell.id,
            "study": "made",
            "variant": name,
            "seed": seed,
            "run": f"cells/{cell.name}",
            "parameters": cell.parameters,
            "shared": cell.shared.as_json(),
            "code": "c" * 64,
            **other,
        }

    def finish(self, name: str, seed: int, loss: float, **other: object) -> None:
        figures = {"held_out_loss": loss, "tokens_per_second": 100.0}
        self.ledger.append(
            "finished", self.facts(name, seed, figures=figures, measures=["training"], seconds=1.0, **other)
        )

    def losses(self, by_name: dict[str, list[float]]) -> None:
        for name, values in by_name.items():
            for seed, value in zip(self.seeds, values, strict=False):
                self.finish(name, seed, value)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "ablations"
