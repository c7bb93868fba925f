"""`think generate`: go on from a prompt with a trained model."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from think.cli.console import console
from think.cli.options import Json, Run
from think.core.errors import BadData, Missing, UsageError

if TYPE_CHECKING:
    from think.cli.generate_deliberately import Beside
    from think.core.assembled import Assembled
    from think.core.generation import Limits, Opened

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

BETWEEN = "\n---\n"
"Stands between the texts of one call."


def generate(
    run: Run = None,
    model: Model = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", "-p", metavar="TEXT|-", help="Text to go on from; - reads it. May be repeated."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="Texts for each prompt, with seeds that count up.")
    ] = None,
    tokens: Tokens = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: DrawSeed = None,
    decoder: Annotated[
        str | None,
        typer.Option("--decoder", help="auto, native (one call a token) or eager (the model's own step)."),
    ] = None,
    deliberate: Annotated[
        bool, typer.Option("--deliberate", help="Search beside the text, and inject what is planned into its state.")
    ] = False,
    critic: Annotated[
        str | None,
        typer.Option("--critic", metavar="RUN", help="Run of stage 3 or 4 whose critic and dynamics deliberate."),
    ] = None,
    simulations: Annotated[int | None, typer.Option("--simulations", min=1, help="Of each search.")] = None,
    considered: Annotated[
        int | None, typer.Option("--considered", min=1, help="Actions that a search looks at; 16, or all, when absent.")
    ] = None,
    every: Annotated[int | None, typer.Option("--every", min=1, help="Tokens from one search to the next.")] = None,
    ahead: Annotated[int | None, typer.Option("--ahead", min=0, help="Tokens foretold before a plan begins.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", min=0.0, max=1.0, help="Injection rate.")] = None,
    lag: Annotated[
        int | None,
        typer.Option(
            "--lag", min=0, help="Make plans at once, to act so many tokens later; equal seeds give equal text."
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of deliberation, such as injection.decay=0.8."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Record searches and injections in the run, where the monitor shows them.")
    ] = False,
    json: Json = False,
) -> None:
    """Write text with a trained model"""
    from think.cli import generate_deliberately as deliberately

    flags = dict(zip(deliberately.FLAGS, (simulations, considered, every, ahead, lag, rate), strict=True))
    limits = limits_of(tokens, temperature, top_p)
    prompts = read_prompts(prompt or [""])
    copies = 1 if samples is None else samples
    if copies > 1 and limits.temperature == 0:
        raise UsageError("--samples at temperature 0 would all be the same", expected="a temperature above 0")
    beside = None
    if deliberate:
        held = deliberately.find(run, model, critic)
        beside = deliberately.Beside(held, deliberately.settings_of(held, flags, changes or ()), record)
        thinker = held.thinker
        beside.begin()
    else:
        given = {name: value is not None for name, value in flags.items()}
        deliberately.refuse(given | {"--critic": critic, "--set": changes, "--record": record})
        thinker = assemble(run, model)
    first_seed = chosen_seed(seed, limits)
    seeds = [first_seed + copy for _ in prompts for copy in range(copies)]
    if decoder in (None, "auto"):
        say_what_slows(thinker)
    traced = beside is not None
    texts = [text for said in prompts for text in begun(thinker, said, copies, decoder or "auto", traced=traced)]
    said = [said for said in prompts for _ in range(copies)]
    lengths = [text.tokens for text in texts]
    written = write(thinker, texts, said, limits, seeds, beside)
    common = {
        "model": str(thinker.path),
        "step": thinker.step,
        "temperature": limits.temperature,
        "top_p": limits.top_p,
        "decoder": texts[0].decoder,
        **({} if beside is None else {"deliberated": beside.as_json()}),
    }
    data: list[dict[str, Any]] = [
        {
            "prompt": said[which],
            "text": written[which],
            "prompt_tokens": lengths[which],
            "tokens": text.tokens - lengths[which],
            "ended": text.ended,
            "seed": seeds[which],
            **({} if beside is None else {"deliberation": beside.told[which]}),
        }
        for which, text in enumerate(texts)
    ]
    if len(data) == 1:
        console.result("think.generate/1", {**common, **data[0]}, "")
    else:
        console.result("think.generate.several/1", {**common, "texts": data}, "")
    if beside is not None:
        deliberately.say(beside.told)
    if any(text.ended == "context" for text in texts):
        console.warn("the text ends here because the model's attention sees no further")


def say_what_slows(thinker: "Assembled") -> None:
    """Say why the model is not decoded natively, where it is not."""
    from think.core.models.decode import obstacle

    if reason := obstacle(thinker.model):
        console.note(f"slower decoder, the model's own step: {reason}")


def begun(thinker: "Assembled", prompt: str, copies: int, decoder: str, *, traced: bool = False) -> list["Opened"]:
    """Texts that have read a prompt, which is read once."""
    first = thinker.open(decoder, traced=traced)
    first.read(tokens_of(thinker, prompt))
    return [first, *(first.another() for _ in range(copies - 1))]


def tokens_of(thinker: "Assembled", prompt: str) -> list[int]:
    """What a text reads of a prompt."""
    from think.core.data.tokenizer import BOS

    return [BOS, *thinker.tokenizer.encode(prompt)]


def write(
    thinker: "Assembled",
    texts: list["Opened"],
    prompts: list[str],
    limits: "Limits",
    seeds: list[int],
    beside: "Beside | None" = None,
) -> list[str]:
    """What each text becomes. One alone is shown as it is written; several are shown when all are done.

    beside: deliberates about one text after the other.
    """
    from think.core.generation import pieces, write_together

    generators = [thinker.generator(seed) for seed in seeds]

    def alone(which: int) -> Iterator[int]:
        if beside is None:
            return texts[which].write(limits, generators[which])
        return beside.write(texts[which], tokens_of(thinker, prompts[which]), limits, seeds[which])

    if len(texts) == 1:
        shown = [prompts[0]]
        if not console.json:
            console.stream(prompts[0])
        for piece in pieces(thinker.tokenizer, alone(0)):
            shown.append(piece)
            if not console.json:
                console.stream(piece)
        return ["".join(shown[1:])]
    drawn: list[list[int]] = [[] for _ in texts]
    if beside is not None:
        drawn = [list(alone(which)) for which in range(len(texts))]
    else:
        for which, token in write_together(texts, limits, generators):
            drawn[which].append(token)
    written = ["".join(pieces(thinker.tokenizer, tokens)) for tokens in drawn]
    if not console.json:
        console.stream(BETWEEN.join(prompt + text for prompt, text in zip(prompts, written, strict=True)))
    return written


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


def unescaped(prompt: str, where: str = "--prompt") -> str:
    """What was typed, also where the locale is not UTF-8 and the system left bytes in the argument undecoded."""
    try:
        return prompt.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError as error:
        raise BadData(f"the prompt is not UTF-8: {error}", where=where, expected="UTF-8 text") from None


def read_prompts(asked: list[str]) -> list[str]:
    """The prompts as they are to be read. Raises UsageError when stdin is to be read twice."""
    if asked.count("-") > 1:
        raise UsageError("--prompt - was given twice", expected="at most one prompt that is read from stdin")
    return [read_prompt() if one == "-" else unescaped(one) for one in asked]


def read_prompt() -> str:
    """All of stdin. Raises BadData when it is not UTF-8."""
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadData(f"the prompt is not UTF-8: {error}", where="stdin", expected="UTF-8 text") from None
