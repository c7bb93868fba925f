"""Training steps of a hybrid preset beside a minimal transformer of equal size, in one process and one dtype.

The transformer is the plainest that people use: learned positions, pre-norm, fused causal attention without a cache,
GELU, tied embeddings. Both take the same tokens, the same loss and fused AdamW; contestants alternate, and the ratio of
each round is taken within the round, so a busy moment meets both. Threads wait without spinning, as `think` has them
do. Goals: 0.4 at T = 256, 0.5 at T = 1,024.

    python benchmarks/training.py [--preset cpu_small] [--rounds 9] [--threads 2]
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import _report
import torch
from torch import nn
from torch.nn import functional

from think.core.device import keep_freed_memory
from think.core.models import build
from think.core.settings import RunSettings
from think.presets.decode import decode
from think.presets.sources import read

GOALS = {256: 0.4, 1024: 0.5}


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.output = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, inner, bias=False), nn.Linear(inner, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.project(self.norm_1(x)).chunk(3, -1)
        )
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.output(attended.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm_2(x))))


class MinimalTransformer(nn.Module):
    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, inner: int, longest: int):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(longest, width)
        self.layers = nn.Sequential(*(Layer(width, heads, inner) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.norm(self.layers(x)) @ self.tokens.weight.T


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def transformer_like(target: int, vocabulary: int, width: int, length: int) -> MinimalTransformer:
    """Six layers whose feed-forward width brings the size within 1 % of `target`."""
    narrow, wide = (size(MinimalTransformer(vocabulary, width, 6, 4, inner, length)) for inner in (16, 32))
    inner = 16 + 16 * round((target - narrow) / (wide - narrow))
    return MinimalTransformer(vocabulary, width, 6, 4, inner, length)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="cpu_small")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rows", type=int, default=8)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()  # as training does; it serves both contestants
    settings = decode(read(asked.preset, [], {}, {}), RunSettings).settings.model
    figures = []
    for length, goal in GOALS.items():
        torch.manual_seed(0)
        hybrid = build(settings)
        transformer = transformer_like(size(hybrid), settings.vocabulary, settings.width, length)
        tokens = torch.randint(settings.vocabulary, (asked.rows, length + 1))
        with torch.no_grad():
            state = hybrid(tokens[:, :-1])[1].detach()  # a stream under way, as in training
        contestants = {
            asked.preset: (hybrid, lambda model: model(tokens[:, :-1], state)[0]),  # noqa: B023
            "transformer": (transformer, lambda model: model(tokens[:, :-1])),  # noqa: B023
        }
        optimizers = {n: torch.optim.AdamW(m.parameters(), lr=1e-4, fused=True) for n, (m, _) in contestants.items()}
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for round_ in range(asked.rounds + 2):
            for name, (model, forward) in contestants.items():
                begin = time.perf_counter()
                loss = functional.cross_entropy(forward(model).flatten(0, 1), tokens[:, 1:].flatten())
                loss.backward()
                optimizers[name].step()
                optimizers[name].zero_grad()
                if round_ >= 2:
                    seconds[name].append(time.perf_counter() - begin)
        ratios = [b / a for a, b in zip(seconds[asked.preset], seconds["transformer"], strict=True)]
        for name, (model, _) in contestants.items():
            median, low, high = statistics.median(seconds[name]), min(seconds[name]), max(seconds[name])
            print(
                f"T={length:5d}  {name:12s} {size(model) / 1e6:5.2f} M  {median * 1e3:8.1f} ms "
                f"[{low * 1e3:.1f}-{high * 1e3:.1f}]  {asked.rows * length / median:7.0f} tokens/s"
            )
        ratio = statistics.median(ratios)
        print(
            f"T={length:5d}  speed ratio {ratio:.3f} [{min(ratios):.3f}-{max(ratios):.3f}] n={len(ratios)} goal {goal}"
        )
        sizes = {name: size(model) for name, (model, _) in contestants.items()}
        figures.append(
            {
                "length": length,
                "rows": asked.rows,
                "threads": asked.threads,
                "ratio": ratio,
                "goal": goal,
                "parameters": sizes,
                "seconds": seconds,
            }
        )
    print("written:", _report.write("training", figures).name)


if __name__ == "__main__":
    main()
