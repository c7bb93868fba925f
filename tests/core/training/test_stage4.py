"""Stage 4: when the critic that it takes over is examined again. The rest is held by tests/cli/test_pipeline.py."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from think.core.training.stages.stage4 import Assembling, DistillationSettings, Stage4Settings

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("before", "distils", "again"),
    [([40, 40], False, False), ([0, 0], False, True), ([40, 40], True, True)],
    ids=["examined before", "never examined", "what it reads has learned"],
)
def test_a_critic_is_examined_where_nobody_has_and_where_its_backbone_moved(
    before: list[int], distils: bool, again: bool
) -> None:
    objective, taken_over, assembling = Mock(), "of stage 3", Assembling.__new__(Assembling)
    objective.model = taken_over
    critic = SimpleNamespace(examined=torch.tensor(before))
    module: Any = SimpleNamespace(critic=critic, backbone="of stage 4")
    assembling.module = module
    assembling.settings = Stage4Settings(
        steps=1, rows=1, learning_rate=0.1, distillation=DistillationSettings() if distils else None
    )
    assembling._parts = {"stage3": (SimpleNamespace(objective=objective), 0.0)}  # type: ignore[dict-item]
    assembling.settle()
    assert objective.examine.called is again
    assert objective.model == ("of stage 4" if distils else taken_over)
