"""Writing with deliberation beside it, against writing alone: tokens per second, and what each plan costs the writer.

python benchmarks/deliberation.py [--presets cpu_small crsm_27m] [--every 16 32] [--samples 7] [--tokens 128]

Both write the same number of tokens with the native decoder, alternating in one process; ratios are of medians. The
search is native: 64 simulations, 16 considered actions, a GRU of width 256 whose actions are the whole vocabulary. The
planner is that of `think generate --deliberate`, its critic with a backbone of its own; every layer is trusted, and all
plans are injected that come within the longest lag and are worth anything to the critic. `writer` is the ratio by the
processor time of the writing thread alone: what is left of its speed where the other thread has a core to itself.
Weights are fresh: they change no time. Run it with OMP_NUM_THREADS=1 where there are two cores: one for each thread.
"""

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import _report
import torch

from think.core.generation import STOPS, Limits, Opened
from think.core.models import Thinking, build
from think.core.planning.beside import BesideSettings, PlanSettings, planner_of
from think.core.planning.critic import Critic, CriticSettings
from think.core.planning.deliberate import Deliberation, DeliberationSettings
from think.core.planning.dynamics import Dynamics, DynamicsSettings
from think.core.planning.injection import InjectionSettings
from think.core.planning.planner import LatentPlanner
from think.core.planning.rules import Gumbel, SearchSettings
from think.core.settings import RunSettings
from think.presets.decode import decode
from think.presets.sources import read

WIDTH, SIMULATIONS, CONSIDERED, PLANNED, LONGEST_LAG = 256, 64, 16, 8, 64
PROMPT = list(range(10, 42))


def model_of(preset: str) -> Thinking:
    torch.manual_seed(0)
    return build(decode(read(preset), RunSettings).settings.model).eval().requires_grad_(False)


def sure_planner(model: Thinking) -> LatentPlanner:
    """A planner whose critic was examined as knowing all and expecting nothing, so that its plans are injected."""
    settings = model.settings
    shape = DynamicsSettings(latent=max(1, WIDTH // settings.layers), values=settings.layers)
    dynamics = Dynamics(shape, settings.layers, settings.width, settings.vocabulary).requires_grad_(False)
    critic = Critic(CriticSettings(), settings).eval().requires_grad_(False)
    critic.copy(model)
    critic.skill.fill_(1.0)
    search = SearchSettings(simulations=SIMULATIONS, rule=Gumbel(considered=CONSIDERED))
    told = BesideSettings(search=search, plan=PlanSettings(longest=PLANNED))
    tokens = torch.arange(settings.vocabulary)
    return planner_of(model, dynamics, critic, tokens, told, allowed=settings.vocabulary)


def write(model: Thinking, tokens: int, deliberation: Deliberation | None) -> tuple[float, float]:
    """Seconds of wall time, and of processor time of this thread."""
    text = Opened(model, decoder="native", traced=deliberation is not None)
    text._bias[list(STOPS)] = float("-inf")  # all texts are to be of one length
    text.read(PROMPT)
    generator = torch.Generator().manual_seed(0)
    read = [*PROMPT, *text.write(Limits(1), generator)]  # the decoder's rows are made at the first token
    start, own = time.perf_counter(), time.thread_time()
    if deliberation is not None:
        deliberation.begin(text, read)
    for token in text.write(Limits(tokens), generator):
        if deliberation is not None:
            deliberation.after(text, token)
    taken = time.perf_counter() - start, time.thread_time() - own
    if deliberation is not None:
        deliberation.finish()
    return taken


def compare(model: Thinking, every: int, tokens: int, samples: int) -> dict[str, Any]:
    settings, injection = DeliberationSettings(every=every), InjectionSettings(longest_lag=LONGEST_LAG)
    lags: list[int] = []

    def note(kind: str, fields: dict[str, Any]) -> None:
        if kind == "injection" and fields["lag"] is not None:
            lags.append(fields["lag"])

    walls: dict[str, list[float]] = {"alone": [], "deliberating": []}
    owns: dict[str, list[float]] = {"alone": [], "deliberating": []}
    with Deliberation(model, sure_planner(model), settings, injection, note=note) as deliberation:
        for sample in range(samples + 1):
            for name, beside in (("alone", None), ("deliberating", deliberation)):
                wall, own = write(model, tokens, beside)
                if sample:  # the first one warms up
                    walls[name].append(wall)
                    owns[name].append(own)
    wall, own = ({name: statistics.median(taken) for name, taken in kind.items()} for kind in (walls, owns))
    counts = deliberation.counts.as_json()
    return {
        "every": every,
        "tokens per second": {name: tokens / taken for name, taken in wall.items()},
        "ratio": wall["alone"] / wall["deliberating"],
        "writer": own["alone"] / own["deliberating"],
        "median lag": statistics.median(lags) if lags else None,
        "samples": samples,
        "counts": counts,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--presets", nargs="+", default=["cpu_small", "crsm_27m"])
    parser.add_argument("--every", nargs="+", type=int, default=[16, 32])
    parser.add_argument("--samples", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=128)
    given = parser.parse_args()
    figures: dict[str, list[dict[str, Any]]] = {}
    for preset in given.presets:
        model = model_of(preset)
        size = sum(parameter.numel() for parameter in model.parameters())
        print(f"{preset}, {size / 1e6:.1f} M parameters, {given.tokens} tokens")
        figures[preset] = []
        for every in given.every:
            row = compare(model, every, given.tokens, given.samples)
            figures[preset].append(row)
            speeds, counts = row["tokens per second"], row["counts"]
            print(
                f"  every {every:3d}: {speeds['alone']:8,.0f} -> {speeds['deliberating']:8,.0f} tokens/s, "
                f"ratio {row['ratio']:.3f}, writer {row['writer']:.3f}, lag {row['median lag']} tokens, "
                f"{counts['asked']} asked, {counts['searches']} searches, {counts['injections']} injections"
            )
    print(f"written to {_report.write('deliberation', figures)}")


if __name__ == "__main__":
    main()
