"""The page of benchmarks names every script, and nothing else."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_script_is_in_the_table():
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(benchmarks/\w+\.py)` \|", text, flags=re.MULTILINE)
    scripts = [f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("[!_]*.py")]
    assert sorted(rows) == sorted(scripts)
