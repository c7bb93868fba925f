"""Forward and forward + backward of every kernel implementation; the figures of `think bench kernels`, kept in a file.

    python benchmarks/kernels.py [--rounds 9] [--threads 2] [--kernel rwkv6] [--sizes 1] [--compiled]

Where flash-linear-attention is installed (`make bench-setup`), its torch references stand beside them, once they are
found to compute the same. --compiled times the chunked form under torch.compile too; that takes a compiler and minutes.
Both only on batches without resets. --sizes N takes the first N sizes.
"""

import argparse
from dataclasses import asdict

import _fla
import _report
import torch

from think.core.device import keep_freed_memory
from think.kernels import choose
from think.kernels.bench import FEWEST_ROUNDS, SIZES, measure
from think.kernels.compare import Case, inputs

SAME = Case("for a check", 100, heads=4)
"Not a multiple of any chunk."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=FEWEST_ROUNDS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--kernel", action="append", choices=choose.operators(), help="only this one; may be repeated")
    parser.add_argument("--sizes", type=int, default=len(SIZES))
    parser.add_argument("--compiled", action="store_true")
    asked = parser.parse_args()
    keep_freed_memory()  # as training does
    figures = []
    for operator in asked.kernel or choose.operators():
        chunked = tuple(name for name in choose.usable(operator) if name == "chunked")
        others = _fla.contestants(operator)
        for name, run in others.items():
            _fla.require_same(operator, name, run, inputs(operator, SAME))
        for size in SIZES[: asked.sizes]:
            for resets in (False, True):
                compiled = chunked if asked.compiled and not resets else ()
                for row in measure(
                    *(operator, size),
                    rounds=asked.rounds,
                    resets=resets,
                    threads=asked.threads,
                    compiled=compiled,
                    others={} if resets else others,
                ):
                    print(
                        f"{row.operator:12s} {row.case:26s} {row.implementation:16s} "
                        f"forward {row.forward:8.2f} ms [{row.forward_least:.2f}-{row.forward_most:.2f}]  "
                        f"forward + backward {row.both:8.2f} ms [{row.both_least:.2f}-{row.both_most:.2f}]  "
                        f"{row.speed_up:5.1f} x reference"
                    )
                    figures.append(asdict(row))
    print("written:", _report.write("kernels", figures).name)


if __name__ == "__main__":
    main()
