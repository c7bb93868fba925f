"""Decoding a token: the native program against the model's own step and a minimal transformer with a KV cache.

python benchmarks/decode.py [--samples 9] [--threads 1 2] [--sizes small large]

All competitors alternate in one process; a sample is ten tokens, ratios are of medians. Threads wait without spinning,
as `think` has them do. The transformer has learned positions, pre-norm and GELU, as many parameters as the hybrid
within a tenth, and a cache that was made in full beforehand; contexts are of 1,024 and 8,192 tokens. Batches are tokens
of all streams per second. The last table asks whether a token costs more after a long text than after a short one.
Weights are fresh: they change no time.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported

import _report
import torch
from torch import nn
from torch.nn import functional

from think.core.generation import Limits, choose
from think.core.models import Settings, State, Thinking, build
from think.core.models.decode import Decoder

TOKENS = 10
VOCABULARY = 4096
SIZES = {"small": (128, 6), "large": (256, 12)}
CONTEXTS = (1024, 8192)
BATCHES = (1, 8, 64)
AFTER = (100, 10_000, 100_000)


class Layer(nn.Module):
    """Pre-norm attention and GELU, for one token over a cache [B, H, context, K]."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.project, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, place: int) -> torch.Tensor:
        query, key, value = self.project(self.norms[0](x)).view(len(x), 3, self.heads, -1).unbind(1)
        keys[:, :, place], values[:, :, place] = key, value
        seen = functional.scaled_dot_product_attention(
            query.unsqueeze(2), keys[:, :, : place + 1], values[:, :, : place + 1]
        )
        x = x + self.output(seen.flatten(1))
        return x + self.down(functional.gelu(self.up(self.norms[1](x))))


