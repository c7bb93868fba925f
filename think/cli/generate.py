"""`think generate`: go on from a prompt with a trained model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from think.cli.console import console
from think.cli.options import Json, Run
from think.core.errors import BadData, Missing, UsageError

if TYPE_CHECKING:
    from think.core.assembled import Assembled
    from think.core.generation import Limits

Model = Annotated[
    Path | None,
    typer.Option("--model", metavar="PATH", help="Checkpoint or exported folder, in place of a run."),
]
Tokens = Annotated[int | None, typer.Option("--tokens", "-n", min=1, help="Most tokens to write.")]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", "-t", min=0.0, help="0 takes the likeliest token; higher is more varied."),
]
TopP = Annotated[
    float | None,
    typer.Option("--top-p", help="Draw only from the likeliest tokens that make up this share."),
]
DrawSeed = Annotated[int | None, typer.Option("--seed", min=0, help="Equal seeds give equal text; random when absent.")]

LARGEST_SEED = 2**31
"Seeds that we choose ourselves are short enough to be typed again."


def generate(
    run: Run = None,
    model: Model = None,
    prompt: Annotated[
        str, typer.Option("--prompt", "-p", metavar="TEXT|-", help="Text to go on from; - reads it.")
    ] = "",
    tokens: Tokens = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: DrawSeed = None,
    json: Json = False,
) -> None:
    """Write text with a trained model"""
    from think.core.data.tokenizer import BOS
    from think.core.generation import pieces

    limits = limits_of(tokens, temperature, top_p)
    text = read_prompt() if prompt == "-" else unescaped(prompt)
    thinker = assemble(run, model)
    seed = chosen_seed(seed, limits)
    opened = thinker.open()
    opened.read([BOS, *thinker.tokenizer.encode(text)])
    begun = opened.tokens
    written = []
    if not console.json:
        console.stream(text)
    for piece in pieces(thinker.tokenizer, opened.write(limits, thinker.generator(seed))):
        written.append(piece)
        if not console.json:
            console.stream(piece)
    data = {
        "model": str(thinker.path),
        "step": thinker.step,
        "prompt": text,
        "text": "".join(written),
        "prompt_tokens": begun,
        "tokens": opened.tokens - begun,
        "ended": opened.ended,
        "seed": seed,
        "temperature": limits.temperature,
        "top_p": limits.top_p,
    }
    console.result("think.generate/1", data, "")
    if opened.ended == "context":
        console.warn("the text ends here because the model's attention sees no further")


def assemble(run: str | None, model: Path | None) -> "Assembled":
    """The model of a run, of a path, or of the newest run that has a checkpoint; which one is said on stderr."""
    from think.cli import environment
    from think.core import device
    from think.core.assembled import load, newest
    from think.core.runs import RunFolder

    if run is not None and model is not None:
        raise UsageError("--run and --model were both given", expected="one of them")
    if model is None:
        root = environment.runs_folder()
        found = newest(root) if run is None else RunFolder.open(root, run)
        if found is None:
            raise Missing(
                "no run has a checkpoint yet",
                where=str(root),
                remedy="think train stage1 --preset cpu_smoke",
            )
        model = found.path
    machine = device.resolve(environment.prefer(device.RuntimeSettings()))
    device.prepare(machine)
    thinker = load(model, machine.device)
    for note in thinker.notes:
        console.warn(f"checkpoint passed over: {note}")
    console.note(f"model {thinker.path}" + ("" if thinker.step is None else f", step {thinker.step:,}"))
    return thinker


def limits_of(tokens: int | None, temperature: float | None, top_p: float | None) -> "Limits":
    """The defaults with what was given. Raises UsageError for a value outside its range."""
    from think.core.assembled import DEFAULT
    from think.core.generation import Limits

    return Limits(
        tokens=DEFAULT.tokens if tokens is None else tokens,
        temperature=DEFAULT.temperature if temperature is None else temperature,
        top_p=DEFAULT.top_p if top_p is None else top_p,
    )


def chosen_seed(seed: int | None, limits: "Limits") -> int:
    """The seed that was given, else a new one, said on stderr so that the text can be had again."""
    from secrets import randbelow

    if seed is None and limits.temperature > 0:
        seed = randbelow(LARGEST_SEED)
        console.note(f"seed {seed}")
    return seed or 0


def unescaped(prompt: str) -> str:
    """What was typed, also where the locale is not UTF-8 and the system left bytes in the argument undecoded."""
    try:
        return prompt.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError as error:
        raise BadData(f"the prompt is not UTF-8: {error}", where="--prompt", expected="UTF-8 text") from None


def read_prompt() -> str:
    """All of stdin. Raises BadData when it is not UTF-8."""
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadData(f"the prompt is not UTF-8: {error}", where="stdin", expected="UTF-8 text") from None
