"""Training steps of the hybrid beside a minimal transformer and Hugging Face models of equal size.

The transformer is the plainest that people use: learned positions, pre-norm, fused causal attention without a cache,
GELU, tied embeddings, torch's cross-entropy; it takes part a second time with the hybrid's loss in place of torch's,
which tells the model's share from the loss's. All take the same tokens in the same type and fused AdamW, each with its
own loss; sizes are within 10 %. Contestants alternate in one process, and the ratio of each round is taken within the
round, so a busy moment meets all. Threads wait without spinning, as `think` has them do. A ratio is the hybrid's speed
over the other's. Peers of Hugging Face take part when `transformers` is there (`make bench-setup`).

    python benchmarks/training.py [--sizes small large] [--lengths 256 1024] [--types float32] [--rounds 7]
                                  [--threads 2] [--kernels auto chunked]
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import _report
import torch
from _models import LARGER, Contestant, contestants, hybrid, settings_of

from think.core.device import keep_freed_memory

SIZES: dict[str, tuple[str, ...]] = {"small": (), "large": LARGER}
"`cpu_small` as it is, and about 11 M parameters."

GOALS = {
    ("small", 256, "transformer"): 0.85,
    ("small", 1024, "transformer"): 1.05,
    ("large", 256, "transformer"): 0.85,
    ("large", 1024, "transformer"): 1.0,
    ("small", 256, "hf mamba-2"): 2.0,
    ("small", 1024, "hf mamba-2"): 2.5,
}


def measure(taking_part: list[Contestant], tokens: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds of each one's steps, in alternating rounds after two that warm up."""
    seconds: dict[str, list[float]] = {each.name: [] for each in taking_part}
    for round_ in range(rounds + 2):
        for each in taking_part:
            begin = time.perf_counter()
            each.step(tokens)
            if round_ >= 2:
                seconds[each.name].append(time.perf_counter() - begin)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--lengths", nargs="+", type=int, default=[256, 1024])
    parser.add_argument("--types", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    parser.add_argument("--kernels", nargs="+", default=["auto"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rows", type=int, default=8)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()  # as training does; it serves all contestants
    figures = []
    for size, length, kind in ((s, t, k) for s in asked.sizes for t in asked.lengths for k in asked.types):
        settings = settings_of("cpu_small", SIZES[size])
        tokens = torch.randint(
            settings.vocabulary, (asked.rows, length + 1), generator=torch.Generator().manual_seed(0)
        )
        taking_part = [make() for make in contestants(settings, getattr(torch, kind), tokens).values()]
        taking_part += [
            hybrid(settings, getattr(torch, kind), tokens, name) for name in asked.kernels if name != "auto"
        ]
        seconds = measure(taking_part, tokens, asked.rounds)
        ours = seconds["hybrid"]
        print(f"{size}, T = {length}, {kind}, {asked.rows} rows, {asked.threads} threads, {asked.rounds} rounds")
        for each in taking_part:
            taken = seconds[each.name]
            median = statistics.median(taken)
            line = (
                f"  {each.name:22s} {each.parameters / 1e6:6.2f} M  {median * 1e3:8.1f} ms "
                f"[{min(taken) * 1e3:.1f}-{max(taken) * 1e3:.1f}]  {asked.rows * length / median:7.0f} tokens/s"
            )
            ratios = [theirs / mine for mine, theirs in zip(ours, taken, strict=True)]
            goal = GOALS.get((size, length, each.name))
            if taken is not ours:
                line += f"  hybrid {statistics.median(ratios):.3f} x [{min(ratios):.3f}-{max(ratios):.3f}]"
                line += f" goal {goal}" if goal else ""
            print(line, flush=True)
            figures.append(
                {
                    "size": size,
                    "length": length,
                    "type": kind,
                    "rows": asked.rows,
                    "threads": asked.threads,
                    "name": each.name,
                    "parameters": each.parameters,
                    "seconds": taken,
                    "hybrid_speed": statistics.median(ratios),
                    "goal": goal,
                }
            )
    print("written:", _report.write("training", figures).name)


if __name__ == "__main__":
    main()