class Transformer(nn.Module):
    """A decoder whose cache holds `context` tokens when it is asked for the next ones."""

    def __init__(self, width: int, layers: int, context: int):
        super().__init__()
        heads = width // 32
        self.context = context
        self.embedding, self.positions = nn.Embedding(VOCABULARY, width), nn.Embedding(CONTEXTS[0], width)
        self.layers = nn.ModuleList([Layer(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        shape = (1, heads, context + TOKENS, width // heads)
        self.caches = [(torch.randn(shape), torch.randn(shape)) for _ in range(layers)]

    @torch.inference_mode()
    def write(self) -> None:
        for place in range(self.context, self.context + TOKENS):
            x = self.embedding(torch.tensor([5])) + self.positions(torch.tensor([place % CONTEXTS[0]]))
            for layer, cache in zip(self.layers, self.caches, strict=True):
                x = layer(x, *cache, place)
            self.norm(x) @ self.embedding.weight.T


def hybrid(width: int, layers: int) -> Thinking:
    """A hybrid of the parameters of the transformer of the same width and depth."""
    tree = {
        "vocabulary": VOCABULARY,
        "width": width,
        "layers": layers,
        "mixer": {
            "kind": "hybrid",
            "rwkv": {"heads": width // 64, "mix_rank": 16, "decay_rank": 16},
            "mamba": {"expand": 1, "head_width": 64, "state": 64},
            "memory": {"norm": {"groups": 4, "period": 1024}},
        },
        "feed_forward": {"kind": "channel_mix", "inner": width},
    }
    return build(Settings.model_validate_json(json.dumps(tree))).eval()


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


class Stepped:
    """The model's own step."""

    def __init__(self, model: Thinking, batch: int):
        self.model, self.state = model, model.initial_state(batch)
        self.token = torch.full((batch,), 5)

    @torch.inference_mode()
    def write(self) -> None:
        for _ in range(TOKENS):
            _, self.state = self.model.step(self.token, self.state)


class Decoded:
    """The native program."""

    def __init__(self, model: Thinking, batch: int):
        self.decoder, self.tokens = Decoder(model, batch), [5] * batch

    def write(self) -> None:
        for _ in range(TOKENS):
            self.decoder.step(self.tokens)


class Drawn(Decoded):
    """The native program, and a draw from what it says: all that writing a text takes but for its characters."""

    limits, bias = Limits(1), torch.zeros(VOCABULARY)

    def write(self) -> None:
        for _ in range(TOKENS):
            for row, scores in enumerate(self.decoder.step(self.tokens)):
                self.tokens[row] = choose(scores, self.limits, self.bias)


Row = dict[str, Any]


def compare(competitors: Mapping[str, Callable[[], None]], samples: int) -> dict[str, Row]:
    """Milliseconds a token of each, alternating."""
    times: dict[str, list[float]] = {name: [] for name in competitors}
    for sample in range(samples + 1):
        for name, write in competitors.items():
            start = time.perf_counter()
            write()
            if sample:  # the first one warms up
                times[name].append(1e3 * (time.perf_counter() - start) / TOKENS)
    return {
        name: {"median": statistics.median(taken), "least": min(taken), "most": max(taken), "samples": samples}
        for name, taken in times.items()
    }


def show(label: str, row: Row, note: str = "") -> None:
    print(f"{label:44s} {row['median']:8.3f} ms/token [{row['least']:.3f}-{row['most']:.3f}]  {note}")


def alone(model: Thinking, width: int, layers: int, samples: int) -> dict[str, Row]:
    """One stream, against the transformer at each context."""
    others = {f"transformer at {context}": Transformer(width, layers, context) for context in CONTEXTS}
    competitors = {name: other.write for name, other in others.items()}
    competitors |= {
        "eager step": Stepped(model, 1).write,
        "native": Decoded(model, 1).write,
        "native, drawn": Drawn(model, 1).write,
    }
    found = compare(competitors, samples)
    for name, row in found.items():
        ratios = [row["median"] / found[f"transformer at {context}"]["median"] for context in CONTEXTS]
        row["ratios"] = dict(zip(map(str, CONTEXTS), ratios, strict=True))
        parameters = f"{size(others[name]) / 1e6:.2f} M" if name in others else f"{size(model) / 1e6:.2f} M"
        notes = "  ".join(f"{ratio:.3f} x at {context}" for ratio, context in zip(ratios, CONTEXTS, strict=True))
        show(f"  {name} ({parameters})", row, notes)
    return found


def batches(model: Thinking, samples: int) -> dict[str, Row]:
    """Many streams; the eager step takes them as one batch."""
    found: dict[str, Row] = {}
    for batch in BATCHES:
        both = compare({"eager step": Stepped(model, batch).write, "native": Decoded(model, batch).write}, samples)
        for name, row in both.items():
            row["tokens per second"] = 1e3 * batch / row["median"]
            found[f"{name}, batch {batch}"] = row
            show(f"  {name}, batch {batch}", row, f"{row['tokens per second']:,.0f} tokens/s")
    return found


def constant(model: Thinking, samples: int) -> dict[str, Row]:
    """Cost after texts of several lengths, alternating; the state is as large after each."""
    competitors, held = {}, {}
    _, state = model(torch.full((1, AFTER[0]), 5))
    for length in AFTER:
        one = Decoded(model, 1)
        # just after a StateNorm, as far on as asked: what lies in the state changes no time, its position might
        one.decoder.load(State(length // 1024 * 1024 + 1, state.detach().layers), [0])
        competitors[f"after {length}"], held[f"after {length}"] = one.write, one.decoder.bytes_of_state
    found = compare(competitors, samples)
    for name, row in found.items():
        row["bytes of state"] = held[name]
        show(f"  {name}", row, f"{held[name]:,} bytes of state")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    asked = parser.parse_args()
    torch.manual_seed(0)
    figures: dict[str, Any] = {}
    for name in asked.sizes:
        width, layers = SIZES[name]
        model = hybrid(width, layers)
        for threads in asked.threads:
            torch.set_num_threads(threads)
            print(f"width {width}, {layers} layers, {threads} threads")
            with torch.no_grad():
                figures[f"{name}, {threads} threads"] = {
                    "alone": alone(model, width, layers, asked.samples),
                    "batches": batches(model, asked.samples),
                    "constant": constant(model, asked.samples),
                }
    print("written:", _report.write("decode", figures).name)


if __name__ == "__main__":
    main()
