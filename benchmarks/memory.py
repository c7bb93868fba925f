"""Peak memory of training steps: resident size of a process that trains one model, each contestant in its own.

Beside the peak stands what it grew by since the libraries were loaded: the part that the model is answerable for.

    python benchmarks/memory.py [--sizes small large] [--length 256] [--rows 8] [--threads 2]
"""

import argparse
import json
import os
import subprocess
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

STEPS = 3
GOALS = {"hf mamba-2": 0.6}
"Peak of the hybrid over theirs."


def one(size: str, name: str, length: int, rows: int, threads: int) -> dict[str, float]:
    """Train one contestant for a few steps in this process."""
    import psutil
    import torch
    from _models import LARGER, contestants, peak_mebibytes, settings_of

    torch.set_num_threads(threads)
    settings = settings_of("cpu_small", LARGER if size == "large" else ())
    tokens = torch.randint(settings.vocabulary, (rows, length + 1), generator=torch.Generator().manual_seed(0))
    before = psutil.Process().memory_info().rss / 2**20
    contestant = contestants(settings, torch.float32, tokens)[name]()
    for _ in range(STEPS):
        contestant.step(tokens)
    peak = peak_mebibytes()
    return {"peak": peak, "grown": peak - before, "parameters": contestant.parameters}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=("small", "large"), default=["small", "large"])
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--one", nargs=2, metavar=("SIZE", "NAME"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(*asked.one, asked.length, asked.rows, asked.threads)))
        return
    import _report
    from _models import FUSED, HUGGING_FACE

    names = ("hybrid", "transformer", FUSED, *(("hf mamba-2", "hf gpt-2") if HUGGING_FACE else ()))
    figures = []
    for size in asked.sizes:
        print(f"{size}, T = {asked.length}, {asked.rows} rows, float32, {asked.threads} threads; MiB")
        ours = 0.0
        for name in names:
            options = [f"--{key}={getattr(asked, key)}" for key in ("length", "rows", "threads")]
            command = [sys.executable, __file__, "--one", size, name, *options]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            ours = ours or found["peak"]
            goal = GOALS.get(name)
            ratio = "" if name == "hybrid" else f"  hybrid {ours / found['peak']:.2f} of it"
            ratio += f", goal {goal}" if goal else ""
            print(
                f"  {name:22s} {found['parameters'] / 1e6:6.2f} M  peak {found['peak']:7.0f}  "
                f"grown by {found['grown']:7.0f}{ratio}",
                flush=True,
            )
            figures.append({"size": size, "name": name, "length": asked.length, "rows": asked.rows, **found})
    print("written:", _report.write("memory", figures).name)


if __name__ == "__main__":
    main()
