"""Training steps on a GPU: our presets beside flash-linear-attention's models and a transformer with flash attention.

Each preset meets RWKV-6 and Mamba-2 of flash-linear-attention and the minimal transformer, whose attention is torch's
flash kernel, all within 10 % of its parameters; bfloat16 autocast, float32 weights, fused AdamW, the same tokens.
Contestants alternate in one process; a ratio is our speed over the other's, taken within a round. Share: 6 x parameters
x tokens a second over the rate of a large bfloat16 product measured here, the part of the roofline that matrix products
could reach. Memory: the peak of three steps of a contestant alone. Without a CUDA device nothing is measured and
nothing is written. Peers take part when they can be imported (pip install 'think-toolkit[gpu]').

    python benchmarks/gpu.py [--presets hybrid_30m hybrid_125m baseline_350m] [--rows 16] [--length 1024] [--rounds 9]
                             [--kernels auto] [--compile default]
"""

import argparse
import gc
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator

import _report
import torch
from _models import MinimalTransformer, _plain, settings_of, size
from torch import Tensor, nn

from think.core.device import compile_each
from think.core.models import build
from think.core.models.thinking import Settings

PRESETS = ("hybrid_30m", "hybrid_125m", "baseline_350m")
HEAD = 64
"Channels of a head, of all contestants."
WARM_UP = 3
PRODUCT = 8192
"Rows and columns of the product whose rate stands for the roofline."

Made = tuple[nn.Module, Callable[[Tensor], Tensor]]
"A model, and the loss of a step from tokens [B, T + 1]."


def ours(settings: Settings, rows: int, kernels: str = "auto", mode: str | None = None) -> Made:
    """A stream under way, with the state of the step before."""
    model = build(settings)
    model.use_kernels(kernels)
    compile_each(model.blocks, mode)
    held = [model.initial_state(rows).detach()]

    def loss(tokens: Tensor) -> Tensor:
        hidden, after = model.hidden(tokens[:, :-1], held[0])
        held[0] = after.detach()
        weights = torch.ones_like(tokens[:, 1:], dtype=torch.float32)
        return model.cross_entropy(hidden, tokens[:, 1:], weights)[0] / weights.numel()

    return model, loss


