"""Who takes part in benchmarks of training: our hybrid at two sizes, a minimal transformer, Hugging Face models.

Each gives a step's loss from tokens [B, T + 1]. The peers of Hugging Face take part when `transformers` can be
imported: `make bench-setup` makes an environment that has it, and `make bench` uses it.

B batch   T time
"""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from think.core.models import Thinking, build
from think.core.models.thinking import Settings
from think.core.settings import RunSettings
from think.kernels.cross_entropy import cross_entropy
from think.presets.decode import decode
from think.presets.sources import read

LARGER = ("model.width=256", "model.layers=7", "model.mixer.rwkv.heads=4", "model.feed_forward.inner=1312")
"What makes about 11 M parameters out of `cpu_small`."

FUSED = "transformer, our loss"

HUGGING_FACE = importlib.util.find_spec("transformers") is not None
if HUGGING_FACE:
    import transformers

    transformers.logging.set_verbosity_error()  # it says that the models run without their kernels; so do we


@dataclass
class Contestant:
    """A model, what a step's loss is, and AdamW as all of them use it."""

    name: str
    model: nn.Module
    loss: Callable[[Tensor], Tensor]
    kind: torch.dtype

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    @property
    def parameters(self) -> int:
        return size(self.model)

    def step(self, tokens: Tensor) -> None:
        """Forward, backward, update."""
        low = torch.autocast("cpu", torch.bfloat16) if self.kind == torch.bfloat16 else nullcontext()
        with low:
            loss = self.loss(tokens)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.output = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, inner, bias=False), nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.project(self.norm_1(x)).chunk(3, -1)
        )
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.output(attended.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm_2(x))))


class MinimalTransformer(nn.Module):
    """Learned positions, pre-norm, fused causal attention without a cache, GELU, tied embeddings."""

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, inner: int, longest: int):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(longest, width)
        self.layers = nn.Sequential(*(Layer(width, heads, inner) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=0.02)

    def hidden(self, tokens: Tensor) -> Tensor:
        """What the logits are made of."""
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        normed: Tensor = self.norm(self.layers(x))
        return normed

    def forward(self, tokens: Tensor) -> Tensor:
        return self.hidden(tokens) @ self.tokens.weight.T


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def peak_mebibytes() -> float:
    """The most memory that this process has held since it began; not `ru_maxrss`, which counts the parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**10


def settings_of(preset: str, changes: tuple[str, ...] = ()) -> Settings:
    """The model of a preset, with `--set` changes."""
    return decode(read(preset, list(changes), {}, {}), RunSettings).settings.model


def hybrid(settings: Settings, kind: torch.dtype, tokens: Tensor, implementation: str = "auto") -> Contestant:
    """Ours, on a stream under way, as training meets it; its loss is the one it trains with."""
    torch.manual_seed(0)
    model = build(settings)
    model.use_kernels(implementation)
    with torch.no_grad():
        state = model.hidden(tokens[:, :-1])[1].detach()
    weights = torch.ones(tokens.shape[0], tokens.shape[1] - 1)

    def loss(tokens: Tensor) -> Tensor:
        hidden, _ = model.hidden(tokens[:, :-1], state)
        return model.cross_entropy(hidden, tokens[:, 1:], weights)[0] / weights.numel()

    return Contestant("hybrid" if implementation == "auto" else f"hybrid, {implementation}", model, loss, kind)


def transformer(
    target: int, settings: Settings, kind: torch.dtype, length: int, *, fused_loss: bool = False
) -> Contestant:
    """As many layers as customary for the width, and the feed-forward width that brings it within 1 % of `target`.

    fused_loss: the loss that the hybrid has, in chunks and without all logits, in place of torch's own.
    """
    torch.manual_seed(0)
    layers = 6 if settings.width <= 128 else 12
    shape = (settings.vocabulary, settings.width, layers, 4)
    narrow, wide = (size(MinimalTransformer(*shape, inner, length)) for inner in (16, 32))
    inner = max(16 + 16 * round((target - narrow) / (wide - narrow)), 16)
    model = MinimalTransformer(*shape, inner, length)
    if not fused_loss:
        return Contestant("transformer", model, lambda tokens: _plain(model(tokens[:, :-1]), tokens), kind)

    def loss(tokens: Tensor) -> Tensor:
        hidden, targets = model.hidden(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()
        return cross_entropy(hidden, model.tokens.weight, targets, torch.ones(len(targets)))[0] / len(targets)

    return Contestant(FUSED, model, loss, kind)


def mamba2(target: int, settings: Settings, kind: torch.dtype) -> Contestant:
    """Hugging Face's Mamba-2 in chunks of 64, its path without kernels; layers bring it within 10 % of `target`."""
    from transformers import Mamba2Config, Mamba2ForCausalLM

    def made(layers: int) -> nn.Module:
        return Mamba2ForCausalLM(
            Mamba2Config(
                vocab_size=settings.vocabulary,
                hidden_size=settings.width,
                num_hidden_layers=layers,
                state_size=64,
                expand=2,
                head_dim=64,
                num_heads=2 * settings.width // 64,
                n_groups=1,
                chunk_size=64,
                tie_word_embeddings=True,
                use_cache=False,
                bos_token_id=None,
                eos_token_id=None,
            )
        )

    torch.manual_seed(0)
    few, more = size(made(2)), size(made(3))
    model = made(max(round(2 + (target - few) / (more - few)), 1))
    return Contestant("hf mamba-2", model, lambda tokens: _plain(model(tokens[:, :-1]).logits, tokens), kind)


def gpt2(target: int, settings: Settings, kind: torch.dtype, length: int) -> Contestant:
    """Hugging Face's GPT-2 with fused attention; layers bring it within 10 % of `target`."""
    from transformers import GPT2Config, GPT2LMHeadModel

    def made(layers: int) -> nn.Module:
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=settings.vocabulary,
                n_positions=length,
                n_embd=settings.width,
                n_layer=layers,
                n_head=4,
                attn_pdrop=0.0,
                embd_pdrop=0.0,
                resid_pdrop=0.0,
                use_cache=False,
                bos_token_id=None,
                eos_token_id=None,
            )
        )

    torch.manual_seed(0)
    few, more = size(made(2)), size(made(3))
    model = made(max(round(2 + (target - few) / (more - few)), 1))
    return Contestant("hf gpt-2", model, lambda tokens: _plain(model(tokens[:, :-1]).logits, tokens), kind)


def contestants(settings: Settings, kind: torch.dtype, tokens: Tensor) -> dict[str, Callable[[], Contestant]]:
    """All that can take part here by name, ours first; each is built when it is called."""
    length = tokens.shape[1] - 1
    with torch.device("meta"):
        target = size(Thinking(settings))
    found = {
        "hybrid": lambda: hybrid(settings, kind, tokens),
        "transformer": lambda: transformer(target, settings, kind, length),
        FUSED: lambda: transformer(target, settings, kind, length, fused_loss=True),
    }
    if HUGGING_FACE:
        found["hf mamba-2"] = lambda: mamba2(target, settings, kind)
        found["hf gpt-2"] = lambda: gpt2(target, settings, kind, length)
    return found


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _plain(logits: Tensor, tokens: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
