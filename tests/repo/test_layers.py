"""The import contracts hold, and each of them notices the import that it forbids."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FORBIDDEN = {
    "Upper layers import lower ones": ("core/errors.py", "import think.cli.app"),
    "The training loop knows no stage, and stages stand on it": (
        "core/training/gradients.py",
        "from think.core.training.stages import stage1",
    ),
    "The core declares settings and never reads them from files": ("core/errors.py", "import think.presets.decode"),
    "Gates, models and data know nothing of training": (
        "core/gates/verdict.py",
        "from think.core.training import loop",
    ),
    "What lists, watches and judges records needs no torch": ("core/telemetry/records.py", "import torch"),
    "Kernels import torch and nothing else": ("kernels/choose.py", "import pydantic"),
}
"Contract: a file, and a line that would break the contract there."


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_contracts_hold():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_every_contract_notices_what_it_forbids(tmp_path):
    shutil.copytree(ROOT / "think", tmp_path / "think", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file, line in FORBIDDEN.values():
        path = tmp_path / "think" / file
        path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode != 0
    for contract in FORBIDDEN:
        assert f"{contract} BROKEN" in done.stdout


def test_every_contract_has_its_counterexample():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {contract["name"] for contract in project["tool"]["importlinter"]["contracts"]} == set(FORBIDDEN)
