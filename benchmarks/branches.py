"""What each branch of a trained hybrid is worth: held-out loss with its output replaced in all layers.

By zero, by its mean and by what it says about another text; on the whole held-out split, read as the run's own last
evaluation did. The change is paired block by block, with the 95 % interval of a block bootstrap. A branch whose removal
costs less than 0.05 nats is close to dead weight.

    python benchmarks/branches.py RUN [RUN...] [--data FOLDER] [--each-layer]
"""

import argparse

import _report

import think
from think.core.data.store import Packed
from think.core.diagnostics.branches import contributions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data")
    parser.add_argument("--each-layer", action="store_true", help="each layer by itself as well")
    asked = parser.parse_args()
    figures = []
    for run in asked.runs:
        held = think.load(run)
        settings = held.settings
        split = Packed.open(asked.data or settings.data.path).split("validation")
        rows, length = settings.stage1.evaluation.rows, settings.stage1.length
        found = contributions(held.model, split, rows, length, each_layer=asked.each_layer)
        print(f"{run}: held-out loss {found.whole.loss:.4f} nats over {found.whole.tokens:,} tokens")
        for each in found.replacements:
            where = "all layers" if each.layer is None else f"layer {each.layer}"
            print(f"  {each.branch:6s} by {each.by:6s} {where:10s} {each.loss:.4f}, change {each.change}")
            figure = {"run": run, "branch": each.branch, "by": each.by, "layer": each.layer, "loss": each.loss}
            figures.append(figure | {"change": each.change.as_json()})
    print("written:", _report.write("branches", figures).name)


if __name__ == "__main__":
    main()
