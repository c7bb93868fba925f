"""What each branch of a trained hybrid is worth: held-out loss with its normalised output replaced by zero.

Reads the whole held-out split as the run's own last evaluation did; the change is paired block by block, with the 95 %
interval of a block bootstrap. A branch whose removal costs less than 0.05 nats is close to dead weight.

    python benchmarks/branches.py RUN [RUN...] [--data FOLDER]
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import _report
import torch

import think
from think.core.data.store import Packed
from think.core.models.mixers.hybrid import Hybrid
from think.core.models.thinking import Thinking
from think.core.statistics import block_bootstrap_mean
from think.core.training.evaluate import Score, evaluate

BRANCHES = ("rwkv", "mamba")


@contextmanager
def silenced(model: Thinking, branch: str | None) -> Iterator[None]:
    """Every block fuses zeros in place of this branch's normalised output."""
    norms = [
        getattr(block.mixer, f"{branch}_norm") for block in model.blocks if isinstance(block.mixer, Hybrid) and branch
    ]
    handles = [norm.register_forward_hook(lambda _, __, out: torch.zeros_like(out)) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data")
    asked = parser.parse_args()
    figures = []
    for run in asked.runs:
        held = think.load(run)
        settings = held.settings
        split = Packed.open(asked.data or settings.data.path).split("validation")
        scores: dict[str | None, Score] = {}
        for branch in (None, *BRANCHES):
            with silenced(held.model, branch):
                scores[branch] = evaluate(held.model, split, settings.stage1.evaluation.rows, settings.stage1.length)
        whole = scores[None]
        print(f"{run}: held-out loss {whole.loss:.4f} nats over {whole.tokens:,} tokens")
        for branch in BRANCHES:
            pairs = zip(scores[branch].block_losses, whole.block_losses, strict=True)
            change = block_bootstrap_mean([mine - other for mine, other in pairs])
            print(f"  without {branch:6s} {scores[branch].loss:.4f}, change {change}")
            figures.append({"run": run, "without": branch, "loss": scores[branch].loss, "change": change.as_json()})
    print("written:", _report.write("branches", figures).name)


if __name__ == "__main__":
    main()
