"""benchmarks/gpu.py without a GPU: who takes part can be built, is of one size, and nothing is measured."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"
NEAR = 0.1
"Largest difference in parameters between contestants, as a share."


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("gpu")


@pytest.mark.slow
def test_contestants_are_of_one_size_and_give_a_loss(script: ModuleType) -> None:
    """On the meta device: all shapes fit, no number is computed."""
    for preset in script.PRESETS:
        sizes = {}
        for name, make in script.contestants(preset, 2, 64, "auto", None):
            with torch.device("meta"):
                model, loss = make()
                sizes[name] = script.size(model)
                if not name.startswith("fla"):  # their kernels are for a GPU alone
                    assert loss(torch.zeros(2, 65, dtype=torch.long)).shape == ()
        assert {preset, "transformer"} <= set(sizes)
        assert all(abs(count / sizes[preset] - 1) <= NEAR for count in sizes.values()), sizes


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_writes_nothing(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    monkeypatch.setattr(script._report, "write", lambda *_: pytest.fail("figures were written"))
    script.main()
    assert "no CUDA device" in capsys.readouterr().out