def transformer(settings: Settings, target: int, length: int) -> Made:
    """As many layers as a customary shape needs to come within 10 % of `target` parameters."""

    def made(layers: int, inner: int) -> nn.Module:
        return MinimalTransformer(settings.vocabulary, settings.width, layers, settings.width // HEAD, inner, length)

    with torch.device("meta"):
        few, more = size(made(1, 4 * settings.width)), size(made(2, 4 * settings.width))
        layers = max(round(1 + (target - few) / (more - few)), 1)
        narrow, wide = size(made(layers, 64)), size(made(layers, 128))
    model = made(layers, max(64 + 64 * round((target - narrow) / (wide - narrow)), 64))
    return model, lambda tokens: _plain(model(tokens[:, :-1]), tokens)


def peer(kind: str, settings: Settings, target: int) -> Made:
    """A model of flash-linear-attention: `rwkv6` or `mamba2`, of so many layers that it comes within 10 %."""
    from fla import models

    def made(layers: int) -> nn.Module:
        common = {
            "vocab_size": settings.vocabulary,
            "hidden_size": settings.width,
            "num_hidden_layers": layers,
            "tie_word_embeddings": settings.tied,
            "use_cache": False,
        }
        if kind == "rwkv6":
            return models.RWKV6ForCausalLM(models.RWKV6Config(num_heads=settings.width // HEAD, **common))
        heads = 2 * settings.width // HEAD
        return models.Mamba2ForCausalLM(
            models.Mamba2Config(num_heads=heads, head_dim=HEAD, state_size=128, expand=2, n_groups=1, **common)
        )

    with torch.device("meta"):
        few, more = size(made(1)), size(made(2))
    model = made(max(round(1 + (target - few) / (more - few)), 1))
    return model, lambda tokens: model(input_ids=tokens[:, :-1], labels=tokens[:, :-1]).loss


def contestants(
    preset: str, rows: int, length: int, kernels: str, mode: str | None
) -> Iterator[tuple[str, Callable[[], Made]]]:
    """Who takes part beside a preset, ours first; each is built, on torch's default device, when it is called."""
    settings = settings_of(preset)
    with torch.device("meta"):
        target = size(build(settings))
    yield preset, lambda: ours(settings, rows, kernels, mode)
    yield "transformer", lambda: transformer(settings, target, length)
    if importlib.util.find_spec("fla") is not None and importlib.util.find_spec("transformers") is not None:
        yield "fla rwkv6", lambda: peer("rwkv6", settings, target)
        yield "fla mamba2", lambda: peer("mamba2", settings, target)


def stepping(made: Made) -> Callable[[Tensor], None]:
    """Forward, backward, update."""
    model, loss = made
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(tokens: Tensor) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            found = loss(tokens)
        found.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds(step: Callable[[Tensor], None], tokens: Tensor) -> float:
    torch.cuda.synchronize()
    begin = time.perf_counter()
    step(tokens)
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def product_rate() -> float:
    """Floating point operations a second of a large bfloat16 product: the roofline of this device, as it really is."""
    left, right = (torch.randn(PRODUCT, PRODUCT, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    taken = [seconds(lambda _: torch.mm(left, right), left) for _ in range(10)]
    return 2.0 * PRODUCT**3 / statistics.median(taken[3:])


def peak_bytes(make: Callable[[], Made], tokens: Tensor) -> int:
    """The most memory that a contestant takes alone."""
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step = stepping(make())
    for _ in range(WARM_UP):
        step(tokens)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def measure(preset: str, asked: argparse.Namespace, rate: float) -> list[dict[str, object]]:
    """One preset and its peers."""
    vocabulary = settings_of(preset).vocabulary
    tokens = torch.randint(vocabulary, (asked.rows, asked.length + 1), device="cuda")
    figures, steps, taken = [], {}, {}
    for name, make in contestants(preset, asked.rows, asked.length, asked.kernels, asked.compile):
        memory = peak_bytes(make, tokens)
        made = make()
        steps[name], taken[name] = stepping(made), []
        figures.append({"preset": preset, "name": name, "parameters": size(made[0]), "peak_bytes": memory})
    for round_ in range(WARM_UP + asked.rounds):
        for name, step in steps.items():
            spent = seconds(step, tokens)
            if round_ >= WARM_UP:
                taken[name].append(spent)
    for row in figures:
        spent = taken[str(row["name"])]
        speed = asked.rows * asked.length / statistics.median(spent)
        ratios = [theirs / mine for mine, theirs in zip(taken[preset], spent, strict=True)]
        row |= {
            "rows": asked.rows,
            "length": asked.length,
            "seconds": spent,
            "tokens_per_second": speed,
            "share_of_products": 6 * int(str(row["parameters"])) * speed / rate,
            "our_speed": statistics.median(ratios),
        }
        millions, gibibytes = int(str(row["parameters"])) / 1e6, int(str(row["peak_bytes"])) / 2**30
        print(
            f"  {row['name']:14s} {millions:7.1f} M  {speed:11,.0f} tokens/s  "
            f"{row['share_of_products']:5.1%} of products  {gibibytes:6.2f} GiB  ours {row['our_speed']:.2f} x"
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=list(PRESETS))
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--kernels", default="auto")
    parser.add_argument("--compile", default=None)
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no CUDA device here: nothing was measured and nothing was written")
        return
    torch.set_default_device("cuda")
    rate = product_rate()
    device = torch.cuda.get_device_name()
    print(f"{device}: {rate / 1e12:.0f} TFLOP/s in a bfloat16 product of {PRODUCT} x {PRODUCT}")
    figures: list[dict[str, object]] = [{"device": device, "product_flops_per_second": rate}]
    for preset in asked.presets:
        print(f"{preset}: {asked.rows} rows of {asked.length}, bfloat16, {asked.rounds} rounds")
        figures += measure(preset, asked, rate)
        gc.collect()
        torch.cuda.empty_cache()
    print("written:", _report.write("gpu", figures).name)


if __name__ == "__main__":
    main()
